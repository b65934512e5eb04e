"""Draw the probability of each reason over time, cry by cry."""

from __future__ import annotations

from collections.abc import Mapping

import plotly.graph_objects as go

from analysis.figures.theme import class_colour, finish
from cry_model.detector import clock
from cry_model.prediction import Prediction
from cry_model.records import words

TICKS = (1, 2, 5, 10, 15, 30, 60, 120)  # s
MOST_TICKS = 10
THINNEST = 1 / 250  # of the recording: what a phone can still show

Slice = tuple[float, float, Mapping[str, float]]


def slices(prediction: Prediction) -> list[Slice]:
    """Return start and end in s, and probabilities, of each cry; of a single one, piece by piece.

    A piece ends where the next one begins, though both hear what they have in common.
    """
    if len(prediction.segments) > 1:
        return [(s.start, s.end, s.probabilities) for s in prediction.segments]
    pieces = prediction.pieces
    ends = [*(piece.start for piece in pieces[1:]), pieces[-1].end]
    return [(p.start, end, p.probabilities) for p, end in zip(pieces, ends, strict=True)]


def timeline_figure(prediction: Prediction) -> go.Figure:
    """Draw stacked bars as wide as each cry is long; nothing stands where no cry was heard."""
    found = slices(prediction)
    least = THINNEST * prediction.duration
    spans = [f"{clock(start)} to {clock(end)}" for start, end, _ in found]
    labels = tuple(prediction.probabilities)
    figure = go.Figure()
    for label in labels:
        figure.add_bar(
            x=[round((start + end) / 2, 3) for start, end, _ in found],
            width=[round(max(least, end - start), 3) for start, end, _ in found],
            y=[round(100 * shares[label], 1) for _, _, shares in found],
            name=words(label),
            marker={"color": class_colour(labels, label), "line_width": 0},
            customdata=spans,
            hovertemplate="%{customdata}: %{y:.0f}%",
        )
    figure.update_layout(barmode="stack")
    # Plotly would put the ticks under the bars.
    tick = next((t for t in TICKS if prediction.duration / t <= MOST_TICKS), TICKS[-1])
    figure.update_xaxes(title_text="time (s)", range=[0, prediction.duration], dtick=tick, tick0=0)
    figure.update_yaxes(title_text="probability (%)", range=[0, 100])
    return finish(figure, height=300).update_layout(margin_t=64)
