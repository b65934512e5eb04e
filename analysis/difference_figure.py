"""Differences as dots with intervals, one below the other, around a line at zero."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

from analysis.style import TEXT, finish

ROW = 34  # pixels


@dataclass(frozen=True)
class Dot:
    """One difference, in points (hundredths of the metric).

    Attributes:
        name: on the axis; ``<br>`` breaks it.
        value: the difference.
        span: the ends of its interval; None if it has none, and then the dot is open.
        colour: of the dot.
    """

    name: str
    value: float
    span: tuple[float, float] | None
    colour: str


def difference_figure(dots: Sequence[Dot], axis: str) -> go.Figure:
    """The first dot on top; ``axis`` says what is less what, in points."""
    names = [dot.name for dot in dots]
    open_dots, closed = ([d for d in dots if (d.span is None) is bare] for bare in (True, False))
    figure = go.Figure(
        [
            {**_marks(closed, "circle"), "error_x": _whiskers(closed)},
            _marks(open_dots, "circle-open"),
        ]
    )
    finish(figure, height=90 + ROW * len(dots))
    zero = {"type": "line", "x0": 0, "x1": 0, "y0": 0, "y1": 1, "yref": "y domain"}
    return figure.update_layout(
        shapes=[{**zero, "line": {"color": TEXT, "width": 1.5, "dash": "dot"}}],
        xaxis={"title": {"text": axis}, "rangemode": "tozero"},
        yaxis={
            "categoryorder": "array",
            "categoryarray": names[::-1],
            "range": [-0.6, len(dots) - 0.4],
        },
        margin_t=12,
        showlegend=False,
    )


def broken(title: str) -> str:
    """A system's title on two lines, where it is one of an ablation."""
    return title.replace(" w/o ", "<br>w/o ")


def _marks(dots: Sequence[Dot], symbol: str) -> dict[str, Any]:
    return {
        "type": "scatter",
        "x": [dot.value for dot in dots],
        "y": [dot.name for dot in dots],
        "mode": "markers",
        "marker": {
            "size": 10,
            "symbol": symbol,
            "color": [dot.colour for dot in dots],
            "line": {"width": 2},
        },
        "customdata": [_written(dot) for dot in dots],
        "hovertemplate": "%{y}: %{customdata}<extra></extra>",
    }


def _written(dot: Dot) -> str:
    if dot.span is None:
        return f"{dot.value:+.1f} points"
    return f"{dot.value:+.1f} points [{dot.span[0]:+.1f}, {dot.span[1]:+.1f}]"


def _whiskers(dots: Sequence[Dot]) -> dict[str, Any]:
    spans = [dot.span or (dot.value, dot.value) for dot in dots]
    return {
        "type": "data",
        "symmetric": False,
        "array": [high - dot.value for dot, (_, high) in zip(dots, spans, strict=True)],
        "arrayminus": [dot.value - low for dot, (low, _) in zip(dots, spans, strict=True)],
        "thickness": 1.4,
        "width": 4,
        "color": TEXT,
    }
