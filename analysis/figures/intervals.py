"""Differences as dots with intervals, one below the other, around a line at zero."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from analysis.figures.theme import (
    LEGEND_BELOW,
    SYSTEM_COLOURS,
    TEXT,
    class_colour,
    class_symbol,
    finish,
)
from analysis.stats.comparison import Comparison
from analysis.stats.paper import FULL, NO_DIFFERENTIAL, NO_MCA, NO_RSE, Paper
from analysis.stats.per_class import ANSWERED, ClassScores
from cry_model.records import Estimate, dataset_title, words

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


MODULES = {NO_MCA: "MCA", NO_RSE: "RSE", NO_DIFFERENTIAL: "differential attention"}
"""Ablation -> the module that it lacks."""
WITHOUT = {system: f"without {module}" for system, module in MODULES.items()}
PATTERNS = dict(zip(MODULES, ("", "/", "."), strict=True))
"""What tells the bars apart where colours do not."""


def ablation_figure(drops: Sequence[Comparison], paper: Paper | None = None) -> go.Figure:
    """Bars with intervals, a group for each dataset and protocol.

    Args:
        drops: the improved system minus one of :data:`WITHOUT`, all in one metric; others are
            passed over.
        paper: whose drops in accuracy stand first, without intervals, for it gives none.
    """
    drops = [drop for drop in drops if drop.one == FULL and drop.other in WITHOUT]
    bars = []
    for system, name in WITHOUT.items():
        own = [drop for drop in drops if drop.other == system]
        if paper is not None:
            stated = 100 * paper_drop(paper, system)
            bars.append(_bar(system, name, x=["the paper<br>(accuracy)"], y=[stated]))
            bars[-1].showlegend = not own
        x = [cell_title(drop.dataset, drop.protocol) for drop in own]
        y = [100 * drop.difference.value for drop in own]
        bars.append(
            _bar(system, name, x=x, y=y, error_y=_ablation_whiskers(own), showlegend=bool(own))
        )
    metric = words(drops[0].metric) if drops else "accuracy"
    layout = {
        "yaxis": {"title": {"text": f"{metric} lost (points)"}},
        "barmode": "group",
        "bargap": 0.3,
    }
    figure = finish(go.Figure(bars, layout), height=340)
    figure.layout.yaxis.update(zeroline=True, zerolinecolor=TEXT, zerolinewidth=1)
    figure.layout.margin.b = 64
    return figure


def paper_drop(paper: Paper, system: str) -> float:
    """The accuracy that the paper loses without the module, 0 to 1."""
    return paper.accuracy[FULL] - paper.accuracy[system]


def cell_title(dataset: str, protocol: str) -> str:
    """A dataset and a protocol, on two lines."""
    return f"{dataset_title(dataset)}<br>{protocol}"


def _bar(system: str, name: str, **values: object) -> go.Bar:
    return go.Bar(
        name=name,
        offsetgroup=system,
        marker={
            "color": SYSTEM_COLOURS[system],
            "line": {"width": 0},
            "pattern": {
                "shape": PATTERNS[system],
                "fillmode": "overlay",
                "size": 7,
                "solidity": 0.2,
            },
        },
        hovertemplate="%{x}: %{y:.1f} points",
        **values,
    )


def _ablation_whiskers(drops: Sequence[Comparison]) -> dict[str, object]:
    """From each bar to the ends of its interval."""
    estimates = [drop.difference for drop in drops]
    return {
        "type": "data",
        "symmetric": False,
        "array": [100 * (e.high - e.value) for e in estimates],
        "arrayminus": [100 * (e.value - e.low) for e in estimates],
        "color": TEXT,
        "thickness": 1,
        "width": 3,
    }


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
