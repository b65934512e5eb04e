"""The improved system and its ablations, each fold of each seed, the paper's values: one figure."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
import plotly.graph_objects as go

from analysis.ablation_figure import WITHOUT
from analysis.dashboard.scores import guessing, metric_words
from analysis.fold_scores import fold_scores
from analysis.measured_run import MeasuredRun
from analysis.paper import FULL, Paper
from analysis.style import SYSTEM_COLOURS, TEXT, finish

NAMES = {FULL: "all modules", **WITHOUT}
ROW = 72  # pixels
BESIDE = 0.24  # of a row, by which folds lie below the system's own mark and the paper's above it


def ablation_scores(
    runs: Mapping[str, MeasuredRun], metric: str, paper: Paper | None
) -> pd.DataFrame:
    """Everything that the figure shows, a row for each mark.

    Args:
        runs: system -> its run, all of one cell.
        metric: of :data:`cry_model.metrics.METRICS`.
        paper: None if it has no such metric.

    Returns:
        Columns mark ("measured", "fold", "paper" or "guessing"), system, seed, fold, value, low
        and high; the last of it all 0 to 1.

    Raises:
        ResultsError: if the predictions of a run cannot be read.
    """
    rows = []
    for system, run in runs.items():
        e = run.evaluation.metrics[metric]
        rows.append(("measured", system, None, None, e.value, e.low, e.high))
        for fold in fold_scores(run, metric):
            rows.append(("fold", system, fold.seed, fold.fold, fold.value, None, None))
        if paper is not None:
            rows.append(("paper", system, None, None, paper.accuracy[system], None, None))
    guess = guessing(next(iter(runs.values())).evaluation, metric)
    if guess is not None:
        rows.append(("guessing", guess.words, None, None, guess.value, None, None))
    columns = ["mark", "system", "seed", "fold", "value", "low", "high"]
    table = pd.DataFrame(rows, columns=columns)
    return table.astype({"seed": "Int64", "fold": "Int64"})


def ablation_scores_figure(table: pd.DataFrame, metric: str) -> go.Figure:
    """A line for each system, all modules on top; ``table`` as :func:`ablation_scores` gives it."""
    systems = [name for name in NAMES if name in set(table["system"])]
    places = {system: float(-place) for place, system in enumerate(systems)}
    traces = []
    for mark, draw in (("fold", _folds), ("paper", _paper), ("measured", _measured)):
        own = table[table["mark"] == mark]
        if not own.empty:
            traces.append(draw(own, places))
    for guess in table[table["mark"] == "guessing"].itertuples():
        traces.append(_guess(guess.system, 100 * guess.value, len(systems)))
    names = {
        "tickvals": list(places.values()),
        "ticktext": [NAMES[system].replace(" ", "<br>") for system in systems],
        "range": [0.5 - len(systems), 0.5],
        "showgrid": False,
    }
    title = {"title": {"text": f"{metric_words(metric)} per recording (%)"}}
    figure = go.Figure(traces, {"xaxis": title, "yaxis": names, "hovermode": "closest"})
    finish(figure, height=142 + ROW * len(systems)).layout.margin.b = 56
    return figure


def _measured(own: pd.DataFrame, places: Mapping[str, float]) -> go.Scatter:
    value = 100 * own["value"]
    return go.Scatter(
        x=value,
        y=own["system"].map(places),
        error_x={
            "type": "data",
            "symmetric": False,
            "array": 100 * own["high"] - value,
            "arrayminus": value - 100 * own["low"],
            "color": TEXT,
            "thickness": 1.5,
            "width": 5,
        },
        mode="markers",
        marker={"size": 12, "color": own["system"].map(SYSTEM_COLOURS), "symbol": "square"},
        name="all folds, with 95 % interval",
        legendrank=1,
        customdata=100 * own[["low", "high"]],
        hovertemplate="%{x:.1f} % (%{customdata[0]:.1f} to %{customdata[1]:.1f})<extra></extra>",
    )


def _folds(own: pd.DataFrame, places: Mapping[str, float]) -> go.Scatter:
    return go.Scatter(
        x=100 * own["value"],
        y=own["system"].map(places) - BESIDE,
        mode="markers",
        marker={"size": 6, "color": TEXT, "opacity": 0.7},
        name="one fold of one seed",
        legendrank=2,
        customdata=own[["seed", "fold"]],
        hovertemplate="%{x:.1f} %, seed %{customdata[0]}, fold %{customdata[1]}<extra></extra>",
    )


def _paper(own: pd.DataFrame, places: Mapping[str, float]) -> go.Scatter:
    return go.Scatter(
        x=100 * own["value"],
        y=own["system"].map(places) + BESIDE,
        mode="markers",
        marker={"size": 10, "color": TEXT, "symbol": "diamond-open", "line": {"width": 2}},
        name="the paper, another corpus",
        legendrank=3,
        hovertemplate="the paper: %{x:.2f} %<extra></extra>",
    )


def _guess(name: str, value: float, count: int) -> go.Scatter:
    return go.Scatter(
        x=[value, value],
        y=[0.5 - count, 0.5],
        mode="lines",
        line={"color": TEXT, "dash": "dot", "width": 1.5},
        name=name,
        legendrank=4,
        hovertemplate=f"{name}: %{{x:.1f}} %<extra></extra>",
    )
