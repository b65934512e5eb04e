"""Find the start and end of cries and other sounds from scores alone, without audio."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cry_model.prediction import Prediction

RATE = 16_000  # Hz, of all audio kept; no bundled model uses frequencies above 8 kHz
SCORE_HOP = RATE // 4  # samples between two scores of the cry detector
KEPT = 12 * RATE  # samples of audio
KEEP_ON = 1.5  # s below the threshold, or of quiet, that end an episode
MIN_LOUD = 2  # scores; a single knock is not logged
QUIETEST_DB, LOUDEST_DB = -60.0, -40.0  # limits of the background level
ABOVE_DB = 10.0  # level above the background that counts as sound

Kind = Literal["cry", "maybe", "sound"]
State = Literal["quiet", "undecided", "sound", "maybe", "cry"]


@dataclass(frozen=True)
class Episode:
    """Store a stretch of sound: start and end in s since listening began, peak probability of a
    cry and, for a cry, the answer without attention maps."""

    kind: Kind
    start: float
    end: float
    peak: float
    answer: Prediction | None = None


@dataclass(frozen=True)
class _Open:
    kind: Kind
    start: float
    last: float  # time of its last score at the threshold (cry) or loud block (sound)
    sounded: float  # time of its last loud block; its start if there was none
    peak: float
    loud: int  # loud scores


class Episodes:
    """Turn scores into finished episodes.

    A cry begins where the detector reaches its threshold and ends after ``KEEP_ON`` seconds below
    it. A probability is dated ``reach`` seconds back, to the middle of its window. Loud sound that
    the detector rejects is an episode of its own kind; if a cry follows closely, the sound becomes
    the beginning of that cry.

    Args:
        threshold, maybe: thresholds of the detector.
        reach: seconds from the middle of a score's window to its end.
    """

    def __init__(self, threshold: float, reach: float, maybe: float = 1.0):
        self.threshold, self.reach, self.maybe = threshold, reach, maybe
        self.open: _Open | None = None
        self._free = 0.0  # end of the last episode; no other one begins before it

    def state(self, time: float, probability: float = 0.0) -> State:
        """Return the state at ``time``; a recent sound may still turn out to be a cry."""
        if self.open is None:
            return "quiet"
        if self.open.kind == "cry":
            return "cry"
        if probability >= self.maybe:
            return "maybe"
        return "sound" if time - self.open.start >= KEEP_ON else "undecided"

    def step(self, time: float, probability: float, loud: bool) -> list[Episode]:
        """Process the score of the window ending at ``time``; return the episodes it finishes."""
        if probability >= self.threshold:
            return self._cry(time, probability, loud)
        finished = []
        if self.open is not None and time - self.open.last >= KEEP_ON:
            finished = self.finish()
            self._free = max(self._free, time - SCORE_HOP / RATE)
        elif self.open is not None and self.open.kind == "cry":
            if loud:
                self.open = replace(self.open, sounded=time)
            return []
        if loud:
            start = max(self._free, time - SCORE_HOP / RATE)
            before = self.open or _Open("sound", start, time, time, 0, 0)
            peak = max(before.peak, probability)
            self.open = replace(before, last=time, sounded=time, peak=peak, loud=before.loud + 1)
        return finished

    def finish(self) -> list[Episode]:
        """Finish the open episode, if there is one and it was long enough."""
        ended, self.open = self.open, None
        if ended is None or (ended.kind == "sound" and ended.loud < MIN_LOUD):
            return []
        end = ended.last - self.reach if ended.kind == "cry" else ended.last
        if ended.sounded > ended.start:  # quiet marks the end more precisely than the detector
            end = min(end, ended.sounded)
        end = max(end, ended.start + SCORE_HOP / RATE)
        self._free = end
        return [self._episode(ended, end)]

    def _episode(self, ended: _Open, end: float) -> Episode:
        """Close an episode; a sound whose peak reached ``maybe`` may have been a cry."""
        maybe = ended.kind == "sound" and ended.peak >= self.maybe
        return Episode("maybe" if maybe else ended.kind, ended.start, end, ended.peak)

    def _cry(self, time: float, probability: float, loud: bool) -> list[Episode]:
        finished: list[Episode] = []
        if self.open is None or self.open.kind == "sound":
            start = max(self._free, time - self.reach, 0.0)
            before = self.open
            if before is not None and start - before.start >= KEEP_ON:
                if before.loud >= MIN_LOUD:
                    end = min(before.last, start)
                    finished = [self._episode(before, end)]
            elif before is not None:
                start = before.start
            self.open = _Open("cry", start, time, start, probability, 0)
        peak = max(self.open.peak, probability)
        sounded = time if loud else self.open.sounded
        self.open = replace(self.open, last=time, sounded=sounded, peak=peak)
        return finished


def newest(kept: NDArray[np.float32], new: ArrayLike) -> NDArray[np.float32]:
    """Append new values to a buffer of fixed length (n,), dropping as many of the oldest."""
    return np.concatenate([kept, new], dtype=np.float32)[-len(kept) :]


class Loudness:
    """Detect sound by its level above the background, which is estimated from recent seconds."""

    def __init__(self) -> None:
        self.levels = np.full(KEPT // SCORE_HOP, math.nan, np.float32)

    def __call__(self, block: NDArray[np.float32]) -> bool:
        """Return whether a block (samples,), one hop long, is louder than the background."""
        power = float(np.var(block, dtype=np.float64))
        level = 10 * math.log10(max(power, 1e-12))
        self.levels = newest(self.levels, [level])
        background = float(np.nanpercentile(self.levels, 10))
        return level >= min(max(background, QUIETEST_DB), LOUDEST_DB) + ABOVE_DB
