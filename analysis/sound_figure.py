"""Waveform, mel spectrogram, cries and temporal attention on one time axis."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from analysis.cry_rows import add_detector, describe_cries, shade_cries
from analysis.sound import COLUMNS, Envelope, Sound, Spectrogram
from analysis.style import HEAT, PALETTE, finish
from analysis.tracks import thin
from cry_model.prediction import Prediction

TICKS_HZ = (125, 250, 500, 1000, 2000, 4000, 8000)


def sound_figure(sound: Sound, prediction: Prediction, high_hz: float) -> go.Figure:
    """Rows on one time axis in seconds: waveform, spectrogram, and what of the others there is.

    These are the gate's probability with bands over the cries, and A_t of the system, which is left
    out of what is no cry: nobody asked yet what the system would make of it.

    Args:
        sound: what was heard.
        prediction: the answer to it.
        high_hz: where the model that gave it stops hearing.
    """
    detector, attended = prediction.track is not None, attention_shown(prediction)
    heights = [0.2, 0.5, *([0.18] * detector), *([0.3] * attended)]
    rows = len(heights)
    figure = make_subplots(rows, 1, shared_xaxes=True, vertical_spacing=0.06, row_heights=heights)
    _add_waveform(figure, sound.envelope)
    _add_spectrogram(figure, sound.spectrogram, high_hz)
    if prediction.track is not None:
        add_detector(figure, prediction.track, 3)
        shade_cries(figure, prediction)
    if attended:
        _add_gates(figure, prediction, rows)
    figure.update_xaxes(range=[0, sound.duration])
    figure.update_xaxes(title_text="time (s)", row=rows, col=1)
    finish(figure, height=580 + 90 * detector)
    # The legend is that of the last row: it stands right above it.
    above = figure.layout[f"yaxis{rows}"].domain[1]
    return figure.update_layout(legend_y=above, margin_t=12)


def attention_shown(prediction: Prediction) -> bool:
    """Whether A_t has a row."""
    return bool(prediction.attention.temporal) and prediction.is_cry is not False


def _add_waveform(figure: go.Figure, envelope: Envelope) -> None:
    line = {"color": PALETTE[1], "width": 0.5}
    hidden = {"showlegend": False, "hoverinfo": "skip", "line": line, "row": 1, "col": 1}
    figure.add_scatter(x=envelope.times, y=envelope.low, **hidden)
    figure.add_scatter(x=envelope.times, y=envelope.high, fill="tonexty", **hidden)
    figure.update_yaxes(title_text="amplitude", nticks=3, row=1, col=1)


def _add_spectrogram(figure: go.Figure, spectrogram: Spectrogram, high_hz: float) -> None:
    figure.add_heatmap(
        x=spectrogram.times,
        y=spectrogram.hz,
        z=spectrogram.decibels,
        colorscale=HEAT,
        showscale=False,
        hovertemplate="%{x:.2f} s, %{y:.0f} Hz: %{z} dB<extra></extra>",
        row=2,
        col=1,
    )
    shown = [hz for hz in TICKS_HZ if hz <= spectrogram.hz[-1] * 1.1]
    figure.update_yaxes(
        type="log",
        title_text="frequency (Hz)",
        tickvals=shown,
        ticktext=[f"{hz / 1000:g}k" if hz >= 1000 else str(hz) for hz in shown],
        range=[np.log10(100), np.log10(spectrogram.hz[-1])],
        row=2,
        col=1,
    )
    if spectrogram.hz[-1] > high_hz:
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
            y=np.log10(high_hz),  # on a log axis, annotations are placed by the logarithm
            yref="y2",
            yanchor="bottom",
        )


def _add_gates(figure: go.Figure, prediction: Prediction, row: int) -> None:
    for i, gate in enumerate(prediction.attention.temporal):
        times, track = thin(*prediction.timeline(gate), 2 * COLUMNS, prediction.hop_seconds)
        figure.add_scatter(
            x=times.numpy().round(3),
            y=track.numpy().round(4),
            name=f"block {i + 1}",
            line={
                "color": PALETTE[(0, 2, 4)[i % 3]],
                "width": 1.5,
                "dash": ("solid", "dash", "dot")[i % 3],
            },
            hovertemplate="%{x:.2f} s: %{y:.2f}",
            row=row,
            col=1,
        )
    figure.update_yaxes(title_text="attention Aₜ", row=row, col=1)


def describe_sound(sound: Sound, prediction: Prediction) -> str:
    """The figure in words, for who cannot see it."""
    spectrogram = sound.spectrogram
    level = spectrogram.decibels.max(0)
    loudest = spectrogram.times[int(level.argmax())]
    strongest = spectrogram.hz[int(spectrogram.decibels.mean(1).argmax())]
    text = (
        f"A recording of {sound.duration:.1f} s, loudest at {loudest:.1f} s, "
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
            f" Block {i + 1} attends most at {peak:.1f} s"
            f" (weights from {float(track.min()):.2f} to {float(track.max()):.2f})."
        )
    return text
