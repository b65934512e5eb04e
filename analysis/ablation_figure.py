"""What each module is worth: the drop of a metric when it is left out, beside the paper's."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go

from analysis.comparison import Comparison
from analysis.paper import FULL, NO_DIFFERENTIAL, NO_MCA, NO_RSE, Paper
from analysis.style import SYSTEM_COLOURS, TEXT, finish
from cry_model.evaluation import dataset_title, words

WITHOUT = {
    NO_MCA: "without MCA",
    NO_RSE: "without RSE",
    NO_DIFFERENTIAL: "without differential attention",
}


def ablation_figure(drops: Sequence[Comparison], paper: Paper | None = None) -> go.Figure:
    """Bars with intervals, a group for each dataset and protocol.

    Args:
        drops: the improved system minus one of :data:`WITHOUT`, all in one metric; others are
            passed over.
        paper: whose drops in accuracy stand first, without intervals, for it gives none.
    """
    drops = [drop for drop in drops if drop.one == FULL and drop.other in WITHOUT]
    figure = go.Figure()
    for system, name in WITHOUT.items():
        own = [drop for drop in drops if drop.other == system]
        if paper is not None:
            stated = go.Bar(x=["the paper<br>(accuracy)"], y=[100 * paper_drop(paper, system)])
            figure.add_trace(stated.update(_looks(system, name), showlegend=not own))
        figure.add_bar(
            x=[cell_title(drop.dataset, drop.protocol) for drop in own],
            y=[100 * drop.difference.value for drop in own],
            error_y=_whiskers(own),
            showlegend=bool(own),
            **_looks(system, name),
        )
    figure.add_hline(y=0, line={"color": TEXT, "width": 1})
    metric = words(drops[0].metric) if drops else "accuracy"
    figure.update_yaxes(title_text=f"{metric} lost (points)")
    return finish(figure, height=340).update_layout(barmode="group", bargap=0.3, margin_b=64)


def paper_drop(paper: Paper, system: str) -> float:
    """The accuracy that the paper loses without the module, 0 to 1."""
    return paper.accuracy[FULL] - paper.accuracy[system]


def cell_title(dataset: str, protocol: str) -> str:
    """A dataset and a protocol, on two lines."""
    return f"{dataset_title(dataset)}<br>{protocol}"


def _looks(system: str, name: str) -> dict[str, object]:
    return {
        "name": name,
        "offsetgroup": system,
        "marker": {"color": SYSTEM_COLOURS[system], "line": {"width": 0}},
        "hovertemplate": "%{x}: %{y:.1f} points",
    }


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
