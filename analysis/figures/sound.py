"""Draw waveform, mel spectrogram, cries, attention and reasons on one time axis."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import plotly.graph_objects as go
import torch
from numpy.typing import NDArray
from plotly.subplots import make_subplots
from torch import Tensor

from analysis.figures.theme import HEAT, PALETTE, class_colour, finish
from analysis.sound import COLUMNS, Display, Envelope, Spectrogram
from cry_model.detection import DetectionScores, clock
from cry_model.prediction import Prediction
from cry_model.records import percent, words

NAMED = 4  # cries listed; further ones are only counted
BAND = {
    "type": "rect",
    "xref": "x",
    "yref": "paper",
    "y0": 0,
    "y1": 1,
    "fillcolor": "rgba(86, 180, 233, 0.22)",
    "line": {"color": PALETTE[1], "width": 1},
}


def _add_detector(figure: go.Figure, prediction: Prediction, track: DetectionScores) -> None:
    """Draw the cry probability as a step curve in the third row; shade each cry in all rows."""
    at: dict[str, Any] = {"row": 3, "col": 1}
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
        hovertemplate="%{x:.1f} s: cry probability %{y:.0%}<extra></extra>",
        **at,
    )
    line = {"color": PALETTE[3], "width": 1.5, "dash": "dash"}
    figure.add_hline(y=track.threshold, line=line, **at)
    if track.maybe < track.threshold:
        figure.add_hline(y=track.maybe, line={**line, "dash": "dot"}, **at)
    figure.update_yaxes(title_text="a cry?", range=[0, 1.02], nticks=3, tickformat=".0%", **at)
    # All at once: adding a hundred one by one takes a second.
    bands = tuple({**BAND, "x0": s.start, "x1": s.end} for s in prediction.segments)
    figure.layout.shapes = (*figure.layout.shapes, *bands)


def describe_cries(track: DetectionScores) -> str:
    """List the cries in words."""
    spans = track.spans
    limit = f"the dashed line is at {percent(track.threshold)}"
    if track.maybe < track.threshold:
        limit += f", the dotted one (may be a cry) at {percent(track.maybe)}"
    if not spans:
        return f"{'Perhaps a cry' if track.state == 'maybe' else 'No cry'} ({limit})."
    named = ", ".join(f"{clock(s.start)} to {clock(s.end)}" for s in spans[:NAMED])
    rest = len(spans) - NAMED
    more = f" and {rest} more" if rest > 0 else ""
    return f"Cries from {named}{more} ({limit})."


def thin(times: Tensor, track: Tensor, columns: int, hop: float) -> tuple[Tensor, Tensor]:
    """Average adjacent frames until at most ``columns`` are left.

    Return the first time of each run of frames, and the mean of those present; NaN if none is. An
    incomplete last run is dropped. ``times``: (frames,) seconds, without the frames that were not
    classified; ``track``: (..., frames); ``hop``: seconds between frames.
    """
    frame = ((times - times[0]) / hop).round().long()
    length = int(frame[-1]) + 1
    step = -(-length // columns)
    whole = length - length % step
    spread = torch.full((*track.shape[:-1], length), torch.nan)
    spread[..., frame] = track
    runs = spread[..., :whole].unflatten(-1, (-1, step))
    return times[0] + hop * torch.arange(0, whole, step), runs.nanmean(-1)


TICKS_HZ = (125, 250, 500, 1000, 2000, 4000, 8000)


def spectral_figure(display: Display, prediction: Prediction, hz: NDArray[np.float64]) -> go.Figure:
    """Overlay M of the hybrid system on the spectrogram, dark where it attenuates; ``hz``:
    (bands,), the centre frequencies."""
    times, weights = _spectral(prediction, len(hz))
    figure = make_subplots(1, 1)
    _add_spectrogram(figure, display.spectrogram, 1)
    figure.add_heatmap(
        x=times.numpy().round(3),
        y=hz.round(),
        z=weights.nan_to_num(0).numpy().round(2),
        colorscale=[[0, "rgba(0, 0, 0, 0.85)"], [1, "rgba(0, 0, 0, 0)"]],
        showscale=False,
        hovertemplate="%{x:.2f} s, %{y:.0f} Hz: %{z:.2f}<extra></extra>",
    )
    heard = [float(times[0]), float(times[-1])]  # M has no values outside
    figure.update_xaxes(range=heard, title_text="time (s)")
    return finish(figure, height=320, margin_t=12)


def describe_spectral(prediction: Prediction, hz: NDArray[np.float64]) -> str:
    """State the range of M, and where it is largest."""
    times, weights = _spectral(prediction, len(hz))
    band, column = divmod(int(weights.nan_to_num(-1).argmax()), weights.shape[1])
    known = weights[~weights.isnan()]
    return (
        f"Weights from {float(known.min()):.2f} to {float(known.max()):.2f}; highest near "
        f"{hz[band]:.0f} Hz at {float(times[column]):.1f} s."
    )


def _spectral(prediction: Prediction, bands: int) -> tuple[Tensor, Tensor]:
    """Return times (columns,) in s and M (bands, columns); columns that no piece covers are NaN."""
    track = prediction.timeline(prediction.attention.spectral[:, :bands])
    return thin(*track, COLUMNS, prediction.hop_seconds)


def sound_figure(display: Display, prediction: Prediction, high_hz: float) -> go.Figure:
    """Draw waveform and spectrogram, with the cry probability and A_t where available; without a
    cry the model has not been asked. ``high_hz``: upper end of the model's band."""
    detector, attended = prediction.track is not None, attention_shown(prediction)
    heights = [0.2, 0.5, *([0.18] * detector), *([0.3] * attended)]
    rows = len(heights)
    figure = make_subplots(rows, 1, shared_xaxes=True, vertical_spacing=0.06, row_heights=heights)
    _add_waveform(figure, display.envelope)
    _add_spectrogram(figure, display.spectrogram, 2)
    if display.spectrogram.hz[-1] > high_hz:
        _mark_band(figure, high_hz)
    if prediction.track is not None:
        _add_detector(figure, prediction, prediction.track)
    if attended:
        _add_gates(figure, prediction, rows)
    figure.update_xaxes(range=[0, display.duration])
    figure.update_xaxes(title_text="time (s)", row=rows, col=1)
    # The legend belongs to the last row, so it is placed right above it.
    above = figure.layout[f"yaxis{rows}"].domain[1]
    return finish(figure, height=580 + 90 * detector, legend_y=above, margin_t=12)


