"""Define the measurements of a checkpoint that ``train`` computes and stores in its config.

Kept apart from :mod:`cry_model.metrics`: reading a checkpoint computes no metrics.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Literal

import numpy as np
from pydantic import AfterValidator, FailFast, Field

from cry_model.calibration import apply_temperature, included
from cry_model.declared import ROUNDING, Count, Name, Names, Seeds, Share, require, strict, words

Measured = Annotated[float, Field(ge=-1000, le=1000)]


@strict
@dataclass(frozen=True)
class Estimate:
    """A measured value with its 95 % bootstrap interval."""

    value: Measured
    low: Measured
    high: Measured

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


def _of_shares(estimate: Estimate) -> Estimate:
    least, most = min(estimate.value, estimate.low), max(estimate.value, estimate.high)
    inside = least >= -ROUNDING and most <= 1 + ROUNDING and estimate.low <= estimate.high
    require(inside, "not a share with an interval")
    return estimate


EstimatedShare = Annotated[Estimate, AfterValidator(_of_shares)]
Positive = Annotated[int, Field(ge=1, le=10**12)]


@strict
@dataclass(frozen=True)
class Evaluation:
    """Metrics of a system under one protocol; those of a checkpoint are per recording."""

    dataset: Name
    protocol: Name
    recordings: Positive
    groups: Positive  # number of babies (or sources) that the recordings come from
    folds: Positive  # number of held-out folds that are pooled; 1 for the corpus's own test split
    seeds: Seeds
    chance: Share  # of the balanced accuracy: one over the number of classes that occur
    majority_label: Name  # the most frequent one
    majority_accuracy: Share
    metrics: Mapping[Name, Estimate] = field(default_factory=dict)
    """By name, of :data:`cry_model.metrics.METRICS`."""
    recall: Mapping[Name, Share] = field(default_factory=dict)  # by label, of those that occur
    support: Mapping[Name, Count] = field(default_factory=dict)  # number of recordings, by label

    def __post_init__(self):
        require("balanced_accuracy" in self.metrics, "an evaluation needs its balanced_accuracy")
        same = set(self.recall) == set(self.support)
        require(same, "an evaluation's recall and support must have the same labels")

    @property
    def split(self) -> str:
        """The test data in words: the number of folds, or the corpus's own test split."""
        return "its own test part" if self.folds == 1 else f"{self.folds} folds"

    @property
    def better_than_chance(self) -> bool:
        """Whether the interval of the balanced accuracy lies above chance."""
        return self.metrics["balanced_accuracy"].low > self.chance


GROUPS = {
    "donateacry": "baby",
    "donateacry_ios": "baby",
    "esc10": "source",
    "challenge6": "recording",
    "challenge6_cuts": "recording",
    "cries": "baby",
    "synthetic6": "synthetic baby",
}
"""Dataset -> what defines its groups, as far as its metadata tells."""


def group_name(dataset: str) -> str:
    """Return what defines a group of a dataset; the ``baby`` protocol never splits one."""
    return GROUPS.get(dataset, "group of recordings")


PLURALS = {
    "baby": "babies",
    "synthetic baby": "synthetic babies",
    "group of recordings": "groups of recordings",
}


def tested(dataset: str, protocol: str) -> str:
    """Describe the recordings that a model was tested on, such as "unseen babies"."""
    if protocol == "clip":
        return "other segments of recordings heard in training"
    if dataset.startswith("challenge6"):  # no baby ids; several recordings of the same baby
        return "unseen recordings (their babies may have been heard)"
    group = group_name(dataset) if protocol == "baby" else "recording"
    return f"unseen {PLURALS.get(group, f'{group}s')}"


UNMEASURED = "This checkpoint was never measured on held-out recordings."
"""Shown in place of a missing evaluation."""

DATASETS = {
    "challenge6_cuts": "220 cuts of the paper's corpus",
    "challenge6": "the six-class challenge corpus",
    "donateacry": "Donate-a-Cry",
    "donateacry_ios": "Donate-a-Cry (iOS uploads)",
    "esc10": "ESC-10",
    "synthetic6": "synthetic cries",
    "challenge6-features": "published six-class features",
    "challenge6-features-16khz": "published six-class features, 16 kHz only",
    "cries": "real cries without a label (Donate-a-Cry from iOS, ESC-10)",
}
"""Dataset -> its title, in the order in which results are shown: the paper's own corpus first."""


def dataset_order(name: str) -> tuple[int, str]:
    """Return a sort key: known datasets in the order of :data:`DATASETS`, then others by name."""
    return (list(DATASETS).index(name) if name in DATASETS else len(DATASETS), name)


def dataset_title(name: str) -> str:
    """Return the title of a dataset, or its name if it has none."""
    return DATASETS.get(name, name)


def either(labels: Sequence[str]) -> str:
    """Join labels with "or": ("hungry", "tired", "belly_pain") -> "hungry, tired or belly pain"."""
    *others, last = map(words, labels)
    return f"{', '.join(others)} or {last}" if others else last


