"""Declare how to train, as data. A variant is a preset plus a line."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field, fields, replace
from typing import Annotated, Any, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from cry_model.declared import STRICT, plain, require
from cry_model.networks.improved_ecapa_tdnn import ImprovedECAPATDNN
from cry_model.networks.registry import ON_FEATURES, AnyConfig, get_system
from cry_model.sound.acoustic_features import AcousticConfig
from cry_model.sound.frontend import PAPER_FRONT_END, FrontEndConfig
from train.data.augmentation import Augmentation
from train.data.corpus import DataError


@plain
@dataclass(frozen=True, config=STRICT)
class Preset:
    """One way of fitting a system."""

    name: str
    front_end: AnyConfig = field(default_factory=FrontEndConfig)
    epochs: Annotated[int, Field(ge=1, le=100_000)] = 30
    samples_per_epoch: Annotated[int, Field(ge=0, le=10_000_000)] = 0  # 0: as many as recordings
    batch: Annotated[int, Field(ge=2, le=100_000)] = 32  # pieces in a step
    learning_rate: Annotated[float, Field(ge=0, le=10)] = 1e-3  # of AdamW
    weight_decay: Annotated[float, Field(ge=0, le=10)] = 0.05  # 0: Adam
    schedule: Literal["one-cycle", "constant"] = "one-cycle"  # Smith and Topin 2018
    label_smoothing: Annotated[float, Field(ge=0, le=0.99)] = 0.05  # share spread over all classes
    class_balance: Annotated[float, Field(ge=0, le=2)] = 1.0  # 0: as they come, 1: equally often
    ema_decay: Annotated[float, Field(ge=0, le=0.99999)] = 0.99  # of the weights; 0 keeps the last
    validation: Annotated[float, Field(ge=0, le=0.5)] = 0.0  # share of the training part, held back
    patience: Annotated[int, Field(ge=0, le=100_000)] = 0  # epochs without a lower loss; 0: all
    augmentation: Augmentation | None = field(default_factory=Augmentation)

    def __post_init__(self):
        require(
            not 0 < self.validation < 0.01,
            f"validation holds back a share of at least 0.01, or 0 for none: {self.validation}",
        )
        require(
            not self.patience or self.validation > 0,
            "patience needs something to watch: set validation to 0.2, say",
        )


BEST = Preset(
    "best", front_end=FrontEndConfig(centre=1.0), batch=16, augmentation=Augmentation(mixup=0.0)
)
"""Chosen on inner folds; what was tried, and what each gave, stands in docs/experiments.md."""

PAPER = Preset(
    "paper", front_end=PAPER_FRONT_END, epochs=700, batch=64, learning_rate=2e-5, weight_decay=0.0,
    schedule="constant", label_smoothing=0.0, class_balance=0.0, ema_decay=0.0, augmentation=None,
)  # fmt: skip
"""The paper prints a learning rate of 2^{-5}. Read as a power of two it is 0.03, at which Adam does
not train a network of this kind; 2e-5 is what the typesetting most likely lost. (The authors'
published code has 1.9e-4, which is neither.)"""

WIDE_FRONT_END = FrontEndConfig(
    sample_rate=16_000, low_hz=30.0, high_hz=7_800.0, window=640, hop=320, fft=1024,
    floor_db=-70.0, centre=2.5, trim_db=60.0,
)  # fmt: skip
"""For recordings made at 16 kHz or more: all that feature-mlp listens to."""

WIDE_PCEN = replace(WIDE_FRONT_END, kind="pcen", centre=0.3)
"""The same in per-channel energy normalisation: nine points better than log-mel for the improved
system within the training part of ESC-10's first fold; on Donate-a-Cry, for which "best" is used,
no better."""

WIDE = replace(
    BEST,
    name="wide",
    epochs=60,  # see docs/experiments.md, seventh round
    front_end=WIDE_PCEN,
    # Below the floor in a third of the pieces: the cleanest recordings must not be news.
    augmentation=replace(BEST.augmentation, noise_db=(-95.0, -30.0)),
)
"""The best preset for corpora whose recordings all have one sample rate, of 16 kHz or more."""

DETECTOR_FRONT_END = FrontEndConfig(
    num_bands=40, num_filters=40, window=512, hop=256, level="piece", trim_db=60.0,
    piece_seconds=2.048, min_seconds=1.024, overlap=0.875,
)  # fmt: skip
"""Windows of one and of two seconds, a new one every quarter second, each levelled on its own; half
as fine as the others, for the detector has to be cheap."""

DISTIL = Preset(
    "distil", front_end=WIDE_FRONT_END, epochs=20, batch=16, learning_rate=2e-3, weight_decay=0.02,
    label_smoothing=0.0, class_balance=0.0,
    # All that is done to the sound the teacher hears too; masks and mixup would be the student's
    # alone. The noise lies below the floor in a third of the pieces.
    augmentation=Augmentation(
        gain_db=0.0, noise_db=(-95.0, -30.0), tilt_db=0.0, time_mask=0, band_mask=0, mixup=0.0,
        equaliser_db=3.0, speed=0.05,
    ),
)  # fmt: skip
"""To learn from a teacher on acoustic features (Beyer et al. 2022: patient and consistent)."""

FEATURES = Preset(
    "features", front_end=AcousticConfig(), epochs=150, batch=128, learning_rate=3e-3,
    weight_decay=1e-2, class_balance=0.0, ema_decay=0.0,
    augmentation=Augmentation(
        gain_db=0.0, noise_db=None, tilt_db=0.0, time_mask=0, band_mask=0, mixup=0.4
    ),
)  # fmt: skip
"""For feature-mlp. Chosen on other divisions of the challenge's table than those that its results
are of (seeds from 100 on), among about ten ways to fit whose accuracies lay within three points."""

DETECTOR = Preset(
    "detector", front_end=DETECTOR_FRONT_END, epochs=150, samples_per_epoch=9600, batch=64,
    learning_rate=3e-3, label_smoothing=0.02, ema_decay=0.998,
    augmentation=Augmentation(
        gain_db=0.0, noise_db=(-50.0, -10.0), equaliser_db=4.0, time_mask=6, band_mask=4,
        mixup=0.0, damage=0.1,
    ),
)  # fmt: skip
"""For the detector, which meets sounds of any source."""

DETECTOR_SETTINGS: Mapping[str, Any] = {"width": 14, "blocks": 1, "stem_pool": False}
"""What makes a ResNet small enough for a detector."""

BEST_SETTINGS: Mapping[str, Any] = {"block_residual": False, "token_bias": 1.0, "deviations": True}
"""What the improved system and its ablations are built with where the preset is a best one: the
block's own residual beside the cross-layer sum would double the stem's part in each layer, and the
averages over time alone say too little."""

PRESETS: Mapping[str, Preset] = {p.name: p for p in (BEST, WIDE, PAPER, DISTIL, FEATURES, DETECTOR)}
"""By name."""


ONE_WIDE_RATE = ("esc10", "donateacry_ios", "synthetic6", "challenge6_cuts")
"""Corpora that "wide" suits."""


def usual_settings(preset: Preset, system: str) -> Mapping[str, Any]:
    """Return what a system is built with under a preset if nothing else is asked for."""
    improved = get_system(system).factory is ImprovedECAPATDNN
    return BEST_SETTINGS if improved and preset.name in (BEST.name, WIDE.name) else {}


def usual_preset(system: str, dataset: str) -> Preset:
    """Return what fits a system to a corpus if nothing else is asked for."""
    if system == ON_FEATURES:
        return FEATURES
    return WIDE if dataset in ONE_WIDE_RATE else BEST


def names_for(preset: Preset) -> set[str]:
    """Return what :func:`apply_overrides` can change in a preset."""
    own = {f.name for f in fields(Preset)} - {"name", "front_end", "augmentation"}
    parts = Augmentation, preset.front_end
    return own.union(*({f.name for f in fields(part)} for part in parts))


def apply_overrides(preset: Preset, assignments: Sequence[str]) -> tuple[Preset, Mapping[str, Any]]:
    """Return the preset with some fields changed, and what is left for the system's class.

    In "NAME=VALUE", NAME is a field of the preset, of its augmentation or of its front end, or else
    a setting of the system, and VALUE is a Python literal or a word. Raise DataError if one has no
    "=", or the value does not suit the field.
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
    """Read a number, a tuple, True, None, or else the text itself."""
    try:
        return ast.literal_eval(text)
    except (SyntaxError, ValueError, TypeError, MemoryError, RecursionError):
        return text
