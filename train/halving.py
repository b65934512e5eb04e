"""Whether weights may be stored in 16 bits: what that changes in the answers."""

from __future__ import annotations

import copy

import numpy as np
import torch
from torch import nn

from train.clips import Clips
from train.predicting import TrainingError, TrainingFrontEnd, piece_probabilities

UNNOTICED = 0.002
"""Greatest change of a probability with which weights are stored as float16."""


@torch.no_grad()
def halved(model: nn.Module) -> nn.Module:
    """A copy with every weight as float16 can say it, still computing in float32."""
    copied = copy.deepcopy(model)
    for tensor in (*copied.parameters(), *copied.buffers()):
        if tensor.is_floating_point():
            tensor.copy_(tensor.half())
    return copied


def change_by_halving(model: nn.Module, front_end: TrainingFrontEnd, clips: Clips) -> float:
    """Greatest change of any probability of any piece; infinite if float16 cannot hold a weight."""
    before = piece_probabilities(model, front_end, clips)
    try:
        after = piece_probabilities(halved(model), front_end, clips)
    except TrainingError:
        return float("inf")
    return max(float(np.abs(a - b).max()) for a, b in zip(before, after, strict=True))
