"""The temperature of held-out probabilities, every group weighing alike, fitted across folds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from cry_model.calibration import FLOOR, Array

RANGE = (0.05, 20.0)  # of a temperature


def group_weights(groups: Sequence[str] | NDArray[np.str_]) -> Array:
    """Of n recordings: one over the size of its group and the number of groups; they sum to 1."""
    _, member, sizes = np.unique(np.asarray(groups), return_inverse=True, return_counts=True)
    return 1 / (sizes[member] * len(sizes))


def fit_temperature(probabilities: Array, targets: Array, weights: Array) -> float:
    """The temperature under which the labels are likeliest (Guo et al. 2017).

    Args:
        probabilities: (n, classes) of recordings.
        targets: (n, classes), rows that sum to 1: where the label is, or how probable each is.
        weights: (n,).

    Returns:
        1 if there is nothing to fit it on.
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
    for tested in folds:
        others = ~np.isin(groups, groups[tested])
        if others.any():
            yield tested, others
            continue
        half = np.isin(groups, np.unique(groups[tested])[::2])
        yield tested[half[tested]], ~half
        yield tested[~half[tested]], half


def crossed_temperatures(
    probabilities: Array,
    targets: Array,
    groups: NDArray[np.str_],
    folds: Iterable[NDArray[np.int64]],
) -> Array:
    """The temperature of each row, fitted on the groups that have no recording in its fold.

    Args:
        probabilities: as for :func:`fit_temperature`.
        targets: the same.
        groups: of the recordings, (n,).
        folds: the rows of each; every row is in one.

    Returns:
        (n,).
    """
    found = np.empty(len(probabilities))
    for tested, others in apart(groups, folds):
        rows = probabilities[others], targets[others]
        found[tested] = fit_temperature(*rows, group_weights(groups[others]))
    return found
