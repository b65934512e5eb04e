"""Let a visitor hear what an answer is based on; the browser sends the file again for this.

When the fold is opened, the server has no audio any more, and must not keep any for this. The
browser still holds the visitor's file and sends it again on request; it is read, classified and
deleted as before. The resulting sounds return in the reply as data URIs. No component holds
them, so neither Gradio's session nor a file keeps a copy.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Sequence
from typing import Any

import gradio as gr

from analysis.models import Model, find
from analysis.session import UNEXPECTED
from analysis.tabs import macros
from analysis.tabs.answer import FEW, error_html
from analysis.tabs.recordings import data_uri
from analysis.uploads import is_upload, needing
from analysis.words import Words, language
from cry_model.classifier import parts
from cry_model.detection import Span
from cry_model.explanation import (
    DIM_DB,
    SHARE,
    NotExplainedError,
    explain,
    gradient_times_input,
    spectral_attention,
    temporal_attention,
)
from cry_model.prediction import Prediction
from cry_model.sound.audio import AudioError, Recording, load
from cry_model.sound.frontend import FrontEnd

EXPLAIN = macros("tabs/explain.html.j2")
LONGEST = 20.0  # s; longer cries are explained in part
WAIT_SECONDS = 30.0  # for explanations of other visitors
MARGIN = 0.5  # s played before and after
AROUND = 4.0  # s read before and after; no model uses more around a short cry
MAPS = {
    "why.gradient": gradient_times_input,
    "why.attention": temporal_attention,
    "why.spectral": spectral_attention,
}

_one_at_a_time = threading.BoundedSemaphore(1)


def button_html(model: Model, prediction: Prediction, say: Words) -> str:
    """Write the button; empty unless few labels are named and the model uses mel bands."""
    few = 0 < len(prediction.answer.labels) <= FEW
    if not few or not isinstance(model.classifier.front_end, FrontEnd):
        return ""
    track, spans = prediction.track, parts(prediction.track, prediction.duration)
    cry = spans[0] if track is None or not track.is_cry else max(spans, key=track.peak)
    start, end = cry.start, min(cry.end, cry.start + LONGEST)
    return EXPLAIN.offer(model.name, start, end, say)


def make_listen_explain(
    models: Sequence[Model],
) -> Callable[[dict[str, Any], gr.Request], dict[str, str]]:
    """Return the function that explains a stretch, in seconds, of an upload by a model."""

    def listen_explain(asked: dict[str, Any], request: gr.Request) -> dict[str, str]:
        say = language(request)
        try:
            return {"html": _explained(models, asked, say)}
        except AudioError as error:
            return {"problem": error_html(say.problem(error))}
        except (KeyError, TypeError, ValueError):  # not sent by the page's script
            return {"problem": error_html(say.problem(UNEXPECTED))}

    return listen_explain


def _explained(models: Sequence[Model], asked: dict[str, Any], say: Words) -> str:
    path, start, end = asked["path"], float(asked["start"]), float(asked["end"])
    if not is_upload(path):
        raise ValueError("Only what a visitor sent is read.")
    with needing(path):
        if not 0 <= start < end <= start + LONGEST + 0.1:
            raise ValueError("This is no stretch of a button.")
        model = find(models, str(asked["model"]))
        if not _one_at_a_time.acquire(timeout=WAIT_SECONDS):
            raise AudioError(say("problem.busy"))
        try:
            sound, span = _around(load(path), Span(start, end))
            maps = []
            for name, relevance in MAPS.items():
                with contextlib.suppress(NotExplainedError):  # not every model has such a map
                    found = explain(model.classifier, sound, span, relevance)
                    around = max(0.0, span.start - MARGIN), span.end + MARGIN
                    played = (data_uri(p.sound, *around) for p in (found.kept, found.removed))
                    maps.append((say(name), found, *played))
        finally:
            _one_at_a_time.release()
    if not maps:
        raise ValueError("This model has no button.")
    return EXPLAIN.explained(maps, SHARE, f"{DIM_DB:g}", say)


def _around(recording: Recording, span: Span) -> tuple[Recording, Span]:
    """Cut a recording to a stretch and all the context that a model uses."""
    if span.start >= recording.duration:
        raise ValueError("This recording ends before that stretch.")
    rate, first = recording.sample_rate, max(0.0, span.start - AROUND)
    wave = recording.waveform[round(first * rate) : round((span.end + AROUND) * rate)]
    end = min(span.end, recording.duration)
    return Recording(wave, rate), Span(span.start - first, end - first)
