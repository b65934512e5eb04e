"""Hold where a baby cries, and how a recording is looked through for that; without torch."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from cry_model.sound.front_end_config import FrontEndConfig

if TYPE_CHECKING:
    from cry_model.checkpoint import CheckpointConfig


def clock(seconds: float) -> str:
    """Minutes, seconds and tenths: 75.25 -> "1:15.3"."""
    tenths = math.floor(10 * seconds + 0.5)
    return f"{tenths // 600}:{tenths % 600 / 10:04.1f}"


@dataclass(frozen=True)
class Span:
    """A stretch of a recording, in seconds from its beginning."""

    start: float
    end: float

    @property
    def seconds(self) -> float:
        """Its length."""
        return self.end - self.start


@dataclass(frozen=True)
class DetectionScores:
    """What the detector made of one recording, step by step.

    Attributes:
        step: seconds; step i begins at ``i * step``.
        probabilities: of a baby crying, one a step.
        duration: seconds of the recording.
        threshold: at and above it the detector hears a cry.
        maybe: at and above it, it may be one.
    """

    step: float
    probabilities: tuple[float, ...]
    duration: float
    threshold: float
    maybe: float = 1.0

    @classmethod
    def of(
        cls, config: CheckpointConfig, probabilities: Sequence[float], duration: float
    ) -> DetectionScores:
        """Hold what the detector of a checkpoint made of a recording of ``duration`` seconds."""
        own, c = config.detector, config.front_end
        assert own is not None  # a detector's checkpoint has one
        step = step_frames(c) * c.hop / c.sample_rate
        return cls(step, tuple(probabilities), duration, own.threshold, own.maybe)

    KEEP = 0.75  # of the threshold: a cry does not end where it is a little less sure
    MERGE = 1.5  # s: a pause for breath does not end a cry

    @cached_property
    def cells(self) -> NDArray[np.float32]:
        """The probabilities, (steps,)."""
        return np.array(self.probabilities, np.float32)

    @property
    def score(self) -> float:
        """The probability that there is a cry anywhere: that of the likeliest cell."""
        return float(self.cells.max())

    @property
    def is_cry(self) -> bool:
        """Whether that reaches the threshold: then, and only then, there are :attr:`spans`."""
        return self.score >= self.threshold

    @property
    def state(self) -> Literal["cry", "maybe", "no"]:
        """Tell a cry from what may be one and from what is none."""
        if self.is_cry:
            return "cry"
        return "maybe" if self.score >= self.maybe else "no"

    @property
    def spans(self) -> tuple[Span, ...]:
        """The cries in order; those with less than :attr:`MERGE` between them are one.

        A cry has to reach the threshold, and lasts while it stays above :attr:`KEEP` of it.
        """
        lasting = [
            (i, v) for i, v in enumerate(self.cells.tolist()) if v >= self.KEEP * self.threshold
        ]
        found: list[tuple[Span, float]] = []
        for cell, value in lasting:
            start, end = cell * self.step, min((cell + 1) * self.step, self.duration)
            if found and start - found[-1][0].end < self.MERGE:
                before, peak = found[-1]
                found[-1] = (Span(before.start, end), max(peak, value))
            else:
                found.append((Span(start, end), value))
        return tuple(span for span, peak in found if peak >= self.threshold)

    def peak(self, span: Span) -> float:
        """Return the greatest probability within a span."""
        first = round(span.start / self.step)
        last = math.ceil(span.end / self.step - 1e-6)  # a recording may end within a step
        return float(self.cells[first:last].max())


CRY = "cry"  # the label
WIDTH = 16  # zero crossings of the resampling filter: nothing near the cut-off is heard
BATCH = 256  # windows


def windows(config: FrontEndConfig) -> tuple[int, ...]:
    """Return the lengths of the windows in frames: the shortest and the longest piece."""
    lengths = (config.min_seconds, config.piece_seconds)
    return tuple(sorted({round(s * config.sample_rate) // config.hop for s in lengths}))


def step_frames(config: FrontEndConfig) -> int:
    """Return the frames from one window to the next."""
    return max(1, round(windows(config)[-1] * (1 - config.overlap)))


def layout(samples: int, frames: int, config: FrontEndConfig) -> tuple[int, int]:
    """Return how many windows of ``frames``, one every step, reach the end of a wave, and how many
    samples they cover; a wave shorter than a window has one."""
    window, step = frames * config.hop, step_frames(config) * config.hop
    count = max(1, math.ceil((samples - window) / step) + 1)
    return count, (count - 1) * step + window


def by_step(
    score: Callable[[int, Callable[[float], None]], NDArray[np.float32]],
    samples: int,
    config: FrontEndConfig,
    progress: Callable[[float], None],
) -> NDArray[np.float32]:
    """Return the probability of a cry in each step of so many samples, (steps,).

    The log odds of the windows that cover a step, mean over them and then over the lengths of
    windows: short ones find short cries, long ones are seldom wrong. 0 where there is only silence.

    Args:
        score: frames of a window, and what is told the share that is done -> (windows,) log odds,
            NaN where there is only silence.
        samples: at the configuration's rate.
        config: of the detector.
        progress: called with the share of all that is done.
    """
    step, lengths = step_frames(config), windows(config)
    steps = max(1, math.ceil(samples / (step * config.hop)))
    total = np.zeros(steps, np.float32)
    for number, frames in enumerate(lengths):
        scores = score(frames, lambda share, done=number: progress((done + share) / len(lengths)))
        width = max(1, round(frames / step)) if len(scores) > 1 else steps
        columns = np.full((width, len(scores) + width - 1), np.nan, np.float32)
        for shift in range(width):
            columns[shift, shift : shift + len(scores)] = scores
        known = ~np.isnan(columns)
        with np.errstate(invalid="ignore"):
            covered = np.where(known, columns, 0).sum(0) / known.sum(0)
        behind = max(0, steps - len(covered))
        total += np.pad(covered, (0, behind), mode="edge")[:steps]
    with np.errstate(over="ignore"):
        return 1 / (1 + np.exp(-np.nan_to_num(total / len(lengths), nan=-math.inf)))
