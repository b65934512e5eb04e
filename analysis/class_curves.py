"""ROC and precision-recall curves of all classes, each named with the area under it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from analysis.class_scores import ClassScores
from analysis.curves import Curve
from analysis.style import LEGEND_BELOW, class_colour, class_dash, diagonal, finish
from cry_model.records import words

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
