"""A metric under thousands of weightings of the groups at once.

:mod:`cry_model.metrics` computes one weighting after the other, which takes minutes for all the
comparisons of a page. Here the rows are counted once, group by group, and each weighting is a
matrix product. The values are the same; the tests hold them against that module.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
from numpy.typing import NDArray

from cry_model.metrics import Array, Labels

Values = Callable[[Array], Array]
"""Weights (draws, groups) -> the metric of each draw, (draws,); NaN where it is undefined."""


def weighted(
    metric: str, labels: Labels, probabilities: Array, member: NDArray[np.int64], groups: int
) -> Values:
    """Prepares a metric of :data:`COMPARED` for many weightings.

    Args:
        metric: its name.
        labels: (n,) class indices.
        probabilities: (n, classes).
        member: (n,) the number of each row's group.
        groups: how many there are.
    """
    if metric == "macro_auc":
        return partial(_macro_auc, *_pairs(labels, probabilities, member, groups))
    return partial(_from_confusion, metric, _confusion(labels, probabilities, member, groups))


def _confusion(
    labels: Labels, probabilities: Array, member: NDArray[np.int64], groups: int
) -> Array:
    """Rows of each group by label and answer, (groups, classes, classes)."""
    counts = np.zeros((groups, probabilities.shape[1], probabilities.shape[1]))
    np.add.at(counts, (member, labels, probabilities.argmax(1)), 1)
    return counts


def _from_confusion(metric: str, confusion: Array, weights: Array) -> Array:
    return _OF_CONFUSION[metric](np.tensordot(weights, confusion, 1))


def _accuracy(counts: Array) -> Array:
    return np.trace(counts, axis1=1, axis2=2) / counts.sum((1, 2))


def _balanced_accuracy(counts: Array) -> Array:
    return _mean_of_defined(np.diagonal(counts, axis1=1, axis2=2), counts.sum(2))


def _macro_f1(counts: Array) -> Array:
    twice = 2 * np.diagonal(counts, axis1=1, axis2=2)
    return _mean_of_defined(twice, counts.sum(1) + counts.sum(2))


_OF_CONFUSION: Mapping[str, Values] = {
    "accuracy": _accuracy,
    "balanced_accuracy": _balanced_accuracy,
    "macro_f1": _macro_f1,
}
COMPARED = (*_OF_CONFUSION, "macro_auc")
"""The metrics that :func:`weighted` knows, by their names in :data:`cry_model.metrics.METRICS`."""


def _pairs(
    labels: Labels, probabilities: Array, member: NDArray[np.int64], groups: int
) -> tuple[Array, Array]:
    """What the areas under the curves are sums of.

    Returns:
        For each class, how many pairs of a row of it in one group (first axis) and a row of
        another class in another (second axis) are in the right order, ties counting half,
        (classes, groups, groups); and the rows of each class in each group, (classes, groups).
    """
    classes = probabilities.shape[1]
    order = np.argsort(member, kind="stable")
    labels, probabilities, member = labels[order], probabilities[order], member[order]
    counts = np.zeros((classes, groups))
    np.add.at(counts, (labels, member), 1)
    right = np.zeros((classes, groups, groups))
    for c in range(classes):
        own, other = labels == c, labels != c
        if own.any() and other.any():
            ours, theirs = probabilities[own, c][:, None], probabilities[other, c]
            rows, starts = np.unique(member[own], return_index=True)
            columns, other_starts = np.unique(member[other], return_index=True)
            wins = (ours > theirs) + 0.5 * (ours == theirs)
            wins = np.add.reduceat(np.add.reduceat(wins, starts, 0), other_starts, 1)
            right[c][np.ix_(rows, columns)] = wins
    return right, counts


def _macro_auc(right: Array, counts: Array, weights: Array) -> Array:
    won = np.stack([((weights @ wins) * weights).sum(1) for wins in right], axis=1)
    own = weights @ counts.T
    return _mean_of_defined(won, own * (own.sum(1, keepdims=True) - own))


def _mean_of_defined(parts: Array, totals: Array) -> Array:
    """Mean over the classes of parts / totals, leaving out those without a total."""
    defined = totals > 0
    shares = np.divide(parts, totals, out=np.zeros(parts.shape), where=defined)
    number = defined.sum(1)
    return np.divide(shares.sum(1), number, out=np.full(len(number), np.nan), where=number > 0)