def attention_shown(prediction: Prediction) -> bool:
    """Return whether the figure has a row for A_t."""
    return bool(prediction.attention.temporal) and prediction.is_cry is not False


def _add_waveform(figure: go.Figure, envelope: Envelope) -> None:
    line = {"color": PALETTE[1], "width": 0.5}
    hidden = {"showlegend": False, "hoverinfo": "skip", "line": line, "row": 1, "col": 1}
    figure.add_scatter(x=envelope.times, y=envelope.low, **hidden)
    figure.add_scatter(x=envelope.times, y=envelope.high, fill="tonexty", **hidden)
    figure.update_yaxes(title_text="amplitude", nticks=3, row=1, col=1)


def _add_spectrogram(figure: go.Figure, spectrogram: Spectrogram, row: int) -> None:
    figure.add_heatmap(
        x=spectrogram.times,
        y=spectrogram.hz,
        z=spectrogram.decibels,
        colorscale=HEAT,
        showscale=False,
        hovertemplate="%{x:.2f} s, %{y:.0f} Hz: %{z} dB<extra></extra>",
        row=row,
        col=1,
    )
    shown = [hz for hz in TICKS_HZ if hz <= spectrogram.hz[-1] * 1.1]
    figure.update_yaxes(
        type="log",
        title_text="frequency (Hz)",
        tickvals=shown,
        ticktext=[f"{hz / 1000:g}k" if hz >= 1000 else str(hz) for hz in shown],
        range=[np.log10(100), np.log10(spectrogram.hz[-1])],
        row=row,
        col=1,
    )


