"""Draw one metric under each split, with the chance level."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import plotly.express as px
import plotly.graph_objects as go

from analysis.figures.theme import LEGEND_BELOW, SYMBOLS, SYSTEM_COLOURS, TEXT, finish

DASHES = ("dash", "dashdot", "dot", "longdash", "longdashdot")
OPEN = ("diamond-open", "square-open", "circle-open", "x-open", "star-open")
"""Of the baselines, which are grey."""


def leakage_figure(
    scores: pd.DataFrame, splits: Sequence[str], metric: str, chance: tuple[float, str]
) -> go.Figure:
    """Draw points with intervals, and a line for each model and each baseline.

    Args:
        scores: columns ``mark`` ("system", or "beside" of a baseline), ``name``, ``title`` (for
            the legend), ``split``, ``value``, ``low`` and ``high``.
        splits: from left to right.
        metric: its title, for the axis.
        chance: its value and name, for the dotted line.
    """
    named = scores.drop_duplicates("title").set_index("title")
    systems = {title: row["name"] for title, row in named.iterrows() if row["mark"] == "system"}
    baselines = [title for title in named.index if title not in systems]
    known = list(SYSTEM_COLOURS)
    symbols = {t: SYMBOLS[known.index(name) % len(SYMBOLS)] for t, name in systems.items()}
    places = {title: number % len(DASHES) for number, title in enumerate(baselines)}
    figure = px.line(
        scores.assign(
            above=scores["high"] - scores["value"], below=scores["value"] - scores["low"]
        ),
        x="split",
        y="value",
        error_y="above",
        error_y_minus="below",
        color="title",
        line_dash="title",
        symbol="title",
        custom_data=["low", "high"],
        template="none",
        category_orders={"split": list(splits)},
        color_discrete_map=dict.fromkeys(baselines, TEXT)
        | {title: SYSTEM_COLOURS[name] for title, name in systems.items()},
        line_dash_map=dict.fromkeys(systems, "solid")
        | {title: DASHES[place] for title, place in places.items()},
        symbol_map=symbols | {title: OPEN[place] for title, place in places.items()},
    )
    figure.update_traces(
        line_width=1.5,
        marker_size=8,
        error_y={"thickness": 1.2, "width": 3},
        hovertemplate="%{y:.3f} [%{customdata[0]:.3f}, %{customdata[1]:.3f}]",
    )
    value, name = chance
    figure.add_hline(
        value,
        line={"color": TEXT, "dash": "dot", "width": 1.5},
        annotation={"text": f"{name} {value:.3f}", "font_size": 11},
        annotation_position="top left",
    )
    finish(figure, height=400 + 14 * len(figure.data))
    return figure.update_layout(
        xaxis={
            "title": None,
            "range": [-0.5, len(splits) - 0.5],
            "tickvals": list(splits),
            "ticktext": [split.replace(" ", "<br>") for split in splits],
        },
        yaxis_title=f"{metric} per recording",
        legend={**LEGEND_BELOW, "title": None},
        margin_t=12,
        scattermode="group",
        scattergap=0.5,
    )
