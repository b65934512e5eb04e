"""``--set NAME=VALUE``: a line on top of a preset."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

import torch

from cry_model.audio import Recording
from cry_model.features import FrontEndConfig
from cry_model.front_ends import AnyConfig, make_front_end
from train.corpus import DataError
from train.limits import FRONT_END, require, require_number
from train.presets import Augmentation, Preset

NONE = "No front end can be built so:"
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
    for name, value in changes.items():
        if name in FRONT_END:
            whole = isinstance(getattr(config, name), int)
            try:
                require_number(name, value, FRONT_END[name], whole)
            except DataError as error:
                raise DataError(f"{NONE} {error}") from None
        else:
            require(isinstance(value, str), f"{NONE} {name} is a word.")
    try:
        changed = replace(config, **changes)
        if isinstance(changed, FrontEndConfig):
            require_one_band(changed)
        rate = changed.sample_rate
        noise = torch.rand(rate, generator=torch.Generator().manual_seed(0)) - 0.5
        made = make_front_end(changed)
        pieces = made.cut(made.prepare(Recording(noise, rate))).waveforms
        features = made(pieces[:1, : int(changed.min_seconds * rate)])
    except DataError:
        raise
    except (ArithmeticError, LookupError, TypeError, ValueError, RuntimeError) as error:
        raise DataError(f"{NONE} {error}") from error
    require(bool(features.isfinite().all()), f"{NONE} noise of a second gives no numbers.")
    return changed


def require_one_band(c: FrontEndConfig) -> None:
    """Refuse numbers that do not go with each other.

    Raises:
        DataError: if they do not.
    """
    for holds, sentence in (
        (c.level in ("recording", "piece"), f"level is recording or piece, not {c.level:.60}."),
        (c.low_hz < c.high_hz <= c.sample_rate / 2, "low_hz < high_hz <= sample_rate / 2."),
        (c.window <= c.fft, "the window is no longer than the fft."),
        (c.window <= 16 * c.hop, "the window is no longer than 16 hops."),
        (c.hop <= c.window, "the hop is no longer than the window."),
        (c.min_seconds <= c.piece_seconds, "min_seconds is at most piece_seconds."),
        (c.min_seconds * c.sample_rate >= c.window, "min_seconds is at least one window."),
    ):
        require(holds, f"{NONE} {sentence}")


def literal(text: str) -> Any:
    """A number, a tuple, True, None, or else the text itself."""
    try:
        return ast.literal_eval(text)
    except (SyntaxError, ValueError, TypeError, MemoryError, RecursionError):
        return text
