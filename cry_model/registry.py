"""Names -> systems. An ablation is its base system with one switch turned."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from cry_model.acoustic_features import FEATURES
from cry_model.ecapa_tdnn import ECAPATDNN
from cry_model.feature_mlp import FeatureMLP
from cry_model.improved_ecapa_tdnn import ImprovedECAPATDNN
from cry_model.resnet import ResNet18

PAPER_CLASSES = 6
PAPER_BANDS = 13


class UnknownSystemError(ValueError):
    """The name is not in :func:`list_models`."""


@dataclass(frozen=True)
class System:
    """One row of the registry: what to build, how the page names it, rows of its features."""

    name: str
    title: str
    factory: Callable[..., nn.Module]
    settings: Mapping[str, Any] = field(default_factory=dict)
    num_bands: int = PAPER_BANDS


SYSTEMS: Mapping[str, System] = {
    system.name: system
    for system in (
        System("improved-ecapa-tdnn", "Improved ECAPA-TDNN", ImprovedECAPATDNN),
        System(
            "improved-ecapa-tdnn-no-mca",
            "Improved ECAPA-TDNN w/o MCA",
            ImprovedECAPATDNN,
            {"multi_scale": False},
        ),
        System(
            "improved-ecapa-tdnn-no-rse",
            "Improved ECAPA-TDNN w/o RSE",
            ImprovedECAPATDNN,
            {"rse": False},
        ),
        System(
            "improved-ecapa-tdnn-no-diff-attention",
            "Improved ECAPA-TDNN w/o differential attention",
            ImprovedECAPATDNN,
            {"differential_attention": False},
        ),
        System("ecapa-tdnn", "ECAPA-TDNN", ECAPATDNN),
        System("resnet18", "ResNet18", ResNet18),
        System("feature-mlp", "Feature MLP", FeatureMLP, num_bands=len(FEATURES)),
    )
}


ON_FEATURES = "feature-mlp"
"""The one system that hears acoustic features of a whole recording."""
ON_SPECTROGRAMS: tuple[str, ...] = tuple(name for name in SYSTEMS if name != ON_FEATURES)
"""All others: they hear frames, and learn from crops of them."""


def list_models() -> list[str]:
    """The names that :func:`build_model` knows."""
    return list(SYSTEMS)


def get_system(name: str) -> System:
    """The registry's row for ``name``.

    Raises:
        UnknownSystemError: if there is none.
    """
    try:
        return SYSTEMS[name]
    except KeyError:
        known = ", ".join(SYSTEMS)
        raise UnknownSystemError(f"There is no system '{name}'; there are: {known}.") from None


def build_model(
    name: str, num_classes: int = PAPER_CLASSES, num_bands: int | None = None, **overrides: Any
) -> nn.Module:
    """A freshly initialised system.

    Args:
        name: one of :func:`list_models`.
        num_classes: number of logits.
        num_bands: rows of the features; None for the paper's 13 MFCC, or what the system takes.
        **overrides: settings of the system's class, such as ``channels=64``.

    Returns:
        A module: features (batch, bands, frames) -> logits (batch, classes), and with
        ``return_attention=True`` also the :class:`~cry_model.attention.AttentionMaps`.

    Raises:
        UnknownSystemError: if ``name`` is not in :func:`list_models`.
        TypeError: if the system has no such setting.
        ValueError: if the system cannot be built with these.
    """
    system = get_system(name)
    bands = system.num_bands if num_bands is None else num_bands
    return system.factory(num_classes, bands, **{**system.settings, **overrides})
