"""Find where a cry, or another sound, begins and ends, from scores alone, without any audio."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cry_model.prediction import Prediction

RATE = 16_000  # Hz, of everything that is kept; no bundled model hears above 8 kHz
SCORE_HOP = RATE // 4  # samples from one score of the cry detector to the next
KEPT = 12 * RATE  # samples
KEEP_ON = 1.5  # s below the threshold, or of quiet, that end an episode
MIN_LOUD = 2  # scores; a single knock is no sound worth a line
QUIETEST_DB, LOUDEST_DB = -60.0, -40.0  # between these lies what counts as background
ABOVE_DB = 10.0  # over the background: a sound

Kind = Literal["cry", "maybe", "sound"]
State = Literal["quiet", "undecided", "sound", "maybe", "cry"]


@dataclass(frozen=True)
class Episode:
    """Hold a stretch of sound: seconds since listening began, greatest probability of a cry, and,
    of a cry, the answer without its attention maps."""

    kind: Kind
    start: float
    end: float
    peak: float
    answer: Prediction | None = None


@dataclass(frozen=True)
class _Open:
    kind: Kind
    start: float
    last: float  # when it last was what it is
    sounded: float  # when it was last loud; its start if it never was
    peak: float
    loud: int  # scores


class Episodes:
    """Turn scores into finished episodes.

    A cry begins where the detector reaches its threshold and ends when it stayed below for
    ``KEEP_ON`` seconds. What a probability says is dated ``reach`` seconds back, in the middle
    of what it is about. Loud sound that the detector calls no cry is an episode of its own kind;
    one that a cry follows closely is that cry's beginning.

    Args:
        threshold, maybe: of the detector.
        reach: seconds from the middle of what a probability is about to its end.
    """

    def __init__(self, threshold: float, reach: float, maybe: float = 1.0):
        self.threshold, self.reach, self.maybe = threshold, reach, maybe
        self.open: _Open | None = None
        self._free = 0.0  # the end of the last episode: none begins before it

    def state(self, time: float, probability: float = 0.0) -> State:
        """Return what lasts at ``time``; a young sound may yet turn out to be a cry."""
        if self.open is None:
            return "quiet"
        if self.open.kind == "cry":
            return "cry"
        if probability >= self.maybe:
            return "maybe"
        return "sound" if time - self.open.start >= KEEP_ON else "undecided"

    def step(self, time: float, probability: float, loud: bool) -> list[Episode]:
        """Take the score of what ends at ``time`` and return the episodes that it ends."""
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
        """End what lasts, if anything does and it was long enough."""
        ended, self.open = self.open, None
        if ended is None or (ended.kind == "sound" and ended.loud < MIN_LOUD):
            return []
        end = ended.last - self.reach if ended.kind == "cry" else ended.last
        if ended.sounded > ended.start:  # quiet afterwards tells better than the detector
            end = min(end, ended.sounded)
        end = max(end, ended.start + SCORE_HOP / RATE)
        self._free = end
        return [self._episode(ended, end)]

    def _episode(self, ended: _Open, end: float) -> Episode:
        """Close what lasted; a sound that reached ``maybe`` may have been a cry."""
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
    """Append to (n,) values of a stream; as many fall out at the other end."""
    return np.concatenate([kept, new], dtype=np.float32)[-len(kept) :]


class Loudness:
    """Tell sound from background by its level, which it learns from the last seconds."""

    def __init__(self) -> None:
        self.levels = np.full(KEPT // SCORE_HOP, math.nan, np.float32)

    def __call__(self, block: NDArray[np.float32]) -> bool:
        """Tell whether (samples,), one hop long, is louder than the background."""
        power = float(np.var(block, dtype=np.float64))
        level = 10 * math.log10(max(power, 1e-12))
        self.levels = newest(self.levels, [level])
        background = float(np.nanpercentile(self.levels, 10))
        return level >= min(max(background, QUIETEST_DB), LOUDEST_DB) + ABOVE_DB
