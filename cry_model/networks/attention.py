"""Define the attention maps that a model returns beside its logits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class AttentionMaps:
    """Attention weights, out-of-distribution scores and classifier inputs of one batch.

    If the system lacks a module, its tuple is empty or its tensor is None.

    Attributes:
        temporal: for each block the gate A_t of equation 10, (batch, frames), in (0, 1).
        channel: for each block the gate A_c of equation 10, (batch, channels), in (0, 1).
        multi_scale: for each block the gate s of equation 5 in each of its stages, per branch
            (kernel 3, 5, 7 and max-pooling), (batch, stages, branches, channels), in (0, 1).
        differential_1, differential_2: A_1 and A_2 of equations 13 and 15,
            (batch, heads, tokens, tokens), rows sum to 1.
        differential_lambda: the learnt scalar of equation 12, shape ().
        spectral: gate M of the hybrid system, (batch, bands, frames), in (0, 1).
        ood_score: out-of-distribution score of a system that classifies acoustic features, given or
            predicted, (batch,); above 1 is out of distribution.
        embedding: input of the final classifier, (batch, width).
    """

    temporal: tuple[Tensor, ...] = ()
    channel: tuple[Tensor, ...] = ()
    multi_scale: tuple[Tensor, ...] = ()
    differential_1: Tensor | None = None
    differential_2: Tensor | None = None
    differential_lambda: Tensor | None = None
    spectral: Tensor | None = None
    ood_score: Tensor | None = None
    embedding: Tensor | None = None

    @property
    def differential(self) -> Tensor | None:
        """A_1 - lambda A_2, the weights that equation 12 applies to the values."""
        if self.differential_1 is None:
            return None
        return self.differential_1 - self.differential_lambda * self.differential_2


def concatenate(parts: Sequence[AttentionMaps]) -> AttentionMaps:
    """Concatenate the maps of several batches along the batch dimension; lambda is the same in all.

    Maps of shorter pieces are zero-padded to the longest.
    """
    return AttentionMaps(
        **{f.name: _joined([getattr(part, f.name) for part in parts]) for f in fields(parts[0])}
    )


def _joined(values: list[Any]) -> Any:
    if values[0] is None:
        return None
    if isinstance(values[0], tuple):
        return tuple(_joined(list(block)) for block in zip(*values, strict=True))
    if not isinstance(values[0], np.ndarray):
        import torch

        return torch.from_numpy(_joined([value.detach().cpu().numpy() for value in values]))
    if values[0].ndim == 0:
        return values[0]
    if values[0].ndim > 1:
        longest = max(array.shape[-1] for array in values)
        values = [
            np.pad(array, [(0, 0)] * (array.ndim - 1) + [(0, longest - array.shape[-1])])
            for array in values
        ]
    return np.concatenate(values)
