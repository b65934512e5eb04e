"""``--set NAME=VALUE``: a line on top of a preset."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

from cry_model.registry import AnyConfig
from train.corpus import DataError
from train.presets import Augmentation, Preset

FIXED = ("name", "front_end", "augmentation")


def apply_overrides(preset: Preset, assignments: Sequence[str]) -> tuple[Preset, Mapping[str, Any]]:
    """The preset with some fields changed, and what is left for the system's class.

    Args:
        preset: the base.
        assignments: "NAME=VALUE", where NAME is a field of the preset, of its front end or of its
            augmentation, or else a setting of the system, and VALUE is a Python literal or a word.

    Raises:
        DataError: if one has no "=", or the value does not suit the field.
    """
    own = {f.name for f in fields(Preset)} - set(FIXED)
    augmentation = {f.name for f in fields(Augmentation)}
    heard = {f.name for f in fields(preset.front_end)}
    changes: dict[str, Any] = {}
    augmenting: dict[str, Any] = {}
    hearing: dict[str, Any] = {}
    settings: dict[str, Any] = {}
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        if not equals:
            raise DataError(f"--set takes NAME=VALUE, not '{assignment}'.")
        homes = ((own, changes), (augmentation, augmenting), (heard, hearing))
        target = next((values for names, values in homes if name in names), settings)
        target[name] = literal(text)
    if hearing:
        changes["front_end"] = hears(preset.front_end, hearing)
    if augmenting:
        changes["augmentation"] = replace(preset.augmentation or Augmentation(), **augmenting)
    return replace(preset, **changes), settings


def hears(config: AnyConfig, changes: Mapping[str, Any]) -> AnyConfig:
    """The configuration with some fields changed.

    Raises:
        DataError: if no front end can be built of it.
    """
    try:
        return replace(config, **changes)
    except ValueError as error:
        raise DataError(f"No front end can be built so: {error}.") from error


def literal(text: str) -> Any:
    """A number, a tuple, True, None, or else the text itself."""
    try:
        return ast.literal_eval(text)
    except (SyntaxError, ValueError, TypeError, MemoryError, RecursionError):
        return text