def _mark_band(figure: go.Figure, high_hz: float) -> None:
    line = {"color": "white", "width": 1, "dash": "dot"}
    figure.add_hline(y=high_hz, line=line, row=2, col=1)
    figure.add_annotation(
        text=f"the model hears below {high_hz / 1000:g} kHz",
        font={"color": "white", "size": 11},
        bgcolor="rgba(0, 0, 0, 0.55)",
        showarrow=False,
        x=0,
        xref="x2 domain",
        xanchor="left",
        y=np.log10(high_hz),  # annotations on a log axis are placed by the logarithm
        yref="y2",
        yanchor="bottom",
    )


DASHES = ("solid", "dash", "dot")


def _add_gates(figure: go.Figure, prediction: Prediction, row: int) -> None:
    for i, gate in enumerate(prediction.attention.temporal):
        times, track = thin(*prediction.timeline(gate), 2 * COLUMNS, prediction.hop_seconds)
        figure.add_scatter(
            x=times.numpy().round(3),
            y=track.numpy().round(4),
            name=f"block {i + 1}",
            line={"color": PALETTE[2 * (i % 3)], "width": 1.5, "dash": DASHES[i % 3]},
            hovertemplate="%{x:.2f} s: %{y:.2f}",
            row=row,
            col=1,
        )
    figure.update_yaxes(title_text="attention Aₜ", row=row, col=1)


def describe_sound(display: Display, prediction: Prediction) -> str:
    """Describe the figure for readers who cannot see it."""
    spectrogram = display.spectrogram
    level = spectrogram.decibels.max(0)
    loudest = spectrogram.times[int(level.argmax())]
    strongest = spectrogram.hz[int(spectrogram.decibels.mean(1).argmax())]
    text = (
        f"A recording of {display.duration:.1f} s, loudest at {loudest:.1f} s, "
        f"with most energy near {strongest:.0f} Hz."
    )
    if prediction.track is not None:
        text += f" {describe_cries(prediction.track)}"
    if not attention_shown(prediction):
        return text
    for i, gate in enumerate(prediction.attention.temporal):
        times, track = prediction.timeline(gate)
        peak = float(times[int(track.argmax())])
        text += (
            f" Block {i + 1} attends most at {peak:.1f} s (Aₜ from "
            f"{float(track.min()):.2f} to {float(track.max()):.2f})."
        )
    return text


TICKS = (1, 2, 5, 10, 15, 30, 60, 120)  # s
MOST_TICKS = 10
THINNEST = 1 / 250  # of the recording: the narrowest bar that a phone can show

Slice = tuple[float, float, Mapping[str, float]]


def slices(prediction: Prediction) -> list[Slice]:
    """Return start and end in s, and probabilities, per cry; of a single cry, per piece.

    A piece ends where the next one begins, although the model's pieces overlap.
    """
    if len(prediction.segments) > 1:
        return [(s.start, s.end, s.probabilities) for s in prediction.segments]
    pieces = prediction.pieces
    ends = [*(piece.start for piece in pieces[1:]), pieces[-1].end]
    return [(p.start, end, p.probabilities) for p, end in zip(pieces, ends, strict=True)]


def timeline_figure(prediction: Prediction) -> go.Figure:
    """Draw stacked bars, each as wide as its cry is long; gaps are parts without a cry."""
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
    # By default, Plotly would place the ticks under the bars.
    tick = next((t for t in TICKS if prediction.duration / t <= MOST_TICKS), TICKS[-1])
    figure.update_xaxes(title_text="time (s)", range=[0, prediction.duration], dtick=tick, tick0=0)
    figure.update_yaxes(title_text="probability (%)", range=[0, 100])
    return finish(figure, height=300, barmode="stack", margin_t=64)
