"""Turn microphone chunks into the state that the Live tab shows, without its page."""

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
MARGIN = 0.0085  # s: reach of the resampling filter at the lowest accepted rate
HELD_BACK = 500  # samples by which the first score is early, since a resampler holds some back
SMOOTHED = 4  # scores averaged before the threshold: a single one may be a bang
ANSWER_SECONDS = 5.0  # of an ongoing cry, classified for an answer
ANSWER_EVERY = 1.0  # s
LIMIT_SECONDS = 600.0
MOST_LINES = 100


class Resampler:
    """Resample a stream chunk by chunk, with the same result as resampling it at once.

    The last milliseconds, which the filter cannot compute yet, are held back, so that chunk edges
    are inaudible.

    Args:
        rate: sample rate of the chunks in Hz.

    Raises:
        SampleRateError: if the rate is outside the accepted range.
    """

    def __init__(self, rate: int):
        if not audio.MIN_RATE <= rate <= audio.MAX_RATE:
            raise audio.SampleRateError(
                f"The microphone's rate of {rate:g} Hz is out of range; please use another one."
            )
        self.rate = int(rate)
        ratio = Fraction(self.rate, RATE).limit_denominator(1000)  # as resample() rounds it
        self.taken, self.given = ratio.numerator, ratio.denominator
        self.margin = math.ceil(MARGIN * RATE / self.given)  # blocks
        self.raw = np.zeros(self.margin * self.taken, np.float32)

    def __call__(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Resample (samples,) at ``rate`` to all samples at 16 kHz that can be computed yet."""
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
    """Listen for one visitor; keep the last 12 s of audio, until :meth:`stop`, and the log.

    The result does not depend on how the stream is cut into chunks. Not thread-safe.

    Args:
        detector: scores four times a second whether the last seconds contain a cry.
        classifier: names a reason during a cry.
    """

    def __init__(self, detector: CryDetector, classifier: CryClassifier):
        self.detector, self.classifier = detector, classifier
        reach = detector.window_seconds / 2 + (SMOOTHED - 1) / 2 * SCORE_HOP / RATE
        self.episodes = Episodes(detector.threshold, reach, detector.maybe)
        self.lines: deque[Episode] = deque(maxlen=MOST_LINES)  # oldest first
        self.written = 0  # lines since the beginning, including dropped ones
        self.heard = 0  # samples at RATE
        self.limit = LIMIT_SECONDS
        self._reset()

    @property
    def seconds(self) -> float:
        """Return the duration processed so far."""
        return self.heard / RATE

    @property
    def over(self) -> bool:
        """Return whether the time limit is reached; then audio is ignored until :meth:`resume`."""
        return self.seconds >= self.limit

    @property
    def probability(self) -> float | None:
        """Return the cry probability, the mean of the detector's last scores; None before any."""
        last = float(self.track[-1])
        return None if np.isnan(last) else last

    @property
    def state(self) -> State:
        """Return the current state."""
        return self.episodes.state(self.seconds, self.probability or 0.0)

    def hear(self, chunk: NDArray[np.int16], rate: int, lost: float = 0.0) -> None:
        """Process the next samples.

        Args:
            chunk: (samples,), of any length, possibly empty.
            rate: Hz; may change between chunks.
            lost: seconds missing before this chunk, treated as silence.

        Raises:
            SampleRateError: if the rate is outside the accepted range.
        """
        if lost > KEEP_ON:  # a gap that ends every episode
            self.stop()
            self.heard += round(lost * RATE)
        elif lost > 0:
            self._take(np.zeros(round(lost * RATE), np.float32))
        if self.resampler is None or self.resampler.rate != rate:
            self.resampler = Resampler(rate)
        self._take(self.resampler(chunk / np.float32(2**15)))

    def stop(self) -> None:
        """Finish and log the open episode, and delete the audio; the log stays."""
        self._write(self.episodes.finish())
        self._reset()

    def resume(self) -> None:
        """Extend the time limit by ``LIMIT_SECONDS``."""
        self.limit = self.seconds + LIMIT_SECONDS

    def _reset(self) -> None:
        self.sound = np.zeros(KEPT, np.float32)
        self.scores = np.full(SMOOTHED, np.nan, np.float32)
        self.track = np.full(
            KEPT // SCORE_HOP, np.nan, np.float32
        )  # smoothed scores, over the same 12 s
        self.loudness = Loudness()
        self.resampler: Resampler | None = None
        self.pending = np.zeros(0, np.float32)
        self.due = SCORE_HOP - HELD_BACK  # samples until the next score
        self.answer: Prediction | None = None  # to the ongoing cry
        self.answered = -ANSWER_EVERY

    def _take(self, samples: NDArray[np.float32]) -> None:
        """Compute scores at the same samples, however the stream was cut."""
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
        """Classify what is still kept of a stretch; return None if it is too short or silent."""
        first, last = (KEPT + round(t * RATE) - self.heard for t in (start, end))
        stretch = self.sound[max(0, first) : max(0, last)]
        try:
            prediction = self.classifier.predict(stretch, RATE)
        except audio.AudioError:  # too short, or silent in the model's band
            return None
        except Exception:  # the stream and other visitors go on
            LOG.exception("A cry could not be answered.")
            return None
        kept = AttentionMaps(embedding=prediction.attention.embedding)
        return replace(prediction, attention=kept, pieces=())
