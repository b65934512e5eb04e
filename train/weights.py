"""The weights in training: of the model, their moving average, and the optimiser's memory."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from train.presets import Preset


class Weights:
    """Everything that a step changes.

    Attributes:
        model: the system, as it was built.
        optimiser: AdamW; without weight decay it is Adam.
        averaged: the moving average of the weights; None if the preset wants none.
    """

    def __init__(self, model: nn.Module, preset: Preset, device: torch.device) -> None:
        self.model = model
        self.optimiser = torch.optim.AdamW(
            model.parameters(),
            lr=preset.learning_rate,
            weight_decay=preset.weight_decay,
            fused=device.type == "cuda",
        )
        self.averaged = None
        if preset.average:
            average = get_ema_multi_avg_fn(preset.average)
            self.averaged = AveragedModel(model, multi_avg_fn=average, use_buffers=True)

    @property
    def outcome(self) -> nn.Module:
        """What the fit is for: the average, or else the model itself."""
        return self.model if self.averaged is None else self.averaged.module

    def follow(self) -> None:
        """Moves the average after a step."""
        if self.averaged is not None:
            self.averaged.update_parameters(self.model)

    def state(self) -> dict[str, Any]:
        """To go on with later."""
        return {
            "model": self.model.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "averaged": None if self.averaged is None else self.averaged.state_dict(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Goes on from :meth:`state`."""
        self.model.load_state_dict(state["model"])
        self.optimiser.load_state_dict(state["optimiser"])
        if self.averaged is not None:
            self.averaged.load_state_dict(state["averaged"])
