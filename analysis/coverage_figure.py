"""Accuracy against coverage, a line for each system."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import plotly.graph_objects as go

from analysis.coverage import ALL, DRAWN, SHARES, Coverage
from analysis.style import LEGEND_BELOW, SYSTEM_COLOURS, TEXT, finish, system_dash
from cry_model.records import words
from cry_model.registry import SYSTEMS


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
