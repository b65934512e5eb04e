"""Declare training presets as data, so that a variant is a preset plus one line."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field, fields, replace
from typing import Annotated, Any, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from cry_model.declared import STRICT, plain, require
from cry_model.networks.improved_ecapa_tdnn import ImprovedECAPATDNN
from cry_model.networks.registry import ON_FEATURES, get_system
from cry_model.sound.front_end_config import (
    PAPER_FRONT_END,
    AcousticConfig,
    AnyConfig,
    FrontEndConfig,
)
from train.data.augmentation import Augmentation
from train.data.corpus import DataError


@plain
@dataclass(frozen=True, config=STRICT)
class Preset:
    """The front end, hyperparameters and augmentation of a fit."""

    name: str
    front_end: AnyConfig = field(default_factory=FrontEndConfig)
    epochs: Annotated[int, Field(ge=1, le=100_000)] = 30
    samples_per_epoch: Annotated[int, Field(ge=0, le=10_000_000)] = 0  # 0: one per recording
    batch: Annotated[int, Field(ge=2, le=100_000)] = 32  # pieces per step
    learning_rate: Annotated[float, Field(ge=0, le=10)] = 1e-3  # of AdamW
    weight_decay: Annotated[float, Field(ge=0, le=10)] = 0.05  # 0: Adam
    schedule: Literal["one-cycle", "constant"] = "one-cycle"  # Smith and Topin 2018
    label_smoothing: Annotated[float, Field(ge=0, le=0.99)] = 0.05  # spread over all classes
    class_balance: Annotated[float, Field(ge=0, le=2)] = 1.0  # 0: as in the data, 1: balanced
    ema_decay: Annotated[float, Field(ge=0, le=0.99999)] = 0.99  # of the weights; 0: no average
    validation: Annotated[float, Field(ge=0, le=0.5)] = 0.0  # share of the training data
    patience: Annotated[int, Field(ge=0, le=100_000)] = 0  # epochs; 0: no early stopping
    augmentation: Augmentation | None = field(default_factory=Augmentation)

    def __post_init__(self):
        require(
            not 0 < self.validation < 0.01,
            f"validation must be 0, or a share of at least 0.01, not {self.validation}",
        )
        require(
            not self.patience or self.validation > 0,
            "patience needs validation data: set validation to 0.2, say",
        )


BEST = Preset(
    "best", front_end=FrontEndConfig(centre=1.0), batch=16, augmentation=Augmentation(mixup=0.0)
)
"""Chosen on inner folds; docs/experiments.md lists the alternatives and their results."""

PAPER = Preset(
    "paper", front_end=PAPER_FRONT_END, epochs=700, batch=64, learning_rate=2e-5, weight_decay=0.0,
    schedule="constant", label_smoothing=0.0, class_balance=0.0, ema_decay=0.0, augmentation=None,
)  # fmt: skip
"""The paper prints a learning rate of 2^{-5}. As a power of two this is 0.03, too high for Adam to
train such a network; most likely 2e-5 was typeset wrongly. (The authors' published code has 1.9e-4,
which is neither.)"""

WIDE_FRONT_END = FrontEndConfig(
    sample_rate=16_000, low_hz=30.0, high_hz=7_800.0, window=640, hop=320, fft=1024,
    floor_db=-70.0, centre=2.5, trim_db=60.0,
)  # fmt: skip
"""For recordings made at 16 kHz or more: covers the frequency band of feature-mlp."""

WIDE_PCEN = replace(WIDE_FRONT_END, kind="pcen", centre=0.3)
"""The same with per-channel energy normalisation. For the improved system it is nine points better
than log-mel within the training part of ESC-10's first fold. On Donate-a-Cry, which uses "best",
it is no better."""

WIDE = replace(
    BEST,
    name="wide",
    epochs=60,  # see docs/experiments.md, seventh round
    front_end=WIDE_PCEN,
    # A third of the pieces get noise below the floor, so that training covers clean recordings.
    augmentation=replace(BEST.augmentation, noise_db=(-95.0, -30.0)),
)
"""The variant of BEST for corpora whose recordings share one sample rate of 16 kHz or more."""

DETECTOR_FRONT_END = FrontEndConfig(
    num_bands=40, num_filters=40, window=512, hop=256, level="piece", trim_db=60.0,
    piece_seconds=2.048, min_seconds=1.024, overlap=0.875,
)  # fmt: skip
"""Windows of one and two seconds, one every quarter second, each normalised to one level on its
own. Resolution is lower than in the other front ends, because the detector must be cheap."""

DISTIL = Preset(
    "distil", front_end=WIDE_FRONT_END, epochs=20, batch=16, learning_rate=2e-3, weight_decay=0.02,
    label_smoothing=0.0, class_balance=0.0,
    # The teacher gets the same augmented waveforms; masks and mixup would affect the student alone.
    # The noise lies below the floor in a third of the pieces.
    augmentation=Augmentation(
        gain_db=0.0, noise_db=(-95.0, -30.0), tilt_db=0.0, time_mask=0, band_mask=0, mixup=0.0,
        equaliser_db=3.0, speed=0.05,
    ),
)  # fmt: skip
"""For distilling a teacher on acoustic features (Beyer et al. 2022: patient and consistent)."""

FEATURES = Preset(
    "features", front_end=AcousticConfig(), epochs=150, batch=128, learning_rate=3e-3,
    weight_decay=1e-2, class_balance=0.0, ema_decay=0.0,
    augmentation=Augmentation(
        gain_db=0.0, noise_db=None, tilt_db=0.0, time_mask=0, band_mask=0, mixup=0.4
    ),
)  # fmt: skip
"""For feature-mlp. Chosen on splits of the challenge's table that no reported result uses (seeds
from 100 on), among about ten settings whose accuracies lay within three points."""

DETECTOR = Preset(
    "detector", front_end=DETECTOR_FRONT_END, epochs=150, samples_per_epoch=9600, batch=64,
    learning_rate=3e-3, label_smoothing=0.02, ema_decay=0.998,
    augmentation=Augmentation(
        gain_db=0.0, noise_db=(-50.0, -10.0), equaliser_db=4.0, time_mask=6, band_mask=4,
        mixup=0.0, damage=0.1,
    ),
)  # fmt: skip
"""For the detector, which must handle sounds from any source."""

DETECTOR_SETTINGS: Mapping[str, Any] = {"width": 14, "blocks": 1, "stem_pool": False}
"""ResNet settings that make it small enough for a detector."""

BEST_SETTINGS: Mapping[str, Any] = {"block_residual": False, "token_bias": 1.0, "deviations": True}
"""Settings of the improved system and its ablations under "best" and "wide". A block residual next
to the cross-layer sum would count the stem twice in each layer. Averages over time alone carry too
little information, so deviations are added."""

PRESETS: Mapping[str, Preset] = {p.name: p for p in (BEST, WIDE, PAPER, DISTIL, FEATURES, DETECTOR)}
"""Name -> preset."""


ONE_WIDE_RATE = ("esc10", "donateacry_ios", "synthetic6", "challenge6_cuts")
"""Corpora for which "wide" is the default preset."""


def usual_settings(preset: Preset, system: str) -> Mapping[str, Any]:
    """Return the default settings of a system under a preset."""
    improved = get_system(system).factory is ImprovedECAPATDNN
    return BEST_SETTINGS if improved and preset.name in (BEST.name, WIDE.name) else {}


def usual_preset(system: str, dataset: str) -> Preset:
    """Return the default preset for a system on a corpus."""
    if system == ON_FEATURES:
        return FEATURES
    return WIDE if dataset in ONE_WIDE_RATE else BEST


def names_for(preset: Preset) -> set[str]:
    """Return the names of the fields that :func:`apply_overrides` can change in a preset."""
    own = {f.name for f in fields(Preset)} - {"name", "front_end", "augmentation"}
    parts = Augmentation, preset.front_end
    return own.union(*({f.name for f in fields(part)} for part in parts))


def apply_overrides(preset: Preset, assignments: Sequence[str]) -> tuple[Preset, Mapping[str, Any]]:
    """Apply "NAME=VALUE" assignments; return the new preset and the remaining system settings.

    NAME is a field of the preset, its augmentation or its front end, or else a setting of the
    system. VALUE is a Python literal or a word. Raise DataError if an assignment has no "=", or if
    its value is invalid for the field.
    """
    left: dict[str, Any] = {}
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        if not equals:
            raise DataError(f"--set takes NAME=VALUE, not '{assignment}'.")
        left[name] = literal(text)

    def take(names: Iterable[str]) -> dict[str, Any]:
        return {name: left.pop(name) for name in set(names) & set(left)}

    how = preset.augmentation or Augmentation()
    try:
        if changes := take(vars(how)):
            preset = replace(preset, augmentation=replace(how, **changes))
        front_end = replace(preset.front_end, **take(vars(preset.front_end)))
        return replace(preset, front_end=front_end, **take(names_for(preset))), left
    except ValueError as error:
        raise DataError(f"{error}.") from error


def literal(text: str) -> Any:
    """Parse a Python literal, such as a number, tuple, True or None; else return the text."""
    try:
        return ast.literal_eval(text)
    except (SyntaxError, ValueError, TypeError, MemoryError, RecursionError):
        return text
