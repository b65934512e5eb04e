"""Confusion matrices as heat maps: amounts, and the difference of two."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from analysis.figures.theme import DIVERGING, HEAT, finish
from cry_model.metrics import Array
from cry_model.records import words

SIDE, MOST = 270, 54  # pixels: of the matrix, but its cells grow no larger than this
BELOW = 106  # for the names of the answers, which stand aslant
MANY = 7  # labels, for two lines of which a phone's rows are too low


@dataclass(frozen=True, eq=False)  # comparing arrays gives no bool
class Cells:
    """A matrix as it is shown.

    Attributes:
        labels: in the order of the rows and of the columns.
        values: (classes, classes), true label x answer: counts or per cent; NaN where the true
            label does not occur.
        counts: (classes, classes), in the same order.
        support: (classes,), how many answers there are to each true label.
        in_counts: whether the values are counts.
        zeroed: whether the diagonal was set to nothing.
    """

    labels: tuple[str, ...]
    values: Array
    counts: NDArray[np.int64]
    support: NDArray[np.int64]
    in_counts: bool
    zeroed: bool


def matrix_figure(cells: Cells) -> go.Figure:
    """Rows are true labels, columns answers; the number stands in each cell that has one."""
    support = np.repeat(cells.support[:, None], len(cells.labels), 1)
    heatmap = go.Heatmap(
        z=_or_none(cells.values),
        text=[[_amount(value) for value in row] for row in cells.values],
        customdata=np.dstack([cells.counts, support]),
        colorscale=HEAT,
        zmin=0,
        zmax=_largest(cells.values),
        hovertemplate="%{y} answered as %{x}:<br>%{customdata[0]} of %{customdata[1]}"
        "<extra></extra>",
        **_common(cells),
    )
    return _square(heatmap, cells)


def difference_figure(one: Cells, other: Cells) -> go.Figure:
    """The first minus the second on a scale whose middle is zero."""
    difference = one.values - other.values
    unit = "" if one.in_counts else " %"
    heatmap = go.Heatmap(
        z=_or_none(difference),
        text=[[_signed(value) for value in row] for row in difference],
        customdata=np.dstack([one.values.round(1), other.values.round(1)]),
        colorscale=DIVERGING,
        zmin=-_largest(difference),
        zmax=_largest(difference),
        hovertemplate=f"%{{y}} answered as %{{x}}:<br>%{{customdata[0]}}{unit} against "
        f"%{{customdata[1]}}{unit}<extra></extra>",
        **_common(one),
    )
    return _square(heatmap, one)


def _largest(values: Array) -> float:
    """An end for the scale, which must not be zero."""
    return float(np.nanmax(np.abs(values), initial=0)) or 1.0


def _common(cells: Cells) -> dict[str, Any]:
    names = [words(label) for label in cells.labels]
    text = {"texttemplate": "%{text}", "showscale": False, "xgap": 1, "ygap": 1}
    return {"x": names, "y": names, **text}


def _square(heatmap: go.Heatmap, cells: Cells) -> go.Figure:
    """Cells as high as they are wide, whatever the width of the page."""
    names = [words(label) for label in cells.labels]
    unit = "recordings" if cells.in_counts else "% of the true label"
    many = len(names) >= MANY
    axis = {
        "showgrid": False,
        "fixedrange": True,
        "constrain": "domain",
        "tickfont": {"size": 10 if many else 12},
    }
    across = {"title": {"text": f"answer ({unit})"}, "tickangle": -45}
    down = {
        "title": {"text": "true label", "standoff": 4},
        "autorange": "reversed",
        "scaleanchor": "x",
        "constraintoward": "top",
        "tickvals": names,
        "ticktext": names if many else [name.replace(" ", "<br>") for name in names],
    }
    figure = go.Figure(heatmap, {"xaxis": {**axis, **across}, "yaxis": {**axis, **down}})
    finish(figure, height=round(min(SIDE, MOST * len(names))) + BELOW)
    figure.layout.margin.t = 6
    figure.layout.dragmode = False
    return figure


def _or_none(values: Array) -> NDArray[np.object_]:
    """NaN, which JSON has not, as nothing."""
    return np.where(np.isnan(values), None, values.round(3))


def _amount(value: float) -> str:
    return "" if np.isnan(value) or value == 0 else f"{value:.0f}" if value >= 0.5 else "<1"


def _signed(value: float) -> str:
    if np.isnan(value) or value == 0:
        return ""
    return f"{value:+.0f}".replace("-", "−") if abs(value) >= 0.5 else "~0"
