"""Classify a recording with every model; keep the answers and what is drawn, and no sound."""

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
from cry_model.sound.acoustic_features import AcousticConfig
from cry_model.sound.audio import Recording
from cry_model.sound.frontend import resample

Result = TypeVar("Result")
LOG = logging.getLogger(__name__)
RATE = AcousticConfig().sample_rate  # Hz: all that any model hears is below half of it
SCAN = 0.2  # share of the work
AT_ONCE = 2
"""Models at a time, each on one thread: torch's own threads wait for each other so often that on
two busy cores ten minutes took three times as long."""


class UnexpectedError(audio.AudioError):
    """A fault of ours; the log has its trace."""


UNEXPECTED = UnexpectedError("Something went wrong with this recording; please try another one.")
Report = Callable[[float, str], None]
"""Called with the share that is done, 0 to 1, and what is being done."""


def no_progress(share: float, doing: str) -> None:
    """Report to nobody."""


class Progress:
    """Join parts that may run in several threads into one bar that never goes back.

    ``report`` runs in the context where the bar was made: Gradio finds the visitor by it.
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
    """Bring a long recording to 16 kHz, once for all models.

    As steep as the front end of the acoustic features does it: what lies below 7.9 kHz stays.
    """
    if recording.duration <= LONGEST or recording.sample_rate <= RATE:
        return recording
    wave = resample(recording.waveform, recording.sample_rate, RATE, 256, 0.985)
    return Recording(wave, RATE)


@dataclass(frozen=True, eq=False)
class Session:
    """Hold enough to show any model's answer to a recording that is no longer there.

    Attributes:
        display: what is drawn of it; None if it could not be read.
        answers: a model's name -> its answer, or the error that says why it has none.
    """

    display: Display | None
    answers: Mapping[str, Prediction | audio.AudioError]

    def chosen(
        self, models: Sequence[Model], name: str | None = None
    ) -> tuple[Model, Prediction | audio.AudioError]:
        """Return a model and its answer; without a name, those of :func:`choose`.

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
        """Return who else answered with the same labels (:attr:`Model.subject`), and what."""
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
    """Classify a file with every model; one that cannot be used gives the same error for all.

    The ``detector`` scans it first, once for all models; ``report`` hears of a long recording.
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
            track = pool.submit(detector.scan, recording, scanned).result()
        asked = {}
        for model in models:
            bar = progress.subtask((1 - SCAN) / len(models), "Asking the models")
            predict = partial(model.classifier.predict, recording, track=track, progress=bar)
            asked[model.name] = pool.submit(_told, predict)
        answers = {name: answer.result() for name, answer in asked.items()}
        return Session(display.result(), answers)


def _told(work: Callable[[], Result]) -> Result | audio.AudioError:
    """Return what ``work`` does, or the error that its visitor is told; of a fault of ours the log
    has the trace, and others get their answers all the same."""
    try:
        return work()
    except audio.AudioError as error:
        return type(error)(*error.args)  # as if never raised: a traceback's frames hold sound
    except Exception:
        LOG.exception("A recording could not be answered.")
        return UNEXPECTED
