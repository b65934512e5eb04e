"""Turn chunks of a microphone into what to show: the Live tab without its page."""

from __future__ import annotations

import logging
import math
from collections import deque
from dataclasses import replace
from fractions import Fraction

import numpy as np
import torch
from numpy.typing import NDArray

from analysis.live.episodes import (
    KEEP_ON,
    KEPT,
    RATE,
    SCORE_HOP,
    Episode,
    Episodes,
    Loudness,
    State,
    newest,
)
from cry_model.classifier import CryClassifier
from cry_model.detector import CryDetector
from cry_model.networks.attention import AttentionMaps
from cry_model.prediction import Prediction
from cry_model.sound import audio
from cry_model.sound.frontend import resample

LOG = logging.getLogger(__name__)
MARGIN = 0.0085  # s: how far the resampler reaches, at the lowest rate that is accepted
HELD_BACK = 500  # samples; the first score is early by these, as a resampler holds some back
SMOOTHED = 4  # scores whose mean decides: one alone may be a bang
ANSWER_SECONDS = 5.0  # of a cry that lasts, what an answer is made from
ANSWER_EVERY = 1.0  # s
LIMIT_SECONDS = 600.0
MOST_LINES = 100


class Resampler:
    """Resample chunks to the same samples that the whole at once would give.

    It holds back the last milliseconds, which the filter cannot know yet, so no chunk's edge is
    heard.

    Args:
        rate: Hz of the chunks.

    Raises:
        SampleRateError: if no recorder has this rate.
    """

    def __init__(self, rate: int):
        if not audio.MIN_RATE <= rate <= audio.MAX_RATE:
            raise audio.SampleRateError(
                f"The microphone's rate of {rate:g} Hz is out of reach; please use another one."
            )
        self.rate = int(rate)
        ratio = Fraction(self.rate, RATE).limit_denominator(1000)  # as resample() rounds it
        self.taken, self.given = ratio.numerator, ratio.denominator
        self.margin = math.ceil(MARGIN * RATE / self.given)  # blocks
        self.raw = np.zeros(self.margin * self.taken, np.float32)

    def __call__(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return (samples,) at ``rate`` -> as many at 16 kHz as can be known."""
        if self.rate == RATE:
            return samples
        self.raw = np.concatenate([self.raw, samples])
        blocks = len(self.raw) // self.taken - 2 * self.margin
        if blocks <= 0:
            return np.zeros(0, np.float32)
        span = (blocks + 2 * self.margin) * self.taken
        wave = resample(torch.from_numpy(self.raw[:span]), self.rate, RATE).numpy()
        self.raw = self.raw[blocks * self.taken :].copy()
        return wave[self.margin * self.given : (self.margin + blocks) * self.given]


class Listener:
    """Listen for one visitor; keep 12 s of sound, until :meth:`stop`, and the log.

    How the stream was cut into chunks makes no difference to what is heard. Not for two threads at
    once.

    Args:
        detector: says four times a second whether the last seconds hold a cry.
        classifier: names a reason while a cry lasts.
    """

    def __init__(self, detector: CryDetector, classifier: CryClassifier):
        self.detector, self.classifier = detector, classifier
        reach = detector.window_seconds / 2 + (SMOOTHED - 1) / 2 * SCORE_HOP / RATE
        self.episodes = Episodes(detector.threshold, reach, detector.maybe)
        self.lines: deque[Episode] = deque(maxlen=MOST_LINES)  # oldest first
        self.written = 0  # lines since the beginning, those that have been dropped included
        self.heard = 0  # samples at RATE
        self.limit = LIMIT_SECONDS
        self._reset()

    @property
    def seconds(self) -> float:
        """Return the length of what was heard so far."""
        return self.heard / RATE

    @property
    def over(self) -> bool:
        """Tell whether the time is up; nothing more is heard until :meth:`resume`."""
        return self.seconds >= self.limit

    @property
    def probability(self) -> float | None:
        """Return that of a cry, the mean of the detector's last scores; None before its first."""
        last = float(self.track[-1])
        return None if np.isnan(last) else last

    @property
    def state(self) -> State:
        """Return what is heard now."""
        return self.episodes.state(self.seconds, self.probability or 0.0)

    def hear(self, chunk: NDArray[np.int16], rate: int, lost: float = 0.0) -> None:
        """Take the next samples.

        Args:
            chunk: (samples,), any length, also none at all.
            rate: Hz, may change from chunk to chunk.
            lost: seconds missing before this chunk; they count as silence.

        Raises:
            SampleRateError: if no microphone has this rate.
        """
        if lost > KEEP_ON:  # a hole that nothing lasts through
            self.stop()
            self.heard += round(lost * RATE)
        elif lost > 0:
            self._take(np.zeros(round(lost * RATE), np.float32))
        if self.resampler is None or self.resampler.rate != rate:
            self.resampler = Resampler(rate)
        self._take(self.resampler(chunk / np.float32(2**15)))

    def stop(self) -> None:
        """End what lasts, log it and forget the sound; the log stays."""
        self._write(self.episodes.finish())
        self._reset()

    def resume(self) -> None:
        """Allow another ``LIMIT_SECONDS``."""
        self.limit = self.seconds + LIMIT_SECONDS

    def _reset(self) -> None:
        self.sound = np.zeros(KEPT, np.float32)
        self.scores = np.full(SMOOTHED, np.nan, np.float32)
        self.track = np.full(
            KEPT // SCORE_HOP, np.nan, np.float32
        )  # their mean, over the same 12 s
        self.loudness = Loudness()
        self.resampler: Resampler | None = None
        self.pending = np.zeros(0, np.float32)
        self.due = SCORE_HOP - HELD_BACK  # samples until the next score
        self.answer: Prediction | None = None  # to the cry that lasts
        self.answered = -ANSWER_EVERY

    def _take(self, samples: NDArray[np.float32]) -> None:
        """Go from score to score, at the same samples however the stream was cut."""
        self.pending = np.concatenate([self.pending, samples])
        while len(self.pending) >= self.due:
            block, self.pending = self.pending[: self.due], self.pending[self.due :].copy()
            self.due = SCORE_HOP
            self._score(block)

    def _score(self, block: NDArray[np.float32]) -> None:
        if self.over:
            return
        self.heard += len(block)
        self.sound = newest(self.sound, block)
        window = self.sound[-round(self.detector.window_seconds * RATE) :]
        score = self.detector.probability(torch.from_numpy(window), RATE)
        self.scores = newest(self.scores, [score])
        probability = float(np.nanmean(self.scores))
        self.track = newest(self.track, [probability])
        self._write(self.episodes.step(self.seconds, probability, self.loudness(block)))
        lasting = self.episodes.open
        if lasting is None or lasting.kind != "cry":
            self.answer, self.answered = None, -ANSWER_EVERY
        elif self.seconds - self.answered >= ANSWER_EVERY:
            self.answered = self.seconds
            start = max(lasting.start, self.seconds - ANSWER_SECONDS)
            self.answer = self._classify(start, self.seconds) or self.answer

    def _write(self, episodes: list[Episode]) -> None:
        for episode in episodes:
            answer = None
            if episode.kind == "cry":
                answer = self._classify(episode.start, episode.end) or self.answer
            self.lines.append(replace(episode, answer=answer))
            self.written += 1

    def _classify(self, start: float, end: float) -> Prediction | None:
        """Classify what is still kept of a stretch; None if that is too short or silent."""
        first, last = (KEPT + round(t * RATE) - self.heard for t in (start, end))
        stretch = self.sound[max(0, first) : max(0, last)]
        try:
            prediction = self.classifier.predict(stretch, RATE)
        except audio.AudioError:  # too short, or silent in the band that the model hears
            return None
        except Exception:  # the sound goes on, and so do the other visitors
            LOG.exception("A cry could not be answered.")
            return None
        kept = AttentionMaps(embedding=prediction.attention.embedding)
        return replace(prediction, attention=kept, pieces=())
