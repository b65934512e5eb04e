"""Draw scores, costs and differences from a DataFrame, with their 95% intervals."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import plotly.express as px
import plotly.graph_objects as go

from analysis.figures.theme import (
    LEGEND_BELOW,
    SYSTEM_COLOURS,
    TEXT,
    class_colour,
    class_symbol,
    finish,
    system_symbol,
    with_bars,
)
from cry_model.records import words

ROW = 34  # pixels
SCORE_ROW = 72  # pixels: a score, with the paper's above it and those of the seeds below
OFFSET = 0.24  # share of such a row
BAR = {"color": TEXT, "thickness": 1.4, "width": 4}
ZERO = {"color": TEXT, "width": 1.5, "dash": "dot"}
MARKS = {
    "measured": ("all folds, 95% interval", "square", 12),
    "seed": ("one seed", "circle", 6),
    "paper": ("the paper", "diamond-open", 10),
}
"""Mark -> legend name, symbol, size in pixels."""
PATTERNS = ("", "/", ".")
"""Bar patterns, to tell bars apart without colours."""


def difference_figure(data: pd.DataFrame, axis: str) -> go.Figure:
    """Draw differences as dots around a line at zero, the first row on top.

    ``data``: columns name (may contain ``<br>``), value, low, high (fractions; the dot is open if
    low and high are NaN) and colour; ``axis``: title of the x axis, in points.
    """
    data = with_bars(data).assign(
        symbol=data["low"].isna().map({False: "circle", True: "circle-open"})
    )
    figure = px.scatter(
        data,
        x="value",
        y="name",
        error_x="above",
        error_x_minus="below",
        symbol="symbol",
        symbol_map="identity",
        custom_data=["low", "high"],
    )
    for trace in figure.data:
        open_mark = trace.marker.symbol == "circle-open"
        trace.update(
            error_x=BAR,
            marker={
                "size": 10,
                "color": data.loc[data["symbol"] == trace.marker.symbol, "colour"],
                "line": {"width": 2 * open_mark},
            },
            hovertemplate="%{y}: %{x:+.1f} points<extra></extra>"
            if open_mark
            else _hover(" points"),
        )
    figure.add_vline(0, line=ZERO)
    return finish(
        figure,
        height=90 + ROW * len(data),
        xaxis={"title": {"text": axis}, "rangemode": "tozero"},
        yaxis={
            "title": None,
            "categoryorder": "array",
            "categoryarray": data["name"].tolist()[::-1],
            "range": [-0.6, len(data) - 0.4],
        },
        margin_t=12,
        showlegend=False,
    )


def scores_figure(data: pd.DataFrame, names: Mapping[str, str], axis: str) -> go.Figure:
    """Draw :func:`analysis.panels.ablation.ablation_scores`, a row per model, and the chance level;
    ``names``: model -> axis label, the first on top."""
    shown = [system for system in names if system in set(data["system"])]
    rows = with_bars(data[data["mark"].isin(list(MARKS))])
    shift = rows["mark"].map({"measured": 0, "seed": -OFFSET, "paper": OFFSET})
    figure = px.scatter(
        rows.assign(row=shift - rows["system"].map(shown.index)),
        x="value",
        y="row",
        error_x="above",
        error_x_minus="below",
        symbol="mark",
        symbol_map={mark: symbol for mark, (_, symbol, _) in MARKS.items()},
        category_orders={"mark": list(MARKS)},
        custom_data=["low", "high", "seed"],
    )
    hover = {
        "measured": "%{x:.1f}% [%{customdata[0]:.1f}, %{customdata[1]:.1f}]",
        "seed": "%{x:.1f}%, seed %{customdata[2]}",
        "paper": "the paper: %{x:.2f}%",
    }
    for trace in figure.data:
        name, _, size = MARKS[trace.name]
        own = rows.loc[rows["mark"] == trace.name, "system"]
        colour = own.map(SYSTEM_COLOURS).fillna(TEXT) if trace.name == "measured" else TEXT
        trace.update(
            name=name,
            error_x=BAR,
            marker={"size": size, "color": colour, "line": {"width": 2 * (trace.name == "paper")}},
            hovertemplate=f"{hover[trace.name]}<extra></extra>",
        )
    for level in data[data["mark"] == "chance"].itertuples():
        name = f"{level.system}: {100 * level.value:.1f}%"
        figure.add_vline(100 * level.value, line=ZERO, name=name, showlegend=True)
    return finish(
        figure,
        height=142 + SCORE_ROW * len(shown),
        xaxis={"title": {"text": axis}, "rangemode": "tozero"},
        yaxis={
            "title": None,
            "tickvals": [-place for place in range(len(shown))],
            "ticktext": [names[system].replace(" ", "<br>") for system in shown],
            "range": [0.5 - len(shown), 0.5],
            "showgrid": False,
        },
        legend_title=None,
        margin_b=56,
        hovermode="closest",
    )


def ablation_figure(data: pd.DataFrame, axis: str) -> go.Figure:
    """Draw the loss without each module as bars; columns where (name of the group), system, name
    (of the bar), difference, low and high (fractions; the last two NaN without an interval)."""
    data = with_bars(data.rename(columns={"difference": "value"}))
    names = list(dict.fromkeys(data["name"]))
    figure = px.bar(
        data,
        x="where",
        y="value",
        error_y="above",
        error_y_minus="below",
        color="name",
        color_discrete_map={row.name: SYSTEM_COLOURS[row.system] for row in data.itertuples()},
        pattern_shape="name",
        pattern_shape_sequence=PATTERNS,
        category_orders={"name": names, "where": list(dict.fromkeys(data["where"]))},
        barmode="group",
        custom_data=["low", "high"],
    )
    pattern = {"fillmode": "overlay", "size": 7, "solidity": 0.2}
    figure.update_traces(
        error_y={"color": TEXT, "thickness": 1, "width": 3},
        marker={"line": {"width": 0}, "pattern": pattern},
        hovertemplate="%{x}: %{y:+.1f} points [%{customdata[0]:+.1f}, %{customdata[1]:+.1f}]",
    )
    return finish(
        figure,
        height=360,
        xaxis={"title": None, "tickangle": 0},
        yaxis={"title": {"text": axis}, "zeroline": True, "zerolinecolor": TEXT},
        bargap=0.3,
        legend_title=None,
        margin_b=84,
    )


MEASURE_TITLES = {
    "recall": "recall",
    "precision": "precision",
    "f1": "F1",
    "auc": "ROC AUC",
    "average_precision": "average precision",
}


def class_dots(data: pd.DataFrame, measures: Sequence[str]) -> go.Figure:
    """Draw measures of each class side by side, with the values of a random answer; columns class
    (in label order), measure, value, low, high and at_random, 0 to 1, NaN where undefined."""
    labels = tuple(dict.fromkeys(data["class"]))
    data = with_bars(data[data["measure"].isin(list(measures))], scale=1)
    data = data.assign(name=data["class"].map(words))
    order = {"measure": list(measures), "name": [words(label) for label in labels]}
    facets = {"facet_col": "measure", "facet_col_spacing": 0.04, "category_orders": order}
    figure = px.scatter(
        data,
        x="value",
        y="name",
        error_x="above",
        error_x_minus="below",
        custom_data=["low", "high"],
        **facets,
    )
    colours = [class_colour(labels, label) for label in labels]
    symbols = [class_symbol(labels, label) for label in labels]
    figure.update_traces(
        error_x=BAR,
        marker={"size": 9, "color": colours, "symbol": symbols},
        showlegend=False,
        hovertemplate=_hover("", ".2f"),
    )
    random = px.scatter(data, x="at_random", y="name", **facets)
    random.update_traces(
        marker={"symbol": "line-ns", "size": 14, "line": {"color": TEXT, "width": 2}},
        name="chance level",
        hovertemplate="%{y}, chance level: %{x:.2f}<extra></extra>",
    )
    random.data[0].showlegend = True
    figure.add_traces(random.data)
    for column, measure in enumerate(measures, 1):
        missing = data.loc[(data["measure"] == measure) & data["value"].isna(), "name"]
        figure.add_scatter(
            x=[0] * len(missing),
            y=missing,
            mode="text",
            text="undefined",
            textposition="middle right",
            textfont_size=10,
            hoverinfo="skip",
            showlegend=False,
            row=1,
            col=column,
        )
    finish(figure, height=130 + 26 * len(labels))
    figure.update_xaxes(
        title=None, range=[-0.04, 1.04], tickvals=[0, 0.5, 1], ticktext=["0", "0.5", "1"]
    )
    figure.for_each_annotation(
        lambda note: note.update(text=MEASURE_TITLES[note.text.partition("=")[2]], font_size=13)
    )
    figure.update_yaxes(title=None, ticklabelstandoff=4, range=[-0.6, len(labels) - 0.4])
    return figure.update_layout(legend={**LEGEND_BELOW, "title": None})


def _hover(unit: str, digits: str = "+.1f") -> str:
    ends = f"[%{{customdata[0]:{digits}}}, %{{customdata[1]:{digits}}}]"
    return f"%{{y}}: %{{x:{digits}}}{unit} {ends}<extra></extra>"


def cost_figure(data: pd.DataFrame, cost: str, score: str) -> go.Figure:
    """Draw score against cost: a point for each model, or a line through its variants; columns
    system, title (of the line), name (of the point), open (whether the marker is), cost, value, low
    and high (the last three 0 to 1, low and high NaN without an interval)."""
    data = with_bars(data)
    figure = px.line(
        data,
        x="cost",
        y="value",
        error_y="above",
        error_y_minus="below",
        color="title",
        markers=True,
        custom_data=["name", "low", "high"],
        log_x=True,
    )
    for trace in figure.data:
        own = data[data["title"] == trace.name]
        system, is_open = own["system"].iloc[0], bool(own["open"].iloc[0])
        ends = "" if own["low"].isna().all() else " [%{customdata[1]:.1f}, %{customdata[2]:.1f}]"
        colour, symbol = SYSTEM_COLOURS.get(system, TEXT), system_symbol(system) + "-open" * is_open
        trace.update(
            mode="lines+markers" if len(own) > 1 else "markers",
            line={"color": colour, "dash": "dot" if is_open else "solid"},
            marker={"size": 11, "color": colour, "symbol": symbol, "line_width": 2 * is_open},
            error_y={"thickness": 1.2, "width": 4},
            hovertemplate=f"%{{customdata[0]}}<br>%{{y:.1f}}%{ends}<br>%{{x:.3g}}, {cost}"
            "<extra></extra>",
        )
    least, most = data["cost"].min(), data["cost"].max()
    decades = 10.0 ** np.arange(math.floor(math.log10(least)), math.log10(most) + 1)
    # plotly labels its own ticks at 2 and 5 by the digit alone: 5 for 0.5
    ticks = np.outer(decades, (1, 2, 5)).ravel() if most > 5 * least else None
    return finish(
        figure,
        height=460 + 14 * len(figure.data),
        xaxis={"title": {"text": f"{cost}, log scale"}, "tickvals": ticks},
        yaxis={"title": {"text": score}, "rangemode": "tozero"},
        legend={**LEGEND_BELOW, "title": None},
        hovermode="closest",
        margin_t=16,
    )
