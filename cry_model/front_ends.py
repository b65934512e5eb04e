"""Every front end that a checkpoint may ask for, by its configuration."""

from __future__ import annotations

from cry_model.acoustic_front_end import AcousticConfig, AcousticFrontEnd
from cry_model.features import FrontEnd, FrontEndConfig
from cry_model.registry import ON_FEATURES

AnyConfig = FrontEndConfig | AcousticConfig
AnyFrontEnd = FrontEnd | AcousticFrontEnd


def config_class(kind: str | None) -> type[FrontEndConfig] | type[AcousticConfig]:
    """The class of the configuration with this ``kind``.

    That class refuses a kind that does not exist.
    """
    return AcousticConfig if kind == "acoustic" else FrontEndConfig


def usual_config(system: str) -> AnyConfig:
    """What a system of the registry listens to unless its checkpoint says otherwise."""
    return AcousticConfig() if system == ON_FEATURES else FrontEndConfig()


def make_front_end(config: AnyConfig) -> AnyFrontEnd:
    """The front end, on the CPU, that the configuration describes."""
    if isinstance(config, AcousticConfig):
        return AcousticFrontEnd(config)
    return FrontEnd(config)
