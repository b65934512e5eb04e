"""What a classifier answers, as plain records that carry everything the page draws."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from cry_model.attention import AttentionMaps
from cry_model.evaluation import Evaluation


@dataclass(frozen=True)
class PieceAnswer:
    """One piece of the recording: seconds from its beginning, label -> probability."""

    start: float
    end: float
    probabilities: Mapping[str, float]


@dataclass(frozen=True)
class Prediction:
    """The answer for one recording.

    Attributes:
        probabilities: label -> probability, the mean over the pieces; sums to 1.
        pieces: the answer for each piece, in order.
        system: name in the registry.
        duration: seconds of the whole recording.
        hop_seconds: seconds from one frame to the next.
        attention: maps of the pieces, the batch dimension running over them.
        evaluation: how well models fitted like this one did; None if never measured.
    """

    probabilities: Mapping[str, float]
    pieces: tuple[PieceAnswer, ...]
    system: str
    duration: float
    hop_seconds: float
    attention: AttentionMaps
    evaluation: Evaluation | None = None

    @property
    def label(self) -> str:
        """The most probable label."""
        return max(self.probabilities, key=self.probabilities.__getitem__)

    def timeline(self, gates: Tensor) -> tuple[Tensor, Tensor]:
        """Joins per-piece values into one track over the recording.

        Args:
            gates: (pieces, ..., frames), such as ``attention.temporal[0]``.

        Returns:
            times: (frames,) seconds, the middle of each frame that some piece covers.
            track: (..., frames), the mean where pieces overlap.
        """
        hop = self.hop_seconds
        frames = round(self.duration / hop) + 1
        total = torch.zeros(*gates.shape[1:-1], frames)
        count = torch.zeros(frames)
        for piece, values in zip(self.pieces, gates, strict=True):
            first = round(piece.start / hop)
            length = min(round((piece.end - piece.start) / hop), values.shape[-1], frames - first)
            total[..., first : first + length] += values[..., :length]
            count[first : first + length] += 1
        covered = count > 0
        return torch.arange(frames)[covered] * hop, (total / count.clamp_min(1))[..., covered]

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON: no tensors; attention is left to the figures."""
        return {
            "label": self.label,
            "probabilities": dict(self.probabilities),
            "pieces": [asdict(p) for p in self.pieces],
            "system": self.system,
            "duration_seconds": round(self.duration, 3),
            "evaluation": None if self.evaluation is None else asdict(self.evaluation),
            "note": "Not a medical device.",
        }
