"""What a listener needs, and what it gives, as plain records."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from analysis.live.episodes import Episode, State
from cry_model.prediction import Prediction


class Gate(Protocol):
    """What the listener needs of a gate."""

    threshold: float
    window_seconds: float

    def probability(self, waveform: torch.Tensor, sample_rate: int) -> float:
        """That the last ``window_seconds`` of (samples,) hold a cry."""


@dataclass(frozen=True)
class Line:
    """One line of the log: what was heard and, of a cry, the answer without its attention maps."""

    episode: Episode
    answer: Prediction | None = None


@dataclass(frozen=True, eq=False)  # comparing arrays gives no bool
class View:
    """What to show after a chunk.

    Attributes:
        seconds: listened to so far.
        state: what is heard now.
        probability: of a cry, the mean of the gate's last looks; None before its first.
        decibels: (bands, columns), the last 12 s.
        track: (looks,) that mean over the same 12 s, NaN where the gate had not looked.
        answer: of the cry that lasts.
        lines: the log, oldest first; only the last hundred are kept.
        written: lines since the beginning, those that have been dropped included.
        over: whether the time is up; nothing more is heard until :meth:`Listener.resume`.
    """

    seconds: float
    state: State
    probability: float | None
    decibels: NDArray[np.float32]
    track: NDArray[np.float32]
    answer: Prediction | None
    lines: tuple[Line, ...]
    written: int
    over: bool
