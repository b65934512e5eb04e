"""Where in a recording a baby cries: the gate's probability over time, and the cries in it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor


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
class CryTrack:
    """What the gate made of one recording, look by look.

    Attributes:
        starts: seconds, one a look, a constant step apart.
        seconds: length of a look.
        probabilities: of a baby crying, one a look.
        duration: seconds of the recording.
        threshold: at and above it the gate hears a cry.
    """

    starts: tuple[float, ...]
    seconds: float
    probabilities: tuple[float, ...]
    duration: float
    threshold: float

    KEEP = 0.75  # of the threshold: a cry does not end where it is a little less sure
    MERGE = 1.5  # s: a pause for breath does not end a cry

    @property
    def step(self) -> float:
        """Seconds from one look to the next; a recording of a single look is one step."""
        return self.starts[1] - self.starts[0] if len(self.starts) > 1 else self.duration

    @cached_property
    def cells(self) -> Tensor:
        """The probability over time, (cells,): cell i begins at ``i * step``.

        The mean over the looks that cover a cell, so that one look alone does not make a cry in
        the midst of a recording, and the edges of a cry lie where half of the looks hear it.
        """
        values = torch.tensor(self.probabilities)
        if len(values) == 1:
            return values
        width = max(1, round(self.seconds / self.step))
        total = torch.zeros(len(values) + width - 1)
        count = torch.zeros_like(total)
        for shift in range(width):
            total[shift : shift + len(values)] += values
            count[shift : shift + len(values)] += 1
        return total / count

    @property
    def score(self) -> float:
        """The probability that there is a cry anywhere: that of the likeliest cell."""
        return float(self.cells.max())

    @property
    def is_cry(self) -> bool:
        """Whether that reaches the threshold: then, and only then, there are :attr:`spans`."""
        return self.score >= self.threshold

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
        """The greatest probability within a span."""
        first = round(span.start / self.step)
        last = max(first + 1, round(span.end / self.step))
        return float(self.cells[first:last].max())
