"""A reliability diagram: how often answers of some confidence are right, before and after."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from analysis.reliability import Reliability
from analysis.style import LEGEND_BELOW, SYSTEM_COLOURS, TEXT, diagonal, finish
from cry_model.metrics import BINS

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
