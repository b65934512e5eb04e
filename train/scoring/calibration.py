"""Calibrate temperature and prediction sets on held-out predictions, and evaluate both."""

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
from cry_model.results import probabilities_of, recording_means
from train.data.corpus import DataError
from train.scoring.results import TeacherPredictions

PROMISED = 0.8
"""Target coverage: share of a new group's recordings whose prediction set has the true label."""
EVERYTHING = 1.0  # threshold above every score, so that all labels are in the set


def fit_threshold(
    probabilities: Array, targets: Array, groups: Sequence[str] | NDArray[np.str_], coverage: float
) -> float:
    """Return the conformal threshold on 1 - p that gives a new group the target coverage.

    The nonconformity score of a recording is ``1 - p`` of its label (LAC; Sadinle, Lei and
    Wasserman 2019). The K groups share a total weight of ``K / (K + 1)`` equally, and so do the
    recordings of a group. The remaining ``1 / (K + 1)`` is placed at infinity, for the new group.
    The threshold is the ``coverage`` quantile of this distribution, or :data:`EVERYTHING` if there
    are too few groups. Rows of targets (n, classes) sum to 1 and weight the labels' scores.
    """
    count = len(set(groups))
    weights = group_weights(groups) * count / (count + 1)
    scores, shares = (1 - probabilities).ravel(), (weights[:, None] * targets).ravel()
    order = scores.argsort()
    reached = shares[order].cumsum() >= coverage - 1e-12  # tolerance for rounding
    return float(scores[order][reached.argmax()]) if reached.any() else EVERYTHING


def calibrate(
    table: pd.DataFrame,
    labels: Sequence[str],
    promised: float = PROMISED,
    teacher_predictions: TeacherPredictions | None = None,
    teacher_temperature: float = 1.0,
    **facts: object,
) -> Calibration:
    """Fit temperature and threshold on all predictions; evaluate by cross-conformal prediction.

    In the evaluation, each fold gets the values fitted on groups (over all seeds) that have no
    recording in it. ``table`` has held-out predictions per piece. Teacher predictions, after the
    teacher's own temperature, replace labels. Raise DataError if the pieces of one recording are in
    several folds.
    """
    rows = held_out(table, labels)
    probabilities, targets, groups = arrays(rows, labels)
    if teacher_predictions is not None:
        told = np.stack([teacher_predictions[name] for name in rows["recording"]])
        targets = apply_temperature(told, teacher_temperature)
    temperature, threshold = settle(probabilities, targets, groups, promised)
    tested = rows.groupby(["seed", "fold"]).indices.values()
    scaled, sets = crossed(probabilities, targets, groups, tested, promised)
    frequencies = group_weights(groups) @ targets
    order = np.argsort(-frequencies, kind="stable")
    enough = frequencies[order].cumsum() >= promised - 1e-12
    always = order[: int(enough.argmax()) + 1]  # the fewest classes that reach the coverage
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


def arrays(rows: pd.DataFrame, labels: Sequence[str]) -> tuple[Array, Array, NDArray[np.str_]]:
    """Return probabilities and one-hot labels, (n, classes) each, and groups (n,) of the rows."""
    one_hot = (rows["label"].to_numpy()[:, None] == np.asarray(labels)).astype(np.float64)
    return probabilities_of(rows, labels), one_hot, rows["group"].to_numpy(dtype=str)


def held_out(table: pd.DataFrame, labels: Sequence[str]) -> pd.DataFrame:
    """Return one row per recording and seed, with its fold; raise DataError if it has several."""
    rows = recording_means(table, labels, by=("seed", "fold"))
    if rows.duplicated(["seed", "recording"]).any():
        raise DataError(
            "Pieces of one recording are in several folds, so each was tested by fits that saw the "
            "others; calibrate on results of a protocol other than clip."
        )
    return rows.sort_values(["seed", "recording"], ignore_index=True)


def settle(
    probabilities: Array, targets: Array, groups: NDArray[np.str_], promised: float
) -> tuple[float, float]:
    """Return the temperature, and the threshold for probabilities scaled by it."""
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
    """Calibrate each fold (rows) on other groups; return probabilities and sets, (n, classes)."""
    scaled, sets = np.empty_like(probabilities), np.empty(probabilities.shape, dtype=bool)
    for tested, others in apart(groups, folds):
        own = settle(probabilities[others], targets[others], groups[others], promised)
        scaled[tested] = apply_temperature(probabilities[tested], own[0])
        sets[tested] = included(scaled[tested], own[1])
    return scaled, sets


def shares(
    sets: NDArray[np.bool_], targets: Array, groups: NDArray[np.str_]
) -> dict[str, Estimate | float]:
    """Return coverage and size statistics of the sets (n, classes); groups have equal weight."""
    size = sets.sum(1)
    return {
        "coverage": mean_of_groups((sets * targets).sum(1), groups),
        "size": mean_of_groups(size.astype(np.float64), groups),
        "empty": _share(size == 0, groups),
        "single": _share(size == 1, groups),
        "full": _share(size == sets.shape[1], groups),
    }


def mean_of_groups(values: Array, groups: NDArray[np.str_]) -> Estimate:
    """Return the mean of the group means, with its confidence interval."""
    means = pd.Series(values).groupby(groups).mean()
    return mean(means.to_numpy(), list(means.index))


def error(probabilities: Array, targets: Array, groups: NDArray[np.str_]) -> Estimate:
    """Return the group-weighted expected calibration error, with its confidence interval."""
    guess, weights = probabilities.argmax(1), group_weights(groups)
    right = np.take_along_axis(targets, guess[:, None], 1)[:, 0]
    return bootstrap_sums(calibration_sums(probabilities.max(1), right, weights), groups.tolist())


def _share(values: Array | NDArray[np.bool_], groups: NDArray[np.str_]) -> float:
    """Return the mean with equal group weights, clipped to 1 against rounding."""
    return min(1.0, float(group_weights(groups) @ values))