def counted(number: int, noun: str) -> str:
    """Format a number of things: "1 recording", "220 recordings"."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def percent(share: float) -> str:
    """Format a share as a percentage: 0.236 -> "24%"."""
    return f"{100 * share:.0f}%"


def fine_percent(share: float) -> str:
    """Format a share as a percentage, below 10% with one decimal: 0.013 -> "1.3%"."""
    return f"{100 * share:.{_places(share)}f}%"


def _places(share: float) -> int:
    return 1 if 0 < share < 0.1 else 0


def percent_interval(estimate: Estimate) -> str:
    """Format a share with its interval: "24% (95% interval 20% to 27%)", below 10% more finely."""
    places = _places(estimate.value)
    numbers = (estimate.value, estimate.low, estimate.high)
    return "{} (95% interval {} to {})".format(*(f"{100 * n:.{places}f}%" for n in numbers))


@strict
@dataclass(frozen=True)
class Complexity:
    """Number of parameters, and of multiply-adds for one input."""

    parameters: Count
    multiply_adds: Count


@strict
@dataclass(frozen=True)
class PrunedVariant:
    """A system with a share of its channels pruned, evaluated in one numeric precision."""

    ratio: Share  # of channels to prune, rounded to whole steps; 0 for the full model
    precision: Literal["float32", "int8"]
    channels: Count  # left
    parameters: Count
    multiply_adds: Annotated[int, Field(ge=1, le=10**15)]  # for 5 s of sound
    bytes: Count  # size of the exported graph's file, the largest over all folds
    epochs: Count  # of fine-tuning; 0 for the full model
    scores: Mapping[Name, Estimate]
    difference: Mapping[Name, Estimate]  # paired, to the full float32 model


@strict
@dataclass(frozen=True)
class PruningEffect:
    """Effect of pruning and int8 on the answers of saved folds: ``pruning.json`` of a run."""

    seeds: Seeds
    folds: Positive  # over all seeds
    recordings: Positive
    groups: Positive
    variants: Annotated[tuple[PrunedVariant, ...], FailFast()]
    """The full model in float32, the same in int8, then both for each ratio."""

    def __post_init__(self):
        kinds = [(one.ratio, one.precision) for one in self.variants[:1]]
        require(kinds == [(0, "float32")], "the full model in float32 must come first")


@strict
@dataclass(frozen=True)
class Agreement:
    """Agreement of a student with its teacher, on babies that the student was not fitted on."""

    teacher: Name  # of its checkpoint
    dataset: Name
    recordings: Positive
    groups: Positive
    folds: Positive
    seeds: Seeds
    agreement: EstimatedShare  # share of recordings with the same most probable label
    constant_label: Name  # the teacher's most frequent one
    constant: EstimatedShare  # agreement of always predicting it
    gain: Estimate  # agreement - constant
    divergence: Estimate  # KL(teacher || student), nats, mean over recordings
    constant_divergence: Estimate  # that of always predicting the teacher's mean probabilities
    teacher_evaluation: Evaluation | None = None  # None if never measured


@strict
@dataclass(frozen=True)
class DetectorRecord:
    """Thresholds of a detector, and its accept rates on sources that it was not fitted on.

    Shares are of sounds that reach the threshold.
    """

    threshold: Share  # least probability of a cry
    accepted: EstimatedShare  # of held-out cries
    false_accepts: EstimatedShare  # of other held-out sounds
    area: EstimatedShare  # ROC AUC of these cries against these sounds
    unheard: Mapping[Name, Share] = field(default_factory=dict)
    """Kind of sound -> its accept rate by a detector fitted without that kind."""
    maybe: Share = 1.0  # least probability of a possible cry
    kinds: Mapping[Name, Share] = field(default_factory=dict)  # by kind of sound
    conditions: Mapping[Name, Share] = field(default_factory=dict)  # of cries, by distortion
    tagger: Share | None = None
    """``false_accepts`` of YAMNet, at the threshold where it accepts as many cries."""
    alarms_per_hour: Measured | None = None  # false ones, as 5 s stretches of other sound with one
    delay: Measured | None = None  # median seconds from the onset of a cry to its detection


LABELS, TEACHER = "labels", "teacher"
Temperature = Annotated[float, Field(ge=0.01, le=100)]


@strict
@dataclass(frozen=True)
class Calibration:
    """One temperature and one conformal threshold, fitted on all held-out recordings.

    The measurements are cross-fitted: each fold gets a temperature and threshold from the groups
    (babies or sources) without a recording in it. All groups have equal weight.
    """

    dataset: Name
    protocol: Name
    against: Literal["labels", "teacher"]
    """``teacher`` for unlabelled data: labels drawn from the teacher's probabilities, each weighted
    by its probability."""
    teacher_temperature: Temperature | None  # applied to the teacher's probabilities before
    recordings: Positive
    groups: Positive
    folds: Positive
    seeds: Seeds
    temperature: Temperature  # divides the log-probabilities
    promised: Share  # target coverage: of recordings of a new group, by sets with the right label
    threshold: Share  # largest nonconformity score 1 - p of a label in the set
    coverage: EstimatedShare  # as measured
    size: Estimate  # mean number of labels in a set
    empty: Share  # of sets with none, one, all of the labels
    single: Share
    full: Share
    error_before: EstimatedShare  # expected calibration error without and with the temperature
    error_after: EstimatedShare
    constant_set: Names  # the smallest with target coverage
    constant_coverage: Share
    by_label: Mapping[Name, Share] = field(default_factory=dict)  # coverage of its recordings

    def apply_temperature(self, probabilities: Mapping[str, float]) -> dict[str, float]:
        """Return label -> calibrated probability, in the same order."""
        scaled = apply_temperature(np.array(list(probabilities.values())), self.temperature)
        return dict(zip(probabilities, scaled.tolist(), strict=True))

    def prediction_set(self, probabilities: Mapping[str, float]) -> tuple[str, ...]:
        """Return the prediction set for calibrated probabilities, the most probable label first."""
        kept = included(np.array(list(probabilities.values())), self.threshold)
        names = [name for name, inside in zip(probabilities, kept, strict=True) if inside]
        return tuple(sorted(names, key=lambda name: -probabilities[name]))

    @property
    def condition(self) -> str:
        """The assumption behind the measurements, as the end of a clause; empty against labels."""
        return "" if self.against == LABELS else ", if its teacher's probabilities are right"
