"""A metric under thousands of weightings of the groups at once.

:mod:`cry_model.metrics` computes one weighting after the other, which takes minutes for all the
comparisons of a page. Here the rows are counted once, group by group, and each weighting is a
matrix product. The values are the same; the tests hold them against that module.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cry_model.metrics import BINS, Array, Labels, bin_of

Values = Callable[[Array], Array]
"""Weights (draws, groups) -> the metric of each draw, (draws,); NaN where it is undefined."""
Counted = tuple[Callable[[Array, Array], Array], Array, Array]
"""How a metric follows from two sums over rows, and what is added to them."""


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
        return partial(_macro_auc, *pairs_of(labels, probabilities, member, groups))
    combine, parts, totals = counted(metric, labels, probabilities, member, groups)
    return lambda weights: combine(weights @ parts, weights @ totals)


def counted(
    metric: str, labels: Labels, probabilities: Array, member: NDArray[np.int64], groups: int
) -> Counted:
    """What a metric other than the area under the curves follows from.

    Everything is given as to :func:`weighted`.

    Returns:
        How it follows from two sums over rows, (draws, columns) each, and what each group adds to
        them, (groups, columns) each.
    """
    combine, parts, totals = _COUNTED[metric](labels, probabilities)
    return combine, by_group(parts, member, groups), by_group(totals, member, groups)


def by_group(columns: Array, member: NDArray[np.int64], groups: int) -> Array:
    """The sum of the rows of each group, (n, columns) -> (groups, columns)."""
    sums = np.zeros((groups, columns.shape[1]))
    np.add.at(sums, member, columns)
    return sums


def _accuracy(labels: Labels, probabilities: Array) -> Counted:
    right = (probabilities.argmax(1) == labels)[:, None]
    return _mean_of_defined, right.astype(np.float64), np.ones(right.shape)


def recalls(labels: Labels, probabilities: Array) -> tuple[Array, Array]:
    """What recall is a share of, parts and totals of each row and class: (n, classes) each."""
    truth, guess = one_hot(labels, probabilities)
    return truth * guess, truth


def f1s(labels: Labels, probabilities: Array) -> tuple[Array, Array]:
    """The same of F1."""
    truth, guess = one_hot(labels, probabilities)
    return 2 * truth * guess, truth + guess


def one_hot(labels: Labels, probabilities: Array) -> tuple[Array, Array]:
    """Labels and answers, (n, classes) each."""
    every = np.eye(probabilities.shape[1])
    return every[labels], every[probabilities.argmax(1)]


def _calibration_error(labels: Labels, probabilities: Array) -> Counted:
    confidence, right = probabilities.max(1), probabilities.argmax(1) == labels
    bins = np.eye(BINS)[bin_of(confidence, BINS)]
    return _gaps, bins * (right - confidence)[:, None], np.ones((len(labels), 1))


def _gaps(parts: Array, totals: Array) -> Array:
    """The absolute sums of the bins over the number of rows."""
    size = totals[:, 0]
    return np.divide(np.abs(parts).sum(1), size, out=np.full(len(size), np.nan), where=size > 0)


_COUNTED: Mapping[str, Callable[[Labels, Array], Counted]] = {
    "accuracy": _accuracy,
    "balanced_accuracy": lambda *rows: (_mean_of_defined, *recalls(*rows)),
    "macro_f1": lambda *rows: (_mean_of_defined, *f1s(*rows)),
    "expected_calibration_error": _calibration_error,
}
COMPARED = (*_COUNTED, "macro_auc")
"""The metrics that :func:`weighted` knows: those of :data:`cry_model.metrics.METRICS`."""


class Wins(NamedTuple):
    """Of one class, how many pairs with another class are in the right order, ties counting half.

    Attributes:
        rows: the groups that have the class.
        columns: the groups that have another one.
        counts: of a row of the class in one group and of another class in another, (rows, columns);
            halves, which single precision holds without rounding, at twice the speed.
    """

    rows: NDArray[np.int64]
    columns: NDArray[np.int64]
    counts: NDArray[np.float32]


def pairs_of(
    labels: Labels, probabilities: Array, member: NDArray[np.int64], groups: int
) -> tuple[tuple[Wins, ...], Array]:
    """What the areas under the curves are sums of.

    Returns:
        The pairs of each class, and the rows of each class in each group, (groups, classes).
    """
    order = np.argsort(member, kind="stable")
    labels, probabilities, member = labels[order], probabilities[order], member[order]
    counts = by_group(np.eye(probabilities.shape[1])[labels], member, groups)
    found = []
    for c, scores in enumerate(probabilities.T):
        own = labels == c
        rows, starts = np.unique(member[own], return_index=True)
        columns, other_starts = np.unique(member[~own], return_index=True)
        wins = np.zeros((len(rows), len(columns)))
        if wins.size:
            ours, theirs = scores[own][:, None], scores[~own]
            # Twice as many as there are, in bytes: there may be millions of pairs.
            twice = (ours > theirs).view(np.int8) + (ours >= theirs).view(np.int8)
            wins = np.add.reduceat(twice, other_starts, 1, dtype=np.int32)
            wins = np.add.reduceat(wins, starts, 0) / 2
        found.append(Wins(rows, columns, wins.astype(np.float32)))
    return tuple(found), counts


def _macro_auc(pairs: Sequence[Wins], counts: Array, weights: Array) -> Array:
    return _mean_of_defined(*pairs_won(pairs, counts, weights))


def pairs_won(pairs: Sequence[Wins], counts: Array, weights: Array) -> tuple[Array, Array]:
    """How many pairs of each class are in the right order, of how many, (draws, classes) each.

    Args:
        pairs: of :func:`pairs_of`.
        counts: the same.
        weights: (draws, groups).
    """
    # Few groups have a given class, so that this is one product of all groups, not one for each.
    often = weights.astype(np.float32)
    won = [
        ((often[:, columns] @ wins.T) * often[:, rows]).sum(1, dtype=np.float64)
        for rows, columns, wins in pairs
    ]
    own = weights @ counts
    return np.stack(won, 1), own * (own.sum(1, keepdims=True) - own)


def shares(parts: Array, totals: Array) -> Array:
    """Parts / totals; NaN where there is no total."""
    return np.divide(parts, totals, out=np.full(parts.shape, np.nan), where=totals > 0)


def _mean_of_defined(parts: Array, totals: Array) -> Array:
    """Mean over the classes of parts / totals, leaving out those without a total."""
    defined = totals > 0
    each = np.divide(parts, totals, out=np.zeros(parts.shape), where=defined)
    number = defined.sum(1)
    return np.divide(each.sum(1), number, out=np.full(len(number), np.nan), where=number > 0)
