"""What a split lets through: one metric under `clip`, `recording` and `baby`, on one axis."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from analysis.measured_run import MeasuredRun
from analysis.runs import PROTOCOLS
from analysis.style import SYSTEM_COLOURS, TEXT, finish
from cry_model.evaluation import dataset_title, words
from cry_model.registry import get_system, list_models


def leakage_figure(
    runs: Sequence[MeasuredRun], metric: str = "balanced_accuracy", chance: bool = True
) -> go.Figure:
    """Points with intervals, a panel for each dataset, a line for each system.

    Args:
        runs: all to be shown.
        metric: of :data:`cry_model.metrics.METRICS`.
        chance: whether a dotted line marks what guessing scores; for the balanced accuracy.
    """
    datasets = sorted({run.dataset for run in runs})
    titles = [dataset_title(name) for name in datasets]
    figure = make_subplots(1, max(1, len(datasets)), shared_yaxes=True, subplot_titles=titles)
    named: set[str] = set()
    for column, dataset in enumerate(datasets, 1):
        own = [run for run in runs if run.dataset == dataset]
        for system in (name for name in list_models() if name in {run.system for run in own}):
            line = _line([run for run in own if run.system == system], metric)
            figure.add_trace(line.update(showlegend=system not in named), 1, column)
            named.add(system)
        if chance:
            level = own[0].evaluation.chance
            figure.add_hline(y=level, line={"color": TEXT, "dash": "dot"}, row=1, col=column)
    figure.update_xaxes(categoryorder="array", categoryarray=PROTOCOLS)
    figure.update_yaxes(title_text=f"{words(metric)} per recording", col=1)
    # Names of panels and the legend would share the line above the panels.
    finish(figure, height=400).update_layout(
        scattermode="group", scattergap=0.5, legend={"y": -0.12, "yanchor": "top"}, margin_b=110
    )
    return figure


def _line(runs: Sequence[MeasuredRun], metric: str) -> go.Scatter:
    runs = sorted(runs, key=lambda run: PROTOCOLS.index(run.protocol))
    estimates = [run.evaluation.metrics[metric] for run in runs]
    system = runs[0].system
    return go.Scatter(
        x=[run.protocol for run in runs],
        y=[e.value for e in estimates],
        error_y={
            "type": "data",
            "symmetric": False,
            "array": [e.high - e.value for e in estimates],
            "arrayminus": [e.value - e.low for e in estimates],
            "thickness": 1.2,
            "width": 3,
        },
        mode="lines+markers",
        line={"width": 1.5},
        marker={"size": 7},
        marker_color=SYSTEM_COLOURS[system],
        line_color=SYSTEM_COLOURS[system],
        name=get_system(system).title,
        legendgroup=system,
        hovertemplate="%{x}: %{y:.3f}",
    )
