"""Ranges of every number that a fit can be given: what lies outside is a slip of the keyboard.

They keep a slip from ending in a trace or in full memory, and judge no choice inside of them.
"""

from __future__ import annotations

import inspect
import math
import reprlib
from collections.abc import Mapping
from typing import Any

from cry_model.registry import get_system
from train.corpus import DataError

Range = tuple[float, float]

PRESET: Mapping[str, Range] = {
    "epochs": (1, 100_000),
    "draws": (0, 10_000_000),
    "batch": (2, 100_000),
    "learning_rate": (0, 10),
    "weight_decay": (0, 10),
    "label_smoothing": (0, 0.99),
    "balance": (0, 2),
    "tries": (1, 100),
    "average": (0, 0.99999),
    "validation": (0, 0.5),
    "patience": (0, 100_000),
}
AUGMENTATION: Mapping[str, Range] = {
    "gain_db": (0, 100),
    "tilt_db": (0, 100),
    "time_mask": (0, 10_000),
    "band_mask": (0, 10_000),
    "mixup": (0, 100),
    "equaliser_db": (0, 100),
    "speed": (0, 0.5),
    "damage": (0, 1),
}
FRONT_END: Mapping[str, Range] = {
    "num_bands": (1, 512),
    "num_filters": (1, 512),
    "deltas": (0, 2),
    "sample_rate": (1000, 96_000),
    "low_hz": (1, 48_000),
    "high_hz": (1, 48_000),
    "window": (16, 16_384),
    "hop": (16, 16_384),
    "fft": (16, 16_384),
    "floor_db": (-200, 0),
    "centre": (-1000, 1000),
    "trim_db": (1, 300),
    "trim_margin": (0, 10),
    "piece_seconds": (0.1, 60),
    "min_seconds": (0.1, 60),
    "overlap": (0, 0.95),
}
SYSTEM: Mapping[str, Range] = {
    "channels": (4, 4096),
    "mfa_channels": (1, 16_384),
    "bottleneck": (1, 4096),
    "embedding": (1, 16_384),
    "scale": (1, 64),
    "stages": (1, 16),
    "heads": (1, 64),
    "token_bias": (-100, 100),
    "members": (2, 100),
    "hidden": (1, 4096),
    "dropout": (0, 0.95),
}


def require(holds: bool, sentence: str) -> None:
    """Raise a DataError with this sentence, unless something holds."""
    if not holds:
        raise DataError(sentence)


def within(value: object, limits: Range, whole: bool = False) -> bool:
    """Whether it is a number, a whole one if that is wanted, in the range, ends and all."""
    kinds = int if whole else (int, float)
    number = isinstance(value, kinds) and not isinstance(value, bool)
    return number and limits[0] <= value <= limits[1]


def require_number(name: str, value: object, limits: Range, whole: bool) -> None:
    """Refuse what is no number between the limits.

    Raises:
        DataError: if it is none.
    """
    what = "a whole number" if whole else "a number"
    span = f"from {limits[0]:,} to {limits[1]:,}"
    given = reprlib.repr(value)
    require(within(value, limits, whole), f"{name} is {what} {span}, not {given}.")


def require_settings(system: str, settings: Mapping[str, Any]) -> None:
    """Refuse settings that a system cannot be built with, as far as one alone tells.

    Args:
        system: of the registry.
        settings: name -> value.

    Raises:
        DataError: if the system has no such setting, or it is no value for it.
    """
    known = inspect.signature(get_system(system).factory).parameters
    for name, value in settings.items():
        try:
            usual = known[name].default if name in known else inspect.Parameter.empty
            own = usual is not inspect.Parameter.empty and name != "num_bands"
            require(own, f"it has no setting {name}.")
            if isinstance(usual, bool):
                require(isinstance(value, bool), f"{name} is True or False.")
            elif isinstance(usual, int | float):
                limits = SYSTEM.get(name, (-math.inf, math.inf))
                require_number(name, value, limits, isinstance(usual, int))
        except DataError as error:
            given = f"{name}={value!s:.60}"
            raise DataError(f"{system} cannot be built with {given}: {error}") from None
