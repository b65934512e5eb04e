"""Define colours and layout of all figures: readable on light and dark, safe for colour-blind.

The page's style sheet, which knows the colour scheme, sets the colours of text and grid.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
import plotly.express as px
import plotly.graph_objects as go

from cry_model.records import Estimate

px.defaults.template = "none"
# Okabe and Ito 2008, without black and yellow, which vanish on one of the two backgrounds.
PALETTE = ("#E69F00", "#56B4E9", "#009E73", "#D55E00", "#CC79A7", "#0072B2")
HEAT = "Magma"  # amounts
DIVERGING = "RdBu"  # signed values
TEXT = "#808080"
GRID = "rgba(128, 128, 128, 0.25)"
SYSTEM_COLOURS = {
    "improved-ecapa-tdnn": "#0072B2",
    "improved-ecapa-tdnn-no-mca": "#E69F00",
    "improved-ecapa-tdnn-no-rse": "#009E73",
    "improved-ecapa-tdnn-no-diff-attention": "#CC79A7",
    "ecapa-tdnn": "#56B4E9",
    "resnet18": "#D55E00",
    "feature-mlp": "#808080",
    "hybrid-ecapa-tdnn": "#7F5FBF",
}
"""The colour of a system, the same in every figure."""
DASHES = ("solid", "7px,3px", "2px,2px", "8px,3px,2px,3px", "13px,3px")
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "triangle-down", "cross", "x", "hexagon")
"""Line dashes and point symbols, used besides colour. There are six colours; classes or systems
that share one differ in these."""
LEGEND_BELOW = {"y": 0, "yref": "container", "yanchor": "bottom"}
"""Legend of many names: at the bottom of the figure, where it grows into the margin."""


def system_dash(system: str) -> str:
    """Return the dash pattern of a system."""
    known = list(SYSTEM_COLOURS)
    return DASHES[known.index(system) % len(DASHES)] if system in known else "dot"


def system_symbol(system: str) -> str:
    """Return the symbol of a system."""
    return dict(zip(SYSTEM_COLOURS, SYMBOLS, strict=True)).get(system, "star")


def class_colour(labels: tuple[str, ...], label: str) -> str:
    """Return the colour of a class, by its index in the checkpoint's labels."""
    return PALETTE[labels.index(label) % len(PALETTE)]


def class_dash(labels: tuple[str, ...], label: str) -> str:
    """Return the dash pattern of a class."""
    return DASHES[labels.index(label) % len(DASHES)]


def class_symbol(labels: tuple[str, ...], label: str) -> str:
    """Return the symbol of a class."""
    return SYMBOLS[labels.index(label) % len(SYMBOLS)]


LAYOUT: Mapping[str, Any] = {
    "template": "none",
    "margin": {"l": 56, "r": 12, "t": 36, "b": 44},
    "paper_bgcolor": "rgba(0, 0, 0, 0)",
    "plot_bgcolor": "rgba(0, 0, 0, 0)",
    "font": {"family": "system-ui, sans-serif", "size": 12, "color": TEXT},
    "legend": {
        "orientation": "h",
        "y": 1.0,
        "yanchor": "bottom",
        "x": 0,
        "traceorder": "normal",
        "itemwidth": 30,  # pixels, the minimum that plotly allows
        "font": {"size": 11},
    },
    "hoverlabel": {"font": {"size": 12}},
    "dragmode": "zoom",
}
AXIS: Mapping[str, Any] = {"gridcolor": GRID, "zeroline": False, "automargin": True}


def finish(figure: go.Figure, height: int, **layout: Any) -> go.Figure:
    """Apply the common layout, then ``layout``; ``height`` is in pixels, the width the page's."""
    return (
        figure.update_xaxes(AXIS).update_yaxes(AXIS).update_layout(LAYOUT, height=height, **layout)
    )


def signed(difference: Estimate) -> str:
    """Format a difference with its interval: "+0.024 [-0.010, +0.060]"."""
    return f"{difference.value:+.3f} [{difference.low:+.3f}, {difference.high:+.3f}]"


def with_bars(data: pd.DataFrame, scale: float = 100) -> pd.DataFrame:
    """Scale value, low and high; add the error-bar lengths ``above`` and ``below``."""
    scaled = data.assign(**{name: scale * data[name] for name in ("value", "low", "high")})
    return scaled.assign(
        above=scaled["high"] - scaled["value"], below=scaled["value"] - scaled["low"]
    )
