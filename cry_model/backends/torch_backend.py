"""Compute predictions with torch: the front end and the system as they were fitted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cry_model.checkpoint import CheckpointConfig
from cry_model.networks.attention import AttentionMaps
from cry_model.networks.feature_mlp import INPUTS, FeatureMLP
from cry_model.networks.registry import make_front_end
from cry_model.prediction import FeatureAttribution
from cry_model.sound import audio
from cry_model.sound.front_end_config import FEATURES
from cry_model.sound.frontend import resample


class TorchBackend:
    """Run a classifier's front end and system in torch, on one device; tensors throughout."""

    resample = staticmethod(resample)

    def __init__(self, model: nn.Module, config: CheckpointConfig, device: str = "cpu"):
        self.device = torch.device(device)
        self.model = model.eval().to(self.device)
        self.front_end = make_front_end(config.front_end).eval().to(self.device)

    def load(self, source: Any, sample_rate: int | None) -> audio.Recording:
        found = audio.load(source, sample_rate)
        return audio.Recording(found.waveform.to(self.device), found.sample_rate)

    @torch.inference_mode()
    def forward(self, waveforms: Tensor) -> tuple[NDArray[np.float32], AttentionMaps, Tensor]:
        """Return probabilities (pieces, classes) of pieces (pieces, samples), attention maps, and
        feature means over frames, (pieces, bands, 1)."""
        features = self.front_end(waveforms)
        logits, maps = self.model(features, return_attention=True)
        means = features.mean(-1, keepdim=True)
        return logits.float().softmax(-1).cpu().numpy(), maps, means

    def attribute(
        self, features: Sequence[Tensor], label: int, ood_score: float | None
    ) -> FeatureAttribution | None:
        """Return the feature attribution of a model on acoustic features; None for other models."""
        if not isinstance(self.model, FeatureMLP):
            return None
        joined = torch.cat([*features])
        contributions = self.model.contributions(joined, label).mean(0).tolist()
        return FeatureAttribution(
            dict(zip(FEATURES, joined.mean((0, 2)).tolist(), strict=True)),
            dict(zip(INPUTS, contributions, strict=True)),
            ood_score,
        )
