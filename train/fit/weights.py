"""The weights in training: of the model, their moving average, and the optimiser's memory."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Mapping
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn

from train.fit.presets import Preset


class Weights:
    """Everything that a step changes.

    Attributes:
        model: the system, as it was built.
        optimiser: AdamW; without weight decay it is Adam.
        averaged: a copy of the model with the moving average of parameters and statistics; None
            if the preset wants none.
    """

    def __init__(self, model: nn.Module, preset: Preset, device: torch.device) -> None:
        self.model, self.decay = model, preset.average
        self.optimiser = torch.optim.AdamW(
            model.parameters(),
            lr=preset.learning_rate,
            weight_decay=preset.weight_decay,
            fused=device.type == "cuda",
        )
        self.averaged = copy.deepcopy(model) if preset.average else None
        self.steps = 0

    @property
    def outcome(self) -> nn.Module:
        """What the fit is for: the average, or else the model itself."""
        return self.model if self.averaged is None else self.averaged

    @torch.no_grad()
    def follow(self) -> None:
        """Moves the average after a step.

        As torch's AveragedModel does, which asks the device for a counter at each step. The decay
        rises from 0.1 to what the preset says, as in TensorFlow's ExponentialMovingAverage, so
        that a short fit does not end as an average over its beginning.
        """
        if self.averaged is not None:
            share = 1 - min(self.decay, (1 + self.steps) / (10 + self.steps)) if self.steps else 1.0
            torch._foreach_lerp_(numbers(self.averaged), numbers(self.model), share)
        self.steps += 1

    def finite(self) -> bool:
        """Whether all of them still are numbers."""
        sums = torch.stack([tensor.sum(dtype=torch.float64) for tensor in numbers(self.model)])
        return bool(sums.isfinite().all())

    def state(self) -> dict[str, Any]:
        """To go on with later."""
        return {
            "steps": self.steps,
            "model": self.model.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "averaged": None if self.averaged is None else self.averaged.state_dict(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Goes on from :meth:`state`."""
        self.steps = state["steps"]
        self.model.load_state_dict(state["model"])
        self.optimiser.load_state_dict(state["optimiser"])
        if self.averaged is not None:
            self.averaged.load_state_dict(state["averaged"])


def numbers(model: nn.Module) -> list[Tensor]:
    """Parameters and BatchNorm's statistics, without its counters."""
    return [t for t in chain(model.parameters(), model.buffers()) if t.is_floating_point()]


def digest(weights: Mapping[str, Tensor]) -> str:
    """16 characters that change when a name or a number does."""
    found = hashlib.sha256()
    for name, tensor in weights.items():
        found.update(name.encode())
        found.update(tensor.cpu().contiguous().numpy())
    return found.hexdigest()[:16]
