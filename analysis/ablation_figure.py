"""What each module is worth: the drop of a metric when it is left out, beside the paper's."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go

from analysis.comparison import Comparison
from analysis.paper import FULL, NO_DIFFERENTIAL, NO_MCA, NO_RSE, Paper
from analysis.style import SYSTEM_COLOURS, TEXT, finish
from cry_model.records import dataset_title, words

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
        bars.append(_bar(system, name, x=x, y=y, error_y=_whiskers(own), showlegend=bool(own)))
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


def _whiskers(drops: Sequence[Comparison]) -> dict[str, object]:
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
