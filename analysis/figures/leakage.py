"""What a split lets through: one metric under `clip`, `recording` and `baby`, on one axis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from analysis.figures.theme import SYSTEM_COLOURS, TEXT, finish
from analysis.split_words import tick
from analysis.stats.recordings import guess
from analysis.stats.runs import PROTOCOLS, MeasuredRun
from analysis.stats.side_results import Yardstick
from cry_model.records import Estimate, dataset_title, words
from cry_model.registry import get_system, list_models

SYMBOLS = ("circle", "square", "diamond", "triangle-up", "triangle-down", "x", "star")
BESIDE = (
    ("dash", "diamond-open"),
    ("dashdot", "square-open"),
    ("dot", "circle-open"),
    ("longdash", "x-open"),
    ("longdashdot", "star-open"),
)
"""Dashes and symbol of the yardsticks."""
Part = dict[str, Any]
"""Of a figure, for Plotly: put together as plain dicts, which it checks in a tenth of the time."""


def leakage_figure(
    runs: Sequence[MeasuredRun],
    metric: str = "balanced_accuracy",
    beside: Sequence[Yardstick] = (),
) -> go.Figure:
    """Points with intervals, a line for each system; a dotted line marks what guessing scores.

    Args:
        runs: all to be shown; several datasets get a panel each.
        metric: one of :data:`analysis.stats.recordings.SCORES`.
        beside: other ways to answer on the same recordings.
    """
    datasets = sorted({run.dataset for run in runs})
    figure = _panels(datasets, runs)
    order = list(dict.fromkeys(yardstick.name for yardstick in beside))
    lines: list[Part] = []
    marks: Part = {"shapes": [], "annotations": list(figure.layout.annotations)}
    for number, dataset in enumerate(datasets, 1):
        axis = "" if number == 1 else str(number)
        own = [run for run in runs if run.dataset == dataset]
        ways = [yardstick for yardstick in beside if yardstick.dataset == dataset]
        named = {line["legendgroup"] for line in lines}
        lines += [
            {**line, "xaxis": f"x{axis}", "yaxis": f"y{axis}"}
            for line in (*_systems(own, metric, named), *_yardsticks(ways, order, named))
        ]
        shape, label = _guessing(own[0], metric, axis)
        marks["shapes"].append(shape)
        marks["annotations"].append(label)
        marks[f"xaxis{axis}"] = _splits(dataset)
    figure.add_traces(lines)
    finish(figure, height=360 + 12 * len(figure.data))
    marks["yaxis_title_text"] = f"{words(metric)} per recording"
    if len(datasets) > 1:  # whose names and the legend would share the line above the panels
        marks |= {"legend": {"y": -0.2, "yanchor": "top"}, "margin_b": 140}
    return figure.update_layout(scattermode="group", scattergap=0.5, **marks)


def _panels(datasets: Sequence[str], runs: Sequence[MeasuredRun]) -> go.Figure:
    """One beside the other, each as wide as it has splits."""
    if len(datasets) < 2:
        return go.Figure()
    return make_subplots(
        1,
        len(datasets),
        shared_yaxes=True,
        subplot_titles=[dataset_title(name) for name in datasets],
        column_widths=[len({r.protocol for r in runs if r.dataset == d}) for d in datasets],
        horizontal_spacing=0.04,
    )


def _systems(runs: Sequence[MeasuredRun], metric: str, named: set[str]) -> list[Part]:
    """A line for each, in the order of the registry; ``named`` are in the legend already."""
    lines = []
    for number, system in enumerate(list_models()):
        own = sorted(
            (run for run in runs if run.system == system),
            key=lambda run: PROTOCOLS.index(run.protocol),
        )
        if own:
            colour, symbol = SYSTEM_COLOURS[system], SYMBOLS[number % len(SYMBOLS)]
            estimates = [run.evaluation.metrics[metric] for run in own]
            lines.append(
                {
                    **_line([run.protocol for run in own], estimates),
                    "marker": {"size": 8, "symbol": symbol, "color": colour},
                    "line": {"width": 1.5, "color": colour},
                    "name": get_system(system).title,
                    "legendgroup": system,
                    "showlegend": system not in named,
                }
            )
    return lines


def _yardsticks(beside: Sequence[Yardstick], order: Sequence[str], named: set[str]) -> list[Part]:
    """As :func:`_systems`, in grey and with dashes."""
    lines = []
    for name in dict.fromkeys(yardstick.name for yardstick in beside):
        own = sorted(
            (yardstick for yardstick in beside if yardstick.name == name),
            key=lambda yardstick: PROTOCOLS.index(yardstick.protocol),
        )
        dash, symbol = BESIDE[order.index(name) % len(BESIDE)]
        lines.append(
            {
                **_line([y.protocol for y in own], [y.estimate for y in own]),
                "marker": {"size": 8, "symbol": symbol, "color": TEXT},
                "line": {"width": 1.2, "color": TEXT, "dash": dash},
                "name": own[0].title,
                "legendgroup": name,
                "showlegend": name not in named,
            }
        )
    return lines


def _line(protocols: Sequence[str], estimates: Sequence[Estimate]) -> Part:
    return {
        "type": "scatter",
        "x": list(protocols),
        "y": [e.value for e in estimates],
        "error_y": {
            "type": "data",
            "symmetric": False,
            "array": [e.high - e.value for e in estimates],
            "arrayminus": [e.value - e.low for e in estimates],
            "thickness": 1.2,
            "width": 3,
        },
        "mode": "lines+markers",
        "customdata": [[e.low, e.high] for e in estimates],
        "hovertemplate": "%{y:.3f} [%{customdata[0]:.3f}, %{customdata[1]:.3f}]",
    }


def _splits(dataset: str) -> Part:
    return {
        "categoryorder": "array",
        "categoryarray": PROTOCOLS,
        "tickvals": PROTOCOLS,
        "ticktext": [tick(dataset, protocol) for protocol in PROTOCOLS],
        "tickangle": 0,
    }


def _guessing(run: MeasuredRun, metric: str, axis: str) -> tuple[Part, Part]:
    """The line and what it is called, at its left end."""
    level = guess(run.evaluation, metric)
    where = {"xref": f"x{axis} domain", "yref": f"y{axis}"}
    line = {"color": TEXT, "dash": "dot", "width": 1.5}
    shape = {"type": "line", "x0": 0, "x1": 1, "y0": level.value, "y1": level.value, "line": line}
    label = {
        "text": f"{level.who} {level.value:.3f}",
        "x": 0,
        "y": level.value,
        "xanchor": "left",
        "yanchor": "bottom",
        "showarrow": False,
        "font": {"size": 11},
    }
    return {**shape, **where}, {**label, **where}
