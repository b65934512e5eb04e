"""Hold the weights in training: the model, its moving average, and the optimiser."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Mapping
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn

from train.fit.presets import Preset


class Ema:
    """Exponential moving average of a model's parameters and statistics.

    As torch's AveragedModel, which asks the device for a counter at each step. The decay rises from
    0.1 to what the preset says, as in TensorFlow's ExponentialMovingAverage, so that a short fit
    does not end as an average over its beginning.

    Attributes:
        model: the average.
        steps: how many it is over.
    """

    def __init__(self, source: nn.Module, decay: float) -> None:
        self.source, self.decay = source, decay
        self.model, self.steps = copy.deepcopy(source), 0

    @torch.no_grad()
    def update(self) -> None:
        """Move the average after a step."""
        share = 1 - min(self.decay, (1 + self.steps) / (10 + self.steps)) if self.steps else 1.0
        torch._foreach_lerp_(numbers(self.model), numbers(self.source), share)
        self.steps += 1


class Weights:
    """Everything that a step changes.

    Attributes:
        model: the system, as it was built.
        optimiser: AdamW; without weight decay it is Adam.
        ema: None if the preset wants none.
    """

    def __init__(self, model: nn.Module, preset: Preset, device: torch.device) -> None:
        self.model = model
        self.optimiser = torch.optim.AdamW(
            model.parameters(),
            lr=preset.learning_rate,
            weight_decay=preset.weight_decay,
            fused=device.type == "cuda",
        )
        self.ema = Ema(model, preset.average) if preset.average else None

    @property
    def outcome(self) -> nn.Module:
        """What the fit is for: the average, or else the model itself."""
        return self.model if self.ema is None else self.ema.model

    def step(self, optimiser: torch.optim.Optimizer) -> None:
        """Step by the optimiser, as it was prepared for the processes, and move the average."""
        optimiser.step()
        if self.ema is not None:
            self.ema.update()

    def finite(self) -> bool:
        """Return whether all of them still are numbers."""
        sums = torch.stack([tensor.sum(dtype=torch.float64) for tensor in numbers(self.model)])
        return bool(sums.isfinite().all())

    def state(self) -> dict[str, Any]:
        """Return what to go on with later."""
        return {
            "steps": 0 if self.ema is None else self.ema.steps,
            "model": self.model.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "averaged": None if self.ema is None else self.ema.model.state_dict(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from :meth:`state`."""
        self.model.load_state_dict(state["model"])
        self.optimiser.load_state_dict(state["optimiser"])
        if self.ema is not None:
            self.ema.steps = state["steps"]
            self.ema.model.load_state_dict(state["averaged"])


def numbers(model: nn.Module) -> list[Tensor]:
    """Return parameters and BatchNorm's statistics, without its counters."""
    return [t for t in chain(model.parameters(), model.buffers()) if t.is_floating_point()]


def digest(weights: Mapping[str, Tensor]) -> str:
    """Return 16 characters that change when a name or a number does."""
    found = hashlib.sha256()
    for name, tensor in weights.items():
        found.update(name.encode())
        found.update(tensor.cpu().contiguous().numpy())
    return found.hexdigest()[:16]
