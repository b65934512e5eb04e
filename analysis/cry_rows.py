"""Where the cries lie, drawn into the figure of the sound."""

from __future__ import annotations

import plotly.graph_objects as go

from analysis.style import PALETTE
from cry_model.detector import CryTrack, clock
from cry_model.prediction import Prediction
from cry_model.records import percent

NAMED = 4  # cries; more are only counted
BAND = {
    "type": "rect",
    "xref": "x",
    "yref": "paper",
    "y0": 0,
    "y1": 1,
    "fillcolor": "rgba(86, 180, 233, 0.22)",
    "line": {"color": PALETTE[1], "width": 1},
}


def shade_cries(figure: go.Figure, prediction: Prediction) -> None:
    """A band over all rows from the beginning to the end of each cry."""
    # At once: to add them one by one takes a second for a hundred.
    bands = tuple({**BAND, "x0": s.start, "x1": s.end} for s in prediction.segments)
    figure.layout.shapes = (*figure.layout.shapes, *bands)


def add_detector(figure: go.Figure, track: CryTrack, row: int) -> None:
    """The gate's probability in steps, and the threshold, as a row of its own."""
    cells = track.cells.tolist()
    edges = [round(min(i * track.step, track.duration), 3) for i in range(len(cells) + 1)]
    figure.add_scatter(
        x=edges,
        y=[round(value, 3) for value in (*cells, cells[-1])],
        mode="lines",
        line={"color": PALETTE[1], "width": 1.5, "shape": "hv"},
        fill="tozeroy",
        fillcolor="rgba(86, 180, 233, 0.25)",
        showlegend=False,
        hovertemplate="%{x:.1f} s: a cry with %{y:.0%}<extra></extra>",
        row=row,
        col=1,
    )
    line = {"color": PALETTE[3], "width": 1.5, "dash": "dash"}
    figure.add_hline(y=track.threshold, line=line, row=row, col=1)
    figure.update_yaxes(title_text="a cry?", range=[0, 1.02], nticks=3, row=row, col=1)
    figure.update_yaxes(tickformat=".0%", row=row, col=1)


def describe_cries(track: CryTrack) -> str:
    """What the gate heard, in words."""
    spans = track.spans
    limit = f"the dashed line is at {percent(track.threshold)}"
    if not spans:
        return f"Nowhere does it sound like a baby crying ({limit})."
    named = ", ".join(f"{clock(s.start)} to {clock(s.end)}" for s in spans[:NAMED])
    rest = len(spans) - NAMED
    more = "" if rest <= 0 else " and once more" if rest == 1 else f" and {rest} times more"
    return f"It sounds like a baby crying from {named}{more} ({limit})."
