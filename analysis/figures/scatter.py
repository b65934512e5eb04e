"""Draw the scores of models against their costs: a DataFrame in, a ``go.Figure`` out."""

from __future__ import annotations

import pandas as pd
import plotly.express as px
import plotly.graph_objects as go

from analysis.figures.intervals import with_bars
from analysis.figures.theme import LEGEND_BELOW, SYMBOLS, SYSTEM_COLOURS, TEXT, finish

HEIGHT = 460  # pixels


def cost_figure(data: pd.DataFrame, cost: str, score: str) -> go.Figure:
    """Draw a point with its interval for each model; those of the paper are open, without one.

    Args:
        data: columns system, title, source ("measured" or "paper"), cost, value, low and high; the
            last three 0 to 1.
        cost: title of the x axis, which is logarithmic.
        score: title of the y axis.
    """
    data = with_bars(data)
    symbols = dict(zip(SYSTEM_COLOURS, SYMBOLS, strict=True))
    symbol = data["system"].map(symbols).fillna("star")
    figure = px.scatter(
        data.assign(symbol=symbol + data["source"].map({"measured": "", "paper": "-open"})),
        x="cost",
        y="value",
        error_y="above",
        error_y_minus="below",
        color="title",
        color_discrete_sequence=[TEXT],
        color_discrete_map={
            row.title: SYSTEM_COLOURS.get(row.system, TEXT) for row in data.itertuples()
        },
        symbol="symbol",
        symbol_map="identity",
        custom_data=["title", "low", "high"],
        log_x=True,
        template="none",
    )
    number = "%{customdata[0]}<br>%{y:.1f}%"
    cost_text = "<br>%{x:.3g}<extra></extra>"
    for trace in figure.data:
        open_mark = trace.marker.symbol.endswith("-open")
        interval = "" if open_mark else " [%{customdata[1]:.1f}, %{customdata[2]:.1f}]"
        trace.update(
            marker={"size": 11, "line": {"width": 2 * open_mark}},
            error_y={"thickness": 1.2, "width": 4},
            hovertemplate=number + interval + cost_text,
        )
    finish(figure, HEIGHT + 14 * len(figure.data))
    wide = data["cost"].max() > 5 * data["cost"].min()  # then 1, 2 and 5 of each power of ten
    return figure.update_layout(
        xaxis={"title": {"text": f"{cost}, log scale"}, "dtick": "D2" if wide else None},
        yaxis={"title": {"text": score}},
        legend={**LEGEND_BELOW, "title": None},
        hovermode="closest",
        margin_t=16,
    )
