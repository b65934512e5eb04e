"""Hold the attention weights that a model returns beside its logits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor
from torch.nn.functional import pad


@dataclass(frozen=True)
class AttentionMaps:
    """What each attention module of a system gave for one batch.

    A system returns what it has: an ablation without a module leaves the tuple empty or the
    tensor ``None``, and so do ECAPA-TDNN and ResNet18, which have none of these modules.

    Attributes:
        temporal: for each block the gate A_t of equation 10, (batch, frames), in (0, 1).
        channel: for each block the gate A_c of equation 10, (batch, channels), in (0, 1).
        multi_scale: for each block the gate s of equation 5 in each of its stages, per branch
            (kernel 3, 5, 7 and max-pooling), (batch, stages, branches, channels), in (0, 1).
        differential_1: A_1 of equation 13, (batch, heads, tokens, tokens), rows sum to 1.
        differential_2: A_2 of equation 15, the same shape.
        differential_lambda: the learnt scalar of equation 12, shape ().
        remoteness: of a system that answers by acoustic features: how far each item lies from what
            it was fitted on, (batch,), above 1 outside.
    """

    temporal: tuple[Tensor, ...] = ()
    channel: tuple[Tensor, ...] = ()
    multi_scale: tuple[Tensor, ...] = ()
    differential_1: Tensor | None = None
    differential_2: Tensor | None = None
    differential_lambda: Tensor | None = None
    ood_score: Tensor | None = None

    @property
    def differential(self) -> Tensor | None:
        """A_1 - lambda A_2, the weights that equation 12 applies to the values."""
        if self.differential_1 is None:
            return None
        return self.differential_1 - self.differential_lambda * self.differential_2

    def cpu(self) -> AttentionMaps:
        """Return the same maps in main memory, free of any gradient."""
        return combine(lambda tensors: tensors[0].detach().cpu(), [self])


def combine(
    join: Callable[[list[Tensor]], Tensor], parts: Sequence[AttentionMaps]
) -> AttentionMaps:
    """Apply ``join`` to the tensors that stand at the same place in each of ``parts``."""

    def at(name: str) -> Tensor | tuple[Tensor, ...] | None:
        values = [getattr(p, name) for p in parts]
        if values[0] is None:
            return None
        if isinstance(values[0], tuple):
            return tuple(join(list(block)) for block in zip(*values, strict=True))
        return join(values)

    return AttentionMaps(**{f.name: at(f.name) for f in fields(AttentionMaps)})


def concatenate(parts: Sequence[AttentionMaps]) -> AttentionMaps:
    """Join the maps of several batches along the batch dimension; lambda is the same in all.

    Where pieces differ in length, what lies behind the end of the shorter ones is zero.
    """
    return combine(_joined, parts)


def _joined(tensors: list[Tensor]) -> Tensor:
    if tensors[0].dim() == 0:
        return tensors[0]
    longest = max(t.shape[-1] for t in tensors)
    return torch.cat([pad(t, (0, longest - t.shape[-1])) if t.dim() > 1 else t for t in tensors])


@dataclass(frozen=True)
class BlockAttention:
    """The gates of one block, before they are gathered into :class:`AttentionMaps`."""

    temporal: Tensor | None = None
    channel: Tensor | None = None
    multi_scale: Tensor | None = None


@dataclass(frozen=True)
class DifferentialMaps:
    """The maps of one :class:`~cry_model.layers.DifferentialAttention` call."""

    first: Tensor
    second: Tensor
    weight: Tensor  # lambda


def gather(
    blocks: list[BlockAttention], differential: DifferentialMaps | None = None
) -> AttentionMaps:
    """Collect the gates of every block and the differential maps into one record."""
    per_block = {
        f.name: tuple(v for b in blocks if (v := getattr(b, f.name)) is not None)
        for f in fields(BlockAttention)
    }
    if differential is None:
        return AttentionMaps(**per_block)
    return AttentionMaps(
        **per_block,
        differential_1=differential.first,
        differential_2=differential.second,
        differential_lambda=differential.weight,
    )
