"""Registry of systems by name. An ablation is its base system with one setting switched off."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from cry_model.networks.ecapa_tdnn import ECAPATDNN
from cry_model.networks.feature_mlp import FeatureMLP
from cry_model.networks.improved_ecapa_tdnn import ImprovedECAPATDNN
from cry_model.networks.resnet import ResNet18
from cry_model.records import Complexity
from cry_model.sound.acoustic_features import AcousticFrontEnd
from cry_model.sound.front_end_config import FEATURES, AcousticConfig, AnyConfig, FrontEndConfig
from cry_model.sound.frontend import FrontEnd

PAPER_CLASSES = 6
PAPER_BANDS = 13


class UnknownSystemError(ValueError):
    """The name is not in :func:`list_models`."""


@dataclass(frozen=True)
class System:
    """One registry entry: what to build, its title on the page, and its number of feature rows."""

    name: str
    title: str
    factory: Callable[..., nn.Module]
    settings: Mapping[str, Any] = field(default_factory=dict)
    num_bands: int = PAPER_BANDS


def _without(name: str, title: str, setting: str) -> System:
    title = f"Improved ECAPA-TDNN without {title}"
    return System(f"improved-ecapa-tdnn-no-{name}", title, ImprovedECAPATDNN, {setting: False})


HYBRID = "hybrid-ecapa-tdnn"
"""The improved system with attention over bands and time, which is not in the paper."""
SYSTEMS: Mapping[str, System] = {
    system.name: system
    for system in (
        System("improved-ecapa-tdnn", "Improved ECAPA-TDNN", ImprovedECAPATDNN),
        _without("mca", "MCA", "multi_scale"),
        _without("rse", "RSE", "rse"),
        _without("diff-attention", "differential attention", "differential_attention"),
        System(HYBRID, "Hybrid ECAPA-TDNN", ImprovedECAPATDNN, {"spatial_spectral": True}),
        System("ecapa-tdnn", "ECAPA-TDNN", ECAPATDNN),
        System("resnet18", "ResNet18", ResNet18),
        System("feature-mlp", "Feature MLP", FeatureMLP, num_bands=len(FEATURES)),
    )
}


ON_FEATURES = "feature-mlp"
"""The only system whose input is acoustic features of a whole recording."""
ON_SPECTROGRAMS: tuple[str, ...] = tuple(name for name in SYSTEMS if name != ON_FEATURES)
"""All others: their input is a sequence of frames, and they are trained on crops of it."""


def list_models() -> list[str]:
    """Return the names that :func:`build_model` knows."""
    return list(SYSTEMS)


def get_system(name: str) -> System:
    """Return the registry entry of ``name``, or raise :class:`UnknownSystemError`."""
    try:
        return SYSTEMS[name]
    except KeyError:
        known = ", ".join(SYSTEMS)
        raise UnknownSystemError(f"There is no system '{name}'; use one of {known}.") from None


def build_model(
    name: str, num_classes: int = PAPER_CLASSES, num_bands: int | None = None, **overrides: Any
) -> nn.Module:
    """Return a freshly initialised system: features (batch, bands, frames) -> logits (batch,
    classes), and with ``return_attention=True`` also the attention maps.

    Raise UnknownSystemError for an unknown name, TypeError for an unknown setting, ValueError for
    an invalid one.

    Args:
        name: one of :func:`list_models`.
        num_classes: number of logits.
        num_bands: rows of the input features; None for the system's default (13 MFCC, or 26).
        **overrides: settings of the system's class, such as ``channels=64``.
    """
    system = get_system(name)
    bands = system.num_bands if num_bands is None else num_bands
    return system.factory(num_classes, bands, **{**system.settings, **overrides})


AnyFrontEnd = FrontEnd | AcousticFrontEnd


def usual_config(system: str) -> AnyConfig:
    """Return the default front-end configuration of a system, for lack of a checkpoint's own."""
    return AcousticConfig() if system == ON_FEATURES else FrontEndConfig()


def make_front_end(config: AnyConfig) -> AnyFrontEnd:
    """Build the front end that the configuration describes, on the CPU."""
    if isinstance(config, AcousticConfig):
        return AcousticFrontEnd(config)
    return FrontEnd(config)


FRAMES = 250  # 5 s at the paper's hop of 20 ms
MEBI = 2**20  # unit of the paper's "Param (MB)": ResNet18's 11.18 M parameters are printed as 10.66


def measure(model: nn.Module, num_bands: int = PAPER_BANDS) -> Complexity:
    """Count the parameters of ``model`` and its multiply-adds for (1, num_bands, FRAMES).

    torch's counter covers convolutions and matrix products, at two operations per multiply-add.
    """
    from torch.utils.flop_counter import FlopCounterMode  # slow to import: a second

    was_training = model.training
    features = torch.zeros(1, num_bands, FRAMES, device=next(model.parameters()).device)
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        model.eval()(features)
    model.train(was_training)
    return Complexity(sum(p.numel() for p in model.parameters()), counter.get_total_flops() // 2)
