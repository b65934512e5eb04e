"""ROC and precision-recall curves of all classes, each named with the area under it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from analysis.figures.theme import (
    LEGEND_BELOW,
    SYSTEM_COLOURS,
    TEXT,
    class_colour,
    class_dash,
    diagonal,
    finish,
    system_dash,
)
from analysis.stats.calibration import ALL, DRAWN, SHARES, Coverage, Reliability
from analysis.stats.per_class import ClassScores, Curve
from cry_model.metrics import BINS
from cry_model.records import words
from cry_model.registry import SYSTEMS

Trace = dict[str, Any]
"""A scatter as Plotly takes it; an object of its own would be built twice."""


def roc_figure(curves: Mapping[str, Curve], scores: Sequence[ClassScores]) -> go.Figure:
    """A curve for each class that has one.

    Args:
        curves: label -> its ROC curve.
        scores: of all classes, in the order of the labels.
    """
    hover = "%{y:.0%} found, %{x:.0%} of the others taken for it"
    lines = _lines(curves, scores, "auc", "linear", hover)
    return _of_curves(
        [diagonal("guessing 0.50"), *lines], "false positive rate", "true positive rate (recall)"
    )


def precision_recall_figure(
    curves: Mapping[str, Curve], scores: Sequence[ClassScores]
) -> go.Figure:
    """The same of precision and recall, with the share of each class as a thin line."""
    labels = tuple(own.label for own in scores)
    baselines = [
        {
            "x": [0, 1],
            "y": [own.share] * 2,
            "mode": "lines",
            "line": {"width": 1, **_look(labels, own.label)},
            "opacity": 0.7,
            "legendgroup": own.label,
            "showlegend": False,
            "hovertemplate": f"share of {words(own.label)}: %{{y:.1%}}<extra></extra>",
        }
        for own in scores
        if own.label in curves
    ]
    hover = "%{y:.0%} of the answers right, %{x:.0%} found"
    lines = _lines(curves, scores, "average_precision", "vh", hover)
    return _of_curves([*baselines, *lines], "recall", "precision")


def _lines(
    curves: Mapping[str, Curve], scores: Sequence[ClassScores], area: str, shape: str, hover: str
) -> list[Trace]:
    labels, lines = tuple(own.label for own in scores), []
    for own in scores:
        if own.label in curves:
            e, (x, y) = own.measures[area], curves[own.label]
            trace = {
                "x": x.round(4),
                "y": y.round(4),
                "mode": "lines",
                "line": {"width": 2, "shape": shape, **_look(labels, own.label)},
                "name": f"{words(own.label)} {e.value:.2f} [{e.low:.2f}, {e.high:.2f}]",
                "legendgroup": own.label,
                "hovertemplate": hover,
            }
            lines.append(trace)
    return lines


def _look(labels: tuple[str, ...], label: str) -> dict[str, str]:
    return {"color": class_colour(labels, label), "dash": class_dash(labels, label)}


def _of_curves(traces: Sequence[Trace], x: str, y: str) -> go.Figure:
    layout = {
        "xaxis": {"range": [-0.01, 1.01], "title": {"text": x}},
        "yaxis": {"range": [-0.02, 1.02], "title": {"text": y}},
    }
    named = sum("name" in trace for trace in traces)
    figure = finish(go.Figure(traces, layout), height=440 + 12 * named)
    return figure.update_layout(legend=LEGEND_BELOW, margin_t=12)


def coverage_figure(found: Mapping[str, Coverage], chosen: str) -> go.Figure:
    """The accuracy of the surest answers of each system.

    Args:
        found: system -> its coverage.
        chosen: the one that stands out, with its interval and what the most frequent label would
            score on the same recordings.
    """
    own = found[chosen]
    others = [_line(name, curve, width=1.2) for name, curve in found.items() if name != chosen]
    usual = words(own.usual)
    flat = [own.usual_accuracy[ALL]] * 2
    traces = [
        _band(own, SYSTEM_COLOURS.get(chosen, TEXT)),
        _plain([SHARES[DRAWN][0], 1], flat, f"always “{usual}”, of all", "dot"),
        _plain(SHARES[DRAWN], own.usual_accuracy[DRAWN], f"always “{usual}”, of these", "dashdot"),
        *others,
        _line(chosen, own, width=3.5),
    ]
    layout = {
        "xaxis": {
            "title": {"text": "share of recordings answered"},
            "tickformat": ".0%",
            "tickvals": [SHARES[DRAWN][0], 0.25, 0.5, 0.75, 1],
            "range": [0.03, 1.02],
        },
        "yaxis": {"title": {"text": "accuracy"}, "tickformat": ".0%"},
    }
    figure = finish(go.Figure(traces, layout), height=420 + 12 * len(traces))
    return figure.update_layout(legend=LEGEND_BELOW, margin_t=12)


def _line(system: str, own: Coverage, width: float) -> dict[str, Any]:
    return {
        "x": SHARES[DRAWN],
        "y": [round(e.value, 4) for e in own.accuracy[DRAWN]],
        "mode": "lines",
        "line": {
            "color": SYSTEM_COLOURS.get(system, TEXT),
            "dash": system_dash(system),
            "width": width,
        },
        "name": SYSTEMS[system].title if system in SYSTEMS else system,
        "hovertemplate": "the surest %{x:.0%}: %{y:.1%} right",
    }


def _plain(x: Any, y: Any, name: str, dash: str) -> dict[str, Any]:
    line = {"color": TEXT, "dash": dash, "width": 1.5}
    hover = "the surest %{x:.0%}: %{y:.1%} right"
    return {"x": x, "y": y, "mode": "lines", "line": line, "name": name, "hovertemplate": hover}


def _band(own: Coverage, colour: str) -> dict[str, Any]:
    """Up along the lower ends of the intervals, back along the upper ones."""
    x, drawn = SHARES[DRAWN], own.accuracy[DRAWN]
    return {
        "x": [*x, *x[::-1]],
        "y": [round(y, 4) for y in (*(e.low for e in drawn), *(e.high for e in drawn[::-1]))],
        "fill": "toself",
        "fillcolor": colour,
        "opacity": 0.2,
        "mode": "lines",
        "line": {"width": 0},
        "showlegend": False,
        "hoverinfo": "skip",
    }


BEFORE, AFTER = "as the system says", "after temperature scaling"
CENTRES = (np.arange(BINS) + 0.5) / BINS


def reliability_figure(found: Mapping[str, Reliability], system: str) -> go.Figure:
    """Accuracy against confidence above, the number of answers in each bin below.

    Args:
        found: one for :data:`BEFORE`, and one for :data:`AFTER` if there is.
        system: its name.
    """
    colour = SYSTEM_COLOURS.get(system, TEXT)
    figure = make_subplots(2, 1, shared_xaxes=True, row_heights=[0.8, 0.2], vertical_spacing=0.03)
    points = [_points(name, own, colour) for name, own in found.items()]
    bars = [_bars(name, own, colour) for name, own in found.items()]
    rows = [1] * (1 + len(points)) + [2] * len(bars)
    figure.add_traces(
        [diagonal("as right as sure"), *points, *bars], rows=rows, cols=[1] * len(rows)
    )
    finish(figure, height=470)
    return figure.update_layout(
        xaxis={"range": [-0.01, 1.01]},
        xaxis2={"range": [-0.01, 1.01], "title": {"text": "confidence"}},
        yaxis={"range": [-0.03, 1.03], "title": {"text": "share that is right"}},
        yaxis2={"title": {"text": "answers"}, "nticks": 3},
        legend=LEGEND_BELOW,
        margin_t=12,
        bargap=0.1,
    )


def _points(name: str, own: Reliability, colour: str) -> dict[str, Any]:
    return {
        "x": own.confidence,
        "y": [e.value for e in own.accuracy],
        "error_y": {
            "type": "data",
            "symmetric": False,
            "array": [e.high - e.value for e in own.accuracy],
            "arrayminus": [e.value - e.low for e in own.accuracy],
            "thickness": 1.2,
            "width": 3,
        },
        "mode": "lines+markers",
        "line": {"color": colour, "width": 1.5, "dash": "dash" if name == BEFORE else "solid"},
        "marker": {"size": 9, "symbol": "circle-open" if name == BEFORE else "circle"},
        "name": name,
        "legendgroup": name,
        "customdata": own.answers,
        "hovertemplate": "%{customdata} answers, %{x:.0%} sure: %{y:.0%} right",
    }


def _bars(name: str, own: Reliability, colour: str) -> dict[str, Any]:
    filled = name == AFTER
    return {
        "type": "bar",
        "x": CENTRES,
        "y": own.answers,
        "marker": {
            "color": colour if filled else "rgba(0, 0, 0, 0)",
            "line": {"color": colour, "width": 0 if filled else 1.5},
        },
        "name": name,
        "legendgroup": name,
        "showlegend": False,
        "hovertemplate": "%{y} answers",
    }
