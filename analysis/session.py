"""Classify a recording with every model; keep the answers and the data of figures, but no audio."""

from __future__ import annotations

import contextvars
import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import torch

from analysis.models import Model, find
from analysis.sound import Display, compute_display
from cry_model.classifier import LONGEST
from cry_model.detector import CryDetector
from cry_model.prediction import Prediction, choose
from cry_model.sound import audio
from cry_model.sound.audio import Recording
from cry_model.sound.front_end_config import AcousticConfig
from cry_model.sound.frontend import resample

Result = TypeVar("Result")
LOG = logging.getLogger(__name__)
RATE = AcousticConfig().sample_rate  # Hz; no model uses frequencies above half of it
SCAN = 0.2  # share of the progress bar
AT_ONCE = 2
"""Models run at a time, one thread each. With torch's own threads, which often wait for each other,
ten minutes of audio took three times as long on two busy cores."""


class UnexpectedError(audio.AudioError):
    """Report a fault of ours; the log has its traceback."""


UNEXPECTED = UnexpectedError("Something went wrong with this recording; please try another one.")
Report = Callable[[float, str], None]
"""Called with the completed share, 0 to 1, and the current step in words."""


def no_progress(share: float, doing: str) -> None:
    """Ignore the progress."""


class Progress:
    """Merge the progress of subtasks, possibly in several threads, into one monotonic progress bar.

    ``report`` runs in the context where the bar was created: Gradio identifies the visitor by it.
    """

    def __init__(self, report: Report):
        self._report, self._context = report, contextvars.copy_context()
        self._lock, self._done = threading.Lock(), 0.0

    def subtask(self, weight: float, doing: str) -> Callable[[float], None]:
        """Return a callback for a share of the work; the weights of all subtasks sum to 1."""
        reached = 0.0

        def tell(share: float) -> None:
            nonlocal reached
            with self._lock:
                self._done += weight * max(0.0, share - reached)
                reached = max(reached, share)
                self._context.run(self._report, min(1.0, self._done), doing)

        return tell


def downsample(recording: Recording) -> Recording:
    """Downsample a long recording to 16 kHz, once for all models.

    The filter is as steep as that of the acoustic features; it keeps frequencies below 7.9 kHz.
    """
    if recording.duration <= LONGEST or recording.sample_rate <= RATE:
        return recording
    wave = resample(recording.waveform, recording.sample_rate, RATE, 256, 0.985)
    return Recording(wave, RATE)


@dataclass(frozen=True, eq=False)
class Session:
    """Store what is needed to show any model's answer after the recording was deleted.

    Attributes:
        display: data of the figures; None if the recording could not be read.
        answers: model name -> its answer, or the error that prevented one.
    """

    display: Display | None
    answers: Mapping[str, Prediction | audio.AudioError]

    def chosen(
        self, models: Sequence[Model], name: str | None = None
    ) -> tuple[Model, Prediction | audio.AudioError]:
        """Return a model and its answer; without a name, those that :func:`choose` selects.

        Raises:
            UnknownModelError: if there is no model of this name.
        """
        told = ((m.name, self.answers[m.name]) for m in models)
        able = [(own, answer) for own, answer in told if isinstance(answer, Prediction)]
        if name or not able:
            model = find(models, name)
            return model, self.answers[model.name]
        name, answer = choose(able)
        return find(models, name), answer

    def others(self, model: Model, models: Sequence[Model]) -> dict[str, Prediction]:
        """Return the answers of other models with the same labels, by :attr:`Model.subject`."""
        own = self.answers[model.name]
        others = ((m.subject, self.answers[m.name]) for m in models if m.name != model.name)
        return {
            subject: answer
            for subject, answer in others
            if isinstance(answer, Prediction)
            and isinstance(own, Prediction)
            and answer.probabilities.keys() == own.probabilities.keys()
        }


def classify_all(
    models: Sequence[Model],
    file: str | None,
    detector: CryDetector | None = None,
    report: Report = no_progress,
) -> Session:
    """Classify a file with every model; if the file is unusable, all models get the same error.

    The ``detector`` scans it first, once for all models. ``report`` is called for long files only.
    """
    heard = _told(partial(_classify_all, models, file, detector, report))
    return heard if isinstance(heard, Session) else Session(None, {m.name: heard for m in models})


def _classify_all(
    models: Sequence[Model], file: str | None, detector: CryDetector | None, report: Report
) -> Session:
    recording = audio.load(file)
    progress = Progress(report if recording.duration > LONGEST else no_progress)
    with ThreadPoolExecutor(AT_ONCE, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        recording = pool.submit(downsample, recording).result()
        display = pool.submit(compute_display, recording)
        track = None
        if detector is not None:
            scanned = progress.subtask(SCAN, "Listening for cries")
            scanned(0.0)
            track = pool.submit(detector.scan, recording).result()
            scanned(1.0)
        asked = {}
        for model in models:
            bar = progress.subtask((1 - SCAN) / len(models), "Asking the models")
            predict = partial(model.classifier.predict, recording, track=track, progress=bar)
            asked[model.name] = pool.submit(_told, predict)
        answers = {name: answer.result() for name, answer in asked.items()}
        return Session(display.result(), answers)


def _told(work: Callable[[], Result]) -> Result | audio.AudioError:
    """Return the result of ``work``, or the error to show the visitor. Unexpected exceptions are
    logged and replaced, so that the other models can still answer."""
    try:
        return work()
    except audio.AudioError as error:
        return type(error)(*error.args)  # a new error: the traceback of the old one refers to audio
    except Exception:
        LOG.exception("A recording could not be answered.")
        return UNEXPECTED
