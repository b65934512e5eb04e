"""Ranges of every number of a preset: what lies outside is a slip of the keyboard.

They keep a slip from ending in a trace or in full memory, and judge no choice inside of them. Those
of front ends and systems are declared beside their fields (:mod:`cry_model.declared`).
"""

from __future__ import annotations

import reprlib
from collections.abc import Mapping
from dataclasses import fields

from train.data.corpus import DataError

Range = tuple[float, float]

PRESET: Mapping[str, Range] = {
    "epochs": (1, 100_000),
    "draws": (0, 10_000_000),
    "batch": (2, 100_000),
    "learning_rate": (0, 10),
    "weight_decay": (0, 10),
    "label_smoothing": (0, 0.99),
    "balance": (0, 2),
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


def require_numbers(record: object, ranges: Mapping[str, Range]) -> None:
    """Hold the numbers of a dataclass against their ranges.

    Raises:
        DataError: if one lies outside, or is none.
    """
    kinds = {f.name: f.type for f in fields(record)}
    for name, limits in ranges.items():
        require_number(name, getattr(record, name), limits, kinds[name] == "int")


def require_levels(name: str, levels: object) -> None:
    """Refuse what is no pair of decibels.

    Raises:
        DataError: if it is none.
    """
    pair = isinstance(levels, tuple) and len(levels) == 2
    holds = pair and all(within(db, (-200, 100)) for db in levels)
    require(holds, f"{name} is two levels from -200 to 100, (-45,-20) say, not {levels!r:.60}.")
