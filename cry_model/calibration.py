"""Calibrate probabilities with a temperature, and select the labels of a prediction set."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

FLOOR = 1e-6  # of a probability: result files keep six decimals


def apply_temperature(probabilities: Array, temperature: float | Array) -> Array:
    """Divide log-probabilities (..., classes) by the temperature, and normalise (Guo et al. 2017).

    Temperatures of individual rows have shape (..., 1).
    """
    logits = np.log(np.maximum(probabilities, FLOOR)) / temperature
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def included(probabilities: Array, threshold: float) -> NDArray[np.bool_]:
    """Return which labels are in the set (Sadinle et al. 2019): 1 - p is up to ``threshold``."""
    return 1 - probabilities <= threshold


RANGE = (0.05, 20.0)  # of a temperature


def group_weights(groups: Sequence[str] | NDArray[np.str_]) -> Array:
    """Return weights of n recordings, equal in total for each group; they sum to 1."""
    _, member, sizes = np.unique(np.asarray(groups), return_inverse=True, return_counts=True)
    return 1 / (sizes[member] * len(sizes))


def fit_temperature(probabilities: Array, targets: Array, weights: Array) -> float:
    """Return the maximum-likelihood temperature (Guo et al. 2017); 1 without recordings.

    Probabilities and targets are (n, classes), weights (n,). Rows of targets sum to 1: one-hot
    labels, or label probabilities.
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
    """Yield the row numbers of each fold, and a mask of the rows whose groups have none in it.

    A fold with every group, such as a single test split, is yielded as two halves by groups.
    """
    for held_out in folds:
        others = ~np.isin(groups, groups[held_out])
        if others.any():
            yield held_out, others
            continue
        half = np.isin(groups, np.unique(groups[held_out])[::2])
        yield held_out[half[held_out]], ~half
        yield held_out[~half[held_out]], half
