"""How well each class is found: recall, precision and F1 as points with intervals."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from analysis.class_scores import ANSWERED, ClassScores
from analysis.style import LEGEND_BELOW, TEXT, class_colour, class_symbol, finish
from cry_model.records import Estimate, words

MEASURE_TITLES = {
    "recall": "recall",
    "precision": "precision",
    "f1": "F1",
    "auc": "ROC AUC",
    "average_precision": "average precision",
}


def guessing(measure: str, share: float, chance: float) -> float:
    """What answering each class as often as any other would score.

    Args:
        measure: of :data:`ANSWERED`.
        share: of the class among the recordings.
        chance: one over the number of classes.
    """
    harmonic = 2 * share * chance / (share + chance)
    return {"recall": chance, "precision": share, "f1": harmonic}[measure]


def class_dots(scores: Sequence[ClassScores], chance: float) -> go.Figure:
    """Recall, precision and F1 of each class, beside those of guessing.

    Args:
        scores: in the order of the labels.
        chance: as for :func:`guessing`.
    """
    titles = [MEASURE_TITLES[measure] for measure in ANSWERED]
    figure = make_subplots(1, 3, shared_yaxes=True, subplot_titles=titles, horizontal_spacing=0.04)
    labels = tuple(own.label for own in scores)
    traces = []
    for measure in ANSWERED:
        estimates = [own.measures[measure] for own in scores]
        guessed = [guessing(measure, own.share, chance) if own.share else None for own in scores]
        traces += [
            _guess_marks(guessed, labels, shown=not traces),
            _dots(estimates, labels),
            _words_for_missing(estimates, labels),
        ]
    figure.add_traces(traces, rows=[1] * 9, cols=[1, 1, 1, 2, 2, 2, 3, 3, 3])
    finish(figure, height=130 + 26 * len(labels))
    figure.update_xaxes(range=[-0.04, 1.04], tickvals=[0, 0.5, 1], ticktext=["0", "0.5", "1"])
    figure.update_annotations(font_size=13)
    order = [words(label) for label in reversed(labels)]
    figure.update_yaxes(categoryorder="array", categoryarray=order, ticklabelstandoff=4)
    return figure.update_layout(legend=LEGEND_BELOW)


def _guess_marks(
    values: Sequence[float | None], labels: tuple[str, ...], shown: bool
) -> go.Scatter:
    return go.Scatter(
        x=values,
        y=[words(label) for label in labels],
        mode="markers",
        marker={"symbol": "line-ns", "size": 14, "line": {"color": TEXT, "width": 2}},
        name="answering at random",
        showlegend=shown,
        hovertemplate="%{y} at random: %{x:.2f}<extra></extra>",
    )


def _dots(estimates: Sequence[Estimate], labels: tuple[str, ...]) -> go.Scatter:
    return go.Scatter(
        x=[e.value for e in estimates],
        y=[words(label) for label in labels],
        error_x={
            "type": "data",
            "symmetric": False,
            "array": [e.high - e.value for e in estimates],
            "arrayminus": [e.value - e.low for e in estimates],
            "color": TEXT,
            "thickness": 1.5,
            "width": 3,
        },
        mode="markers",
        marker={
            "color": [class_colour(labels, label) for label in labels],
            "symbol": [class_symbol(labels, label) for label in labels],
            "size": 9,
        },
        showlegend=False,
        customdata=[f"{e.low:.2f} to {e.high:.2f}" for e in estimates],
        hovertemplate="%{y}: %{x:.2f} (%{customdata})<extra></extra>",
    )


def _words_for_missing(estimates: Sequence[Estimate], labels: tuple[str, ...]) -> go.Scatter:
    pairs = zip(labels, estimates, strict=True)
    missing = [words(label) for label, e in pairs if np.isnan(e.value)]
    return go.Scatter(
        x=[0] * len(missing),
        y=missing,
        mode="text",
        text="undefined",
        textposition="middle right",
        textfont={"size": 10},
        showlegend=False,
        hoverinfo="skip",
    )
