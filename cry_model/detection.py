"""Define cry detection scores, and the windows that score a recording; without torch."""

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
    """Format minutes, seconds and tenths: 75.25 -> "1:15.3"."""
    tenths = math.floor(10 * seconds + 0.5)
    return f"{tenths // 600}:{tenths % 600 / 10:04.1f}"


@dataclass(frozen=True)
class Span:
    """A stretch of a recording, in seconds from its start."""

    start: float
    end: float

    @property
    def seconds(self) -> float:
        """Length in seconds."""
        return self.end - self.start


@dataclass(frozen=True)
class DetectionScores:
    """Detector output for one recording, step by step.

    Attributes:
        step: seconds; step i begins at ``i * step``.
        probabilities: probability of a cry, one per step.
        duration: seconds of the recording.
        threshold: least probability of a cry.
        maybe: least probability of a possible cry.
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
        """Wrap the output of a checkpoint's detector for a recording of ``duration`` seconds."""
        own, c = config.detector, config.front_end
        assert own is not None  # a detector's checkpoint has one
        step = step_frames(c) * c.hop / c.sample_rate
        return cls(step, tuple(probabilities), duration, own.threshold, own.maybe)

    KEEP = 0.75  # of the threshold: hysteresis, below which a cry ends
    MERGE = 1.5  # s: shorter gaps, such as pauses for breath, do not end a cry

    @cached_property
    def cells(self) -> NDArray[np.float32]:
        """The probabilities, (steps,)."""
        return np.array(self.probabilities, np.float32)

    @property
    def score(self) -> float:
        """The probability that there is a cry anywhere: the maximum over the steps."""
        return float(self.cells.max())

    @property
    def is_cry(self) -> bool:
        """Whether the score reaches the threshold: if and only if so, there are :attr:`spans`."""
        return self.score >= self.threshold

    @property
    def state(self) -> Literal["cry", "maybe", "no"]:
        """The recording's class: a cry, a possible cry, or no cry."""
        if self.is_cry:
            return "cry"
        return "maybe" if self.score >= self.maybe else "no"

    @property
    def spans(self) -> tuple[Span, ...]:
        """The cries in order; those less than :attr:`MERGE` apart are merged.

        A cry must reach the threshold, and lasts while it stays at :attr:`KEEP` of it or above.
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
        """Return the maximum probability within a span."""
        first = round(span.start / self.step)
        last = math.ceil(span.end / self.step - 1e-6)  # a recording may end within a step
        return float(self.cells[first:last].max())


CRY = "cry"  # the label
WIDTH = 16  # zero crossings of the resampling filter: no band is near the cut-off
BATCH = 256  # windows per forward pass


def windows(config: FrontEndConfig) -> tuple[int, ...]:
    """Return the window lengths in frames: the shortest and the longest piece."""
    lengths = (config.min_seconds, config.piece_seconds)
    return tuple(sorted({round(s * config.sample_rate) // config.hop for s in lengths}))


def step_frames(config: FrontEndConfig) -> int:
    """Return the hop from one window to the next, in frames."""
    return max(1, round(windows(config)[-1] * (1 - config.overlap)))


def layout(samples: int, frames: int, config: FrontEndConfig) -> tuple[int, int]:
    """Return how many windows of ``frames``, one per step, reach the end of a waveform, and how
    many samples they cover; a waveform shorter than a window has one."""
    window, step = frames * config.hop, step_frames(config) * config.hop
    count = max(1, math.ceil((samples - window) / step) + 1)
    return count, (count - 1) * step + window


def by_step(
    score: Callable[[int, Callable[[float], None]], NDArray[np.float32]],
    samples: int,
    config: FrontEndConfig,
    progress: Callable[[float], None],
) -> NDArray[np.float32]:
    """Return the probability of a cry in each step of a waveform, (steps,).

    Log odds are averaged over the windows that cover a step, then over the window lengths: short
    windows find short cries, long ones are seldom wrong. 0 where there is only silence.

    Args:
        score: window length in frames, and a callback for the share done -> (windows,) log odds,
            NaN where there is only silence.
        samples: length of the waveform at the configuration's rate.
        config: front end of the detector.
        progress: called with the overall share done.
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
