"""Draw one score of every model under each split, with baselines, each line named at its end."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence

import pandas as pd
import plotly.express as px
import plotly.graph_objects as go

from analysis.figures.theme import SYSTEM_COLOURS, TEXT, finish, system_symbol, with_bars

BASELINE_DASHES = ("dash", "dashdot", "dot", "longdash", "longdashdot")
BASELINE_SYMBOLS = ("diamond-open", "square-open", "circle-open", "x-open", "star-open")
"""Of the baselines, which are grey."""


HEIGHT = 480  # pixels
SPREAD = 0.4  # of the room of a split
LABEL, LABEL_ROOM = 15, 1.2
"""Letters on one line of a label, and its room in splits."""
APART = 0.08  # of the height: two lines of a label


def leakage_figure(
    scores: pd.DataFrame, splits: Sequence[str], metric: str, chance: tuple[float, str]
) -> go.Figure:
    """Draw points with intervals, and a line for each model and each baseline.

    ``scores``: columns ``mark`` ("system", or "beside" of a baseline), ``name``, ``title`` (for the
    legend), ``split``, ``value``, ``low`` and ``high``; ``splits``: from left to right; ``metric``:
    its title, for the axis; ``chance``: its value and name, for the dotted line.
    """
    named = scores.drop_duplicates("title").set_index("title")
    systems = {title: row["name"] for title, row in named.iterrows() if row["mark"] == "system"}
    baselines = [title for title in named.index if title not in systems]
    symbols = {title: system_symbol(name) for title, name in systems.items()}
    places = {title: number % len(BASELINE_DASHES) for number, title in enumerate(baselines)}
    steps = {title: number for number, title in enumerate(named.index)}
    abreast = scores["title"].map(steps) / max(1, len(steps) - 1) - 0.5
    place = scores["split"].map({split: number for number, split in enumerate(splits)})
    drawn = with_bars(scores.assign(place=place + SPREAD * abreast), scale=1)
    figure = px.line(
        drawn,
        x="place",
        y="value",
        error_y="above",
        error_y_minus="below",
        color="title",
        line_dash="title",
        symbol="title",
        custom_data=["low", "high", "title"],
        color_discrete_map=dict.fromkeys(baselines, TEXT)
        | {title: SYSTEM_COLOURS.get(name, TEXT) for title, name in systems.items()},
        line_dash_map=dict.fromkeys(systems, "solid")
        | {title: BASELINE_DASHES[place] for title, place in places.items()},
        symbol_map=symbols | {title: BASELINE_SYMBOLS[place] for title, place in places.items()},
    )
    figure.update_traces(
        line_width=1.5,
        marker_size=8,
        error_y={"thickness": 1.2, "width": 3},
        hovertemplate="%{customdata[2]}: %{y:.3f} [%{customdata[0]:.3f}, %{customdata[1]:.3f}]"
        "<extra></extra>",
    )
    value, name = chance
    figure.add_hline(
        value,
        line={"color": TEXT, "dash": "dot", "width": 1.5},
        annotation={"text": f"{name} {value:.3f}", "font_size": 11},
        annotation_position="bottom left",
    )
    finish(figure, height=HEIGHT)
    top = 1.04 * max(drawn["high"].max(), value)
    _name_lines(figure, _labels(drawn, top), len(splits) - 0.5)
    return figure.update_layout(
        xaxis={
            "title": None,
            "range": [-0.5, len(splits) - 0.5 + LABEL_ROOM],
            "tickvals": list(range(len(splits))),
            "ticktext": [split.replace(" ", "<br>") for split in splits],
        },
        yaxis={"title": {"text": f"{metric} per recording"}, "range": [0, top]},
        showlegend=False,
        margin_t=12,
    )


def _name_lines(figure: go.Figure, heights: Mapping[str, float], beside: float) -> None:
    """Write the name of each line at its height, with its mark, where ``beside`` is."""
    traces = {trace.name: trace for trace in figure.data}
    for title, y in heights.items():
        own = traces[title]
        mark = {"color": own.line.color, "symbol": own.marker.symbol, "size": 8}
        figure.add_scatter(x=[beside], y=[y], mode="markers", marker=mark, hoverinfo="skip")
        figure.add_annotation(
            x=beside,
            y=y,
            xshift=6,
            xanchor="left",
            showarrow=False,
            align="left",
            font_size=11,
            text="<br>".join(
                textwrap.wrap(title.partition(" (")[0], LABEL, break_on_hyphens=False)
            ),
        )


def _labels(drawn: pd.DataFrame, top: float) -> dict[str, float]:
    """Return the height at which each line is named: its last point's, but clear of others and
    below ``top``."""
    ends = drawn.sort_values("place").groupby("title")["value"].last().sort_values()
    heights = ends.tolist()
    for number in range(1, len(heights)):
        heights[number] = max(heights[number], heights[number - 1] + APART * top)
    for below, number in enumerate(reversed(range(len(heights)))):
        heights[number] = min(heights[number], (1 - APART / 2 - APART * below) * top)
    return dict(zip(ends.index, heights, strict=True))
