"""Draw a confusion matrix as a heat map, from light to dark blue."""

from __future__ import annotations

import numpy as np
import pandas as pd
import plotly.express as px
import plotly.graph_objects as go

from analysis.figures.theme import finish
from cry_model.records import words

SIDE, MOST = 270, 54  # pixels: side of the matrix, and the largest side of a cell
BELOW = 106  # pixels for the predicted labels, which are slanted
BLUES = ("#eef4fb", "#08306b")
BLACK, WHITE = "#000000", "#ffffff"
DARK = 0.635
"""Share of the scale above which white is easier to read than black: contrast 4.6 to 1 there."""
MANY = 7  # labels; with these, rows are too low for two lines on a phone


def confusion_figure(cells: pd.DataFrame, unit: str, end: float) -> go.Figure:
    """Draw :func:`analysis.panels.confusion.matrix_data` as a square heat map with numbers;
    ``unit``: theirs; ``end``: upper end of the colour scale, shared by figures side by side."""
    names = [words(label) for label in cells["true"].drop_duplicates()]
    shape = len(names), len(names)
    values, end = cells["drawn"].to_numpy(float), end or 1.0  # the scale must not end at zero
    figure = px.imshow(
        values.reshape(shape), x=names, y=names, zmin=0, zmax=end, color_continuous_scale=BLUES
    )
    figure.update_traces(
        customdata=cells[["count", "of"]].to_numpy().reshape(*shape, 2),
        hovertemplate="%{y} classified as %{x}:<br>%{customdata[0]} of %{customdata[1]}"
        "<extra></extra>",
        xgap=1,
        ygap=1,
    )
    # A trace of its own: heat-map text has one colour, which half of the cells would hide.
    colours = [WHITE if share > DARK else BLACK for share in np.nan_to_num(values / end)]
    figure.add_scatter(
        x=cells["answer"].map(words),
        y=cells["true"].map(words),
        mode="text",
        text=["" if np.isnan(own) or own == 0 else f"{own:.0f}" for own in values],
        textfont={"color": colours},
        hoverinfo="skip",
    )
    many = len(names) >= MANY
    axis = {"showgrid": False, "fixedrange": True, "tickfont_size": 10 if many else 12}
    axis["constrain"] = "domain"  # cells are square at any page width
    return finish(
        figure,
        height=round(min(SIDE, MOST * len(names))) + BELOW,
        xaxis={**axis, "title_text": f"predicted ({unit})", "tickangle": -45},
        yaxis={
            **axis,
            "title": {"text": "true label", "standoff": 4},
            "constraintoward": "top",
            "tickvals": names,
            "ticktext": names if many else [name.replace(" ", "<br>") for name in names],
        },
        coloraxis_showscale=False,
        meta={"below": BELOW},
        margin_t=6,
        dragmode=False,
    )
