"""Define cry detection scores, and the windows that score a recording; without torch."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from cry_model.sound.audio import SILENCE_PEAK
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
        found: list[Span] = []
        for cell, value in enumerate(self.cells.tolist()):
            if value < self.KEEP * self.threshold:
                continue
            start, end = cell * self.step, min((cell + 1) * self.step, self.duration)
            if found and start - found[-1].end < self.MERGE:
                found[-1] = Span(found[-1].start, end)
            else:
                found.append(Span(start, end))
        return tuple(span for span in found if self.peak(span) >= self.threshold)

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


def lay_out(
    wave: NDArray[np.float32], frames: int, config: FrontEndConfig
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Extend (samples,) to a whole number of steps, and find the windows with only silence.

    A wave shorter than a window of ``frames`` is repeated; the last window reaches the end,
    zero-padded if necessary. Return the wave, and whether each window is silent, (windows,).
    """
    window, step = frames * config.hop, step_frames(config) * config.hop
    covered = max(0, math.ceil((len(wave) - window) / step)) * step + window
    if len(wave) < window:
        wave = np.tile(wave, math.ceil(covered / len(wave)))[:covered]
    wave = np.pad(wave, (0, covered - len(wave)))
    loudest = abs(wave).reshape(-1, config.hop).max(1)
    cut = sliding_window_view(loudest, frames)[:: step_frames(config)]
    return wave, cut.max(-1) < SILENCE_PEAK


def detection_scores(
    config: CheckpointConfig,
    score: Callable[[int], NDArray[np.float32]],
    samples: int,
    duration: float,
) -> DetectionScores:
    """Score a recording of ``samples`` at the front end's rate and ``duration`` seconds, by step.

    ``score`` maps a window length in frames to (windows,) log odds, NaN where there is only
    silence. Log odds are averaged over the windows that cover a step, then over the window lengths:
    short windows find short cries, long ones are seldom wrong. 0 where there is only silence.
    """
    own, c = config.detector, config.front_end
    assert own is not None  # a detector's checkpoint has one
    step, lengths = step_frames(c), windows(c)
    steps = max(1, math.ceil(samples / (step * c.hop)))
    total = np.zeros(steps, np.float32)
    for frames in lengths:
        scores = score(frames)
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
        found = 1 / (1 + np.exp(-np.nan_to_num(total / len(lengths), nan=-math.inf)))
    seconds = step * c.hop / c.sample_rate
    return DetectionScores(seconds, tuple(found.tolist()), duration, own.threshold, own.maybe)
