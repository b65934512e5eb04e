"""What a system scores against what it costs: a point with its interval and its name for each."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import plotly.graph_objects as go

from analysis.figures.theme import SYSTEM_COLOURS, TEXT, finish
from analysis.label_places import Point, label_places
from analysis.panels.scores import metric_words
from analysis.panels.systems_rows import STATED, CostAxis, SystemRow
from analysis.stats.paper import FULL, NO_DIFFERENTIAL, NO_MCA, NO_RSE
from cry_model.registry import ON_FEATURES

HEIGHT, TOP, BOTTOM = 460, 16, 56  # pixels
COARSE, FINE = (1, 2, 5), (1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8)  # ticks of a decade
SHORT: Mapping[str, str] = {
    FULL: "improved",
    NO_MCA: "w/o MCA",
    NO_RSE: "w/o RSE",
    NO_DIFFERENTIAL: "w/o diff. att.",
    "ecapa-tdnn": "ECAPA-TDNN",
    "resnet18": "ResNet18",
    ON_FEATURES: "feature MLP",
}
"""Names that fit beside their points on a phone."""


def plotted(rows: Sequence[SystemRow], cost: CostAxis) -> tuple[SystemRow, ...]:
    """Those whose score and cost are both known."""
    return tuple(row for row in rows if row.score is not None and cost.of(row) is not None)


def systems_scatter(rows: Sequence[SystemRow], metric: str, cost: CostAxis) -> go.Figure:
    """The costs on a logarithmic axis, the paper's points hollow; ``rows`` are those plotted."""
    span = _span([math.log10(cost.of(row)) for row in rows], 0.12)
    ends = [end for row in rows for end in (row.score.low, row.score.high)]
    rise = _span([100 * end for end in ends], 0.08)
    layout = {
        "xaxis": {
            "type": "log",
            "range": span,
            "tickvals": _ticks(span),
            "title": {"text": f"{cost.axis}, log scale", "font": {"size": 12}},
        },
        "yaxis": {"range": rise, "title": {"text": f"{metric_words(metric)} per recording (%)"}},
        "annotations": _names(rows, cost, span, rise),
        "showlegend": False,
        "hovermode": "closest",
    }
    figure = finish(go.Figure([_point(row, cost) for row in rows], layout), HEIGHT)
    figure.layout.margin.update(t=TOP, b=BOTTOM)
    return figure


def names_of(
    rows: Sequence[SystemRow], cost: CostAxis, span: Sequence[float], rise: Sequence[float]
) -> list[Point]:
    """The points with their names, by their shares of the plotting area."""

    def share(score: float) -> float:
        return (100 * score - rise[0]) / (rise[1] - rise[0])

    return [
        Point(
            x=(math.log10(cost.of(row)) - span[0]) / (span[1] - span[0]),
            y=share(row.score.value),
            low=share(row.score.low),
            high=share(row.score.high),
            name=(SHORT.get(row.system, row.system) + STATED * row.stated,),
        )
        for row in rows
    ]


def _names(
    rows: Sequence[SystemRow], cost: CostAxis, span: Sequence[float], rise: Sequence[float]
) -> list[dict[str, object]]:
    points = names_of(rows, cost, span, rise)
    places = label_places(points, HEIGHT - TOP - BOTTOM)
    return [
        {
            "x": math.log10(cost.of(row)),
            "y": 100 * row.score.value,
            "ax": place.right,
            "ay": -place.up,
            "text": "<br>".join(point.name),
            "font": {"size": 11},
            "showarrow": True,
            "arrowhead": 0,
            "arrowwidth": 1,
            "arrowcolor": SYSTEM_COLOURS.get(row.system, TEXT),
            "standoff": 7,
        }
        for row, point, place in zip(rows, points, places, strict=True)
    ]


def _point(row: SystemRow, cost: CostAxis) -> go.Scatter:
    e = row.score
    marker = {"size": 11, "color": SYSTEM_COLOURS.get(row.system, TEXT), "symbol": "circle"}
    interval = f" ({100 * e.low:.1f} to {100 * e.high:.1f})"
    bar = {"array": [100 * (e.high - e.value)], "arrayminus": [100 * (e.value - e.low)]}
    if row.stated:
        marker |= {"symbol": "diamond-open", "line": {"width": 2}}
        interval, bar = "", {"array": [0], "arrayminus": [0], "visible": False}
    return go.Scatter(
        x=[cost.of(row)],
        y=[100 * e.value],
        error_y={"type": "data", "symmetric": False, "thickness": 1.2, "width": 4, **bar},
        mode="markers",
        marker=marker,
        name=row.title,
        hovertemplate=f"{row.title}<br>%{{y:.1f}} %{interval}<br>%{{x:.3g}}<extra></extra>",
    )


def _ticks(span: Sequence[float]) -> list[float]:
    """Where round numbers stand on a logarithmic axis; close to each other on a short one."""
    steps = FINE if span[1] - span[0] < 0.7 else COARSE
    ticks = [step * 10.0**power for power in range(-6, 6) for step in steps]
    return [tick for tick in ticks if span[0] <= math.log10(tick) <= span[1]]


def _span(values: Sequence[float], share: float) -> list[float]:
    """From the least to the greatest, and as much more on either side."""
    low, high = min(values), max(values)
    beyond = share * (high - low) or 0.5
    return [low - beyond, high + beyond]
