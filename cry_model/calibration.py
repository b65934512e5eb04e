"""Probabilities as sure as they are right, and the set of reasons that an answer names.

Measured by ``train`` on held-out recordings, stored in each config, applied by
:class:`~cry_model.classifier.CryClassifier`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray

from cry_model.declared import Count, Name, Names, Seed, Share, Within
from cry_model.records import Estimate

Array = NDArray[np.float64]

LABELS, TEACHER = "labels", "teacher"
Temperature = Annotated[float, Within(0.01, 100)]
FLOOR = 1e-6  # of a probability: result files keep six decimals


def apply_temperature(probabilities: Array, temperature: float | Array) -> Array:
    """Divides their logarithms (..., classes) by the temperature (Guo et al. 2017).

    Temperatures of the rows are of shape (..., 1).
    """
    logits = np.log(np.maximum(probabilities, FLOOR)) / temperature
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def included(probabilities: Array, threshold: float) -> NDArray[np.bool_]:
    """Which labels are in the set (Sadinle et al. 2019): those with 1 - p up to ``threshold``."""
    return 1 - probabilities <= threshold


@dataclass(frozen=True)
class Calibration:
    """One temperature and one threshold, from all held-out recordings.

    What was measured comes from recordings of folds that had no part in theirs; each group (baby
    or source) counts alike in it.

    Attributes:
        against: ``labels``; or ``teacher``, where nothing has a label: labels drawn from the
            probabilities that its teacher gives, each counting by its probability.
        teacher_temperature: of the teacher's own probabilities before that; None against labels.
        temperature: divides the logarithm of the probabilities.
        promised: share of recordings of a new group whose set holds the right label.
        threshold: the largest ``1 - p`` of a label in the set.
        coverage: the share that was promised, as it was measured.
        size: mean number of labels in a set.
        empty, single, full: shares of sets with none, one, all of the labels.
        error_before, error_after: expected calibration error without and with the temperature.
        constant_set, constant_coverage: the fewest labels that would, always named, hold what was
            promised, and the share that they hold.
        by_label: label -> share of its recordings whose set holds it.
    """

    dataset: Name
    protocol: Name
    against: Literal["labels", "teacher"]
    teacher_temperature: Temperature | None
    recordings: Count
    groups: Count
    folds: Count
    seeds: tuple[Seed, ...]
    temperature: Temperature
    promised: Share
    threshold: Share
    coverage: Estimate
    size: Estimate
    empty: Share
    single: Share
    full: Share
    error_before: Estimate
    error_after: Estimate
    constant_set: Names
    constant_coverage: Share
    by_label: Mapping[Name, Share] = field(default_factory=dict)

    def apply_temperature(self, probabilities: Mapping[str, float]) -> dict[str, float]:
        """Label -> probability, calibrated; the order of the labels stays."""
        scaled = apply_temperature(np.array(list(probabilities.values())), self.temperature)
        return dict(zip(probabilities, scaled.tolist(), strict=True))

    def prediction_set(self, probabilities: Mapping[str, float]) -> tuple[str, ...]:
        """Return the labels that calibrated probabilities leave, the most probable first."""
        kept = included(np.array(list(probabilities.values())), self.threshold)
        names = [name for name, inside in zip(probabilities, kept, strict=True) if inside]
        return tuple(sorted(names, key=lambda name: -probabilities[name]))

    @property
    def condition(self) -> str:
        """Name what the numbers rest on besides the recordings, as the end of a clause."""
        return "" if self.against == LABELS else ", if its teacher's probabilities are right"


def one_of(names: Sequence[str]) -> str:
    """("hungry", "tired", "burping") -> "hungry, tired or burping"."""
    *others, last = names
    return f"{', '.join(others)} or {last}" if others else last


RANGE = (0.05, 20.0)  # of a temperature


def group_weights(groups: Sequence[str] | NDArray[np.str_]) -> Array:
    """Of n recordings: one over the size of its group and the number of groups; they sum to 1."""
    _, member, sizes = np.unique(np.asarray(groups), return_inverse=True, return_counts=True)
    return 1 / (sizes[member] * len(sizes))


def fit_temperature(probabilities: Array, targets: Array, weights: Array) -> float:
    """Return the temperature under which the labels are likeliest (Guo et al. 2017); 1 of none.

    Args:
        probabilities: (n, classes) of recordings.
        targets: (n, classes), rows that sum to 1: where the label is, or how probable each is.
        weights: (n,).
    """
    from scipy.optimize import minimize_scalar

    if not len(weights):
        return 1.0
    weighted, floor = np.ascontiguousarray((weights[:, None] * targets).T), np.log(FLOOR)
    logits = np.ascontiguousarray(np.log(np.maximum(probabilities, FLOOR)).T)
    logits -= logits.max(0)

    def loss(logarithm: float) -> float:
        scaled = logits / np.exp(logarithm)
        scaled -= np.log(np.exp(scaled).sum(0))
        return -float(np.vdot(weighted, np.maximum(scaled, floor)))

    return float(np.exp(minimize_scalar(loss, bounds=np.log(RANGE), method="bounded").x))


def apart(
    groups: NDArray[np.str_], folds: Iterable[NDArray[np.int64]]
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.bool_]]]:
    """Each fold (row numbers), and which rows are of groups that have no recording in it.

    A fold that has every group, as the only test part has, comes in two halves by groups.
    """
    for held_out in folds:
        others = ~np.isin(groups, groups[held_out])
        if others.any():
            yield held_out, others
            continue
        half = np.isin(groups, np.unique(groups[held_out])[::2])
        yield held_out[half[held_out]], ~half
        yield held_out[~half[held_out]], half


def crossed_temperatures(
    probabilities: Array,
    targets: Array,
    groups: NDArray[np.str_],
    folds: Iterable[NDArray[np.int64]],
) -> Array:
    """Return the temperature of each row, fitted on the groups that have no recording in its fold.

    Args as for :func:`fit_temperature`; ``groups`` (n,), and the rows of each of the ``folds``.
    """
    found = np.empty(len(probabilities))
    for held_out, others in apart(groups, folds):
        rows = probabilities[others], targets[others]
        found[held_out] = fit_temperature(*rows, group_weights(groups[others]))
    return found
