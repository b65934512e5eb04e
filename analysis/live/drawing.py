"""Draw what the microphone picks up: an image as a data URI, and HTML fragments for the page."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable
from html import escape
from typing import TYPE_CHECKING

import librosa
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from plotly.colors import sample_colorscale, unlabel_rgb

from analysis.downloads import csv_text, data_link
from analysis.figures.theme import HEAT
from analysis.live.episodes import RATE, Episode
from analysis.tabs import macros
from analysis.tabs.answer import headline_html, in_short, numbers, trust_html
from analysis.words import ENGLISH, Words
from cry_model.records import percent

if TYPE_CHECKING:
    from analysis.live.listener import Listener


LIVE = macros("live/live.html.j2")


def clock(seconds: float) -> str:
    """Format the time since listening began as minutes and seconds."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def row_html(line: Episode, say: Words = ENGLISH) -> str:
    """Write one line of the log: the answer in short, and the peak probability of a cry."""
    return LIVE.row(line, clock(line.start), line.answer and in_short(line.answer, say), say)


def kept(line: Episode, now: float, say: Words) -> dict[str, object]:
    """Return what a diary keeps of a cry; ``ago`` is the seconds from its start to ``now``."""
    told = {"said": in_short(line.answer, say), **numbers(line.answer)}
    length = round(line.end - line.start, 1)
    heard = {"seconds": length, "probability": round(line.peak, 3)}
    return {**told, **heard, "ago": now - line.start}


def log_csv(lines: Iterable[Episode]) -> str:
    """Write the log as CSV: start and length in s, kind, peak, prediction set, probabilities."""
    labels = next((tuple(line.answer.probabilities) for line in lines if line.answer), ())
    rows = []
    for line in lines:
        shares = line.answer.probabilities.values() if line.answer else [""] * len(labels)
        named = " ".join((line.answer and line.answer.prediction_set) or ())
        heard = {"sound": "rejected"}.get(line.kind, line.kind)
        numbers = f"{line.start:.2f}", f"{line.end - line.start:.2f}", heard, f"{line.peak:.4f}"
        rows.append([*numbers, named, *shares])
    head = ("start_s", "length_s", "heard", "peak_cry_probability", "set", *labels)
    return csv_text(head, *rows)


BANDS = 64
LOW_HZ, HIGH_HZ = 60, RATE / 2
HOP, FFT = 500, 1024  # samples: 31 and 64 ms; eight columns per score
RANGE_DB = 60.0  # from black to the brightest colour
QUIETEST_DB = -45.0  # lowest level of the brightest colour, so that silence stays dark
SHADES = 32  # a smooth image at half the size that 256 shades need
PALETTE = [
    round(value)
    for colour in sample_colorscale(HEAT, [i / (SHADES - 1) for i in range(SHADES)])
    for value in unlabel_rgb(colour)
]
"""RGB values of all shades, darkest first, as PNG stores them."""


def spectrogram(sound: NDArray[np.float32]) -> NDArray[np.float32]:
    """Compute (bands, columns) in dB from (samples,) at 16 kHz; a full-scale sine is about 0 dB."""
    power = librosa.feature.melspectrogram(
        y=sound, sr=RATE, n_fft=FFT, hop_length=HOP, center=False,
        n_mels=BANDS, fmin=LOW_HZ, fmax=HIGH_HZ, norm=None,
    )  # fmt: skip
    return librosa.power_to_db(power / (FFT / 4) ** 2, amin=1e-12, top_db=None)


def place(hz: float) -> float:
    """Return a frequency's position on the image axis: 0 at the bottom, 1 at the top."""
    low, at, high = librosa.hz_to_mel([LOW_HZ, hz, HIGH_HZ])
    return float((at - low) / (high - low))


def picture(decibels: NDArray[np.float32]) -> str:
    """Draw (bands, columns) in dB as a PNG data URI, low bands at the bottom."""
    top = max(float(decibels.max()), QUIETEST_DB)
    shades = (decibels[::-1] - (top - RANGE_DB)) / RANGE_DB * (SHADES - 1)
    image = Image.fromarray(shades.clip(0, SHADES - 1).round().astype(np.uint8), "P")
    image.putpalette(PALETTE)
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=6)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def track_svg(track: NDArray[np.float32], threshold: float) -> str:
    """Draw probabilities (scores,), 0 to 1, as an SVG, with the threshold as a dashed line.

    Its box is as many units wide as there are scores and 100 high; the page stretches it.
    """
    heard = [(i, 100 * (1 - p)) for i, p in enumerate(track.tolist(), 1) if p == p]  # not NaN
    line = " ".join(f"{x},{y:.1f}" for x, y in heard)
    level = f"{100 * (1 - threshold):.1f}"
    area = f'<polygon points="{heard[0][0]},100 {line} {heard[-1][0]},100"/>' if heard else ""
    return (
        f'<svg viewBox="0 0 {len(track)} 100" preserveAspectRatio="none" aria-hidden="true">'
        f'{area}<polyline points="{line}"/>'
        f'<line x1="0" x2="{len(track)}" y1="{level}" y2="{level}"/></svg>'
    )


def pieces(listener: Listener, seen: int = 0, say: Words = ENGLISH) -> dict[str, object]:
    """Collect the changes for a page that has ``seen`` lines of the log, ready for JSON."""
    known = listener.probability
    probability = "" if known is None else percent(known)
    told, answer = f"<p>{escape(say('live.no_cry'))}</p>", listener.answer
    if answer is not None:
        told = headline_html(answer, say) + trust_html(answer, say)
    changes: dict[str, object] = {
        "state": listener.state,
        "over": listener.over,
        "status": say(f"heard.{listener.state}"),
        "elapsed": clock(listener.seconds),
        "probability": probability,
        "picture": picture(spectrogram(listener.sound)),
        "description": say("heard.picture", share=probability or say("heard.unknown")),
        "track": track_svg(listener.track, listener.detector.threshold),
        "answer": told,
        "written": listener.written,
    }
    fresh = min(listener.written - seen, len(listener.lines))
    if fresh > 0:
        lines = list(listener.lines)[-fresh:]
        changes["rows"] = "".join(row_html(line, say) for line in reversed(lines))
        changes["cries"] = [kept(line, listener.seconds, say) for line in lines if line.answer]
        changes["download"] = data_link(
            say("heard.download"), "heard.csv", "text/csv", log_csv(listener.lines)
        )
    return changes
