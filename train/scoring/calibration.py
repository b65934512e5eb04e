"""Calibrate on held-out predictions: temperature and prediction sets, measured on other groups."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cry_model.calibration import (
    Array,
    apart,
    apply_temperature,
    fit_temperature,
    group_weights,
    included,
)
from cry_model.metrics import bootstrap_sums, calibration_sums, mean
from cry_model.records import LABELS, TEACHER, Calibration, Estimate
from cry_model.results import probability_columns, recording_means
from train.data.corpus import DataError
from train.scoring.results import TeacherPredictions

PROMISED = 0.8
"""Share of a new group's recordings whose set is made to hold the right label."""
EVERYTHING = 1.0  # no score is above it, so every label is in the set


def fit_threshold(
    probabilities: Array, targets: Array, groups: Sequence[str] | NDArray[np.str_], coverage: float
) -> float:
    """Return the threshold of 1 - p under which a new group's sets hold what is promised.

    The score of a recording is ``1 - p`` of its label (LAC; Sadinle, Lei and Wasserman 2019). K
    groups share the weight ``K / (K + 1)`` alike, and within one its recordings do; what is left
    lies at infinity, in the place of the group that is to come. Of that distribution it is the
    quantile ``coverage``; :data:`EVERYTHING` if there are too few groups to promise that much. Rows
    of targets (n, classes) sum to 1; a score counts by the probability of its label.
    """
    count = len(set(groups))
    weights = group_weights(groups) * count / (count + 1)
    scores, shares = (1 - probabilities).ravel(), (weights[:, None] * targets).ravel()
    order = scores.argsort()
    reached = shares[order].cumsum() >= coverage - 1e-12  # sums are not exact
    return float(scores[order][reached.argmax()]) if reached.any() else EVERYTHING


def calibrate(
    table: pd.DataFrame,
    labels: Sequence[str],
    promised: float = PROMISED,
    teacher_predictions: TeacherPredictions | None = None,
    teacher_temperature: float = 1.0,
    **facts: object,
) -> Calibration:
    """Temperature and threshold from all predictions; their worth by cross-conformal prediction.

    For that, each fold is given those of the groups that have no recording in it (of every seed).
    The table has predictions per piece, each by a fit that had not heard the recording. A
    teacher's, after its own temperature, stand in the place of labels. Raise DataError if the
    pieces of one recording are in several folds.
    """
    rows = held_out(table, labels)
    groups = rows["group"].to_numpy(dtype=str)
    probabilities = rows[probability_columns(labels)].to_numpy(dtype=np.float64)
    if teacher_predictions is None:
        targets = one_hot(rows, labels)
    else:
        told = np.stack([teacher_predictions[name] for name in rows["recording"]])
        targets = apply_temperature(told, teacher_temperature)
    temperature, threshold = settle(probabilities, targets, groups, promised)
    tested = rows.groupby(["seed", "fold"]).indices.values()
    scaled, sets = crossed(probabilities, targets, groups, tested, promised)
    frequencies = group_weights(groups) @ targets
    always = constant_set(frequencies, promised)
    return Calibration(
        against=LABELS if teacher_predictions is None else TEACHER,
        teacher_temperature=None if teacher_predictions is None else teacher_temperature,
        recordings=rows["recording"].nunique(),
        groups=len(set(groups)),
        seeds=tuple(int(seed) for seed in sorted(rows["seed"].unique())),
        temperature=temperature,
        promised=promised,
        threshold=threshold,
        **shares(sets, targets, groups),
        error_before=error(probabilities, targets, groups),
        error_after=error(scaled, targets, groups),
        constant_set=tuple(labels[i] for i in always),
        constant_coverage=min(1.0, float(frequencies[always].sum())),
        by_label={
            label: _share(kept * target / share, groups)
            for label, kept, target, share in zip(
                labels, sets.T, targets.T, frequencies, strict=True
            )
            if share
        },
        **facts,
    )


def one_hot(rows: pd.DataFrame, labels: Sequence[str]) -> Array:
    """Return the label of each row as probabilities, (n, classes)."""
    return (rows["label"].to_numpy()[:, None] == np.asarray(labels)).astype(np.float64)


def held_out(table: pd.DataFrame, labels: Sequence[str]) -> pd.DataFrame:
    """Return one row for each recording and seed, with its fold."""
    folds = table.groupby(["recording", "seed"])["fold"]
    if (folds.nunique() > 1).any():
        raise DataError(
            "Pieces of one recording are in several folds, so each was tested by fits that know "
            "the others; calibrate on the results of another protocol than clip."
        )
    fold = folds.first().rename("fold").reset_index()
    return recording_means(table, labels).merge(fold, on=["recording", "seed"])


def settle(
    probabilities: Array, targets: Array, groups: NDArray[np.str_], promised: float
) -> tuple[float, float]:
    """Temperature, and the threshold for what it makes of the probabilities."""
    temperature = fit_temperature(probabilities, targets, group_weights(groups))
    scaled = apply_temperature(probabilities, temperature)
    return temperature, fit_threshold(scaled, targets, groups, promised)


def crossed(
    probabilities: Array,
    targets: Array,
    groups: NDArray[np.str_],
    folds: Iterable[NDArray[np.int64]],
    promised: float,
) -> tuple[Array, NDArray[np.bool_]]:
    """Return scaled (n, classes) and sets: what groups outside a fold (row numbers) give it."""
    scaled, sets = np.empty_like(probabilities), np.empty(probabilities.shape, dtype=bool)
    for tested, others in apart(groups, folds):
        own = settle(probabilities[others], targets[others], groups[others], promised)
        scaled[tested] = apply_temperature(probabilities[tested], own[0])
        sets[tested] = included(scaled[tested], own[1])
    return scaled, sets


def shares(
    sets: NDArray[np.bool_], targets: Array, groups: NDArray[np.str_]
) -> dict[str, Estimate | float]:
    """Return what the sets (n, classes) hold and how large they are; groups count alike."""
    size = sets.sum(1)
    return {
        "coverage": mean_of_groups((sets * targets).sum(1), groups),
        "size": mean_of_groups(size.astype(np.float64), groups),
        "empty": _share(size == 0, groups),
        "single": _share(size == 1, groups),
        "full": _share(size == sets.shape[1], groups),
    }


def mean_of_groups(values: Array, groups: NDArray[np.str_]) -> Estimate:
    """Return the mean over groups of the means within them, with its interval."""
    means = pd.Series(values).groupby(groups).mean()
    return mean(means.to_numpy(), list(means.index))


def error(probabilities: Array, targets: Array, groups: NDArray[np.str_]) -> Estimate:
    """Return the expected calibration error, groups counting alike, with its interval."""
    guess, weights = probabilities.argmax(1), group_weights(groups)
    right = np.take_along_axis(targets, guess[:, None], 1)[:, 0]
    return bootstrap_sums(calibration_sums(probabilities.max(1), right, weights), groups.tolist())


def constant_set(frequencies: Array, promised: float) -> NDArray[np.int64]:
    """Return the fewest classes whose frequencies (classes,) sum to what is promised."""
    order = np.argsort(-frequencies, kind="stable")
    reached = frequencies[order].cumsum() >= promised - 1e-12
    return order[: int(reached.argmax()) + 1]


def _share(values: Array | NDArray[np.bool_], groups: NDArray[np.str_]) -> float:
    """Return a mean in which groups count alike, of values that give no more than 1."""
    return min(1.0, float(group_weights(groups) @ values))
