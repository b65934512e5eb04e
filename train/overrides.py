"""``--set NAME=VALUE``: a line on top of a preset."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

from train.corpus import DataError
from train.presets import Augmentation, Preset

FIXED = ("name", "front_end", "augmentation")


def apply_overrides(preset: Preset, assignments: Sequence[str]) -> tuple[Preset, Mapping[str, Any]]:
    """The preset with some fields changed, and what is left for the system's class.

    Args:
        preset: the base.
        assignments: "NAME=VALUE", where NAME is a field of the preset or of its augmentation, or
            else a setting of the system, and VALUE is a Python literal or a word.

    Raises:
        DataError: if one has no "=", or the value does not suit the field.
    """
    own = {f.name for f in fields(Preset)} - set(FIXED)
    augmentation = {f.name for f in fields(Augmentation)}
    changes: dict[str, Any] = {}
    augmenting: dict[str, Any] = {}
    settings: dict[str, Any] = {}
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        if not equals:
            raise DataError(f"--set takes NAME=VALUE, not '{assignment}'.")
        target = changes if name in own else augmenting if name in augmentation else settings
        target[name] = literal(text)
    if augmenting:
        changes["augmentation"] = replace(preset.augmentation or Augmentation(), **augmenting)
    return replace(preset, **changes), settings


def literal(text: str) -> Any:
    """A number, a tuple, True, None, or else the text itself."""
    try:
        return ast.literal_eval(text)
    except (SyntaxError, ValueError):
        return text
