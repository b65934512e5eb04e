"""A metric under thousands of weightings of the groups at once.

:mod:`cry_model.metrics` computes one weighting after the other, which takes minutes for all the
comparisons of a page. Here the rows are counted once, group by group, and each weighting is a
matrix product. The values are the same; the tests hold them against that module.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import NamedTuple

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
        return partial(_macro_auc, _pairs(labels, probabilities, member, groups))
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


class _Pairs(NamedTuple):
    """What the areas under the curves are sums of.

    A group is paired with all others, in a line for each class that it has rows of; or of the
    other classes, if fewer groups have those.

    Attributes:
        group: number of the group of each line, (lines,).
        of_class: 1 where the line is of the class, else 0, (lines, classes).
        right: how many pairs of a row of the class and a row of another, one of them in the group
            of the line and one in each group, are in the right order, ties counting half, (groups,
            lines).
        counts: rows of each class in each group, (groups, classes).
    """

    group: NDArray[np.int64]
    of_class: Array
    right: Array
    counts: Array


def _pairs(labels: Labels, probabilities: Array, member: NDArray[np.int64], groups: int) -> _Pairs:
    order = np.argsort(member, kind="stable")
    labels, probabilities, member = labels[order], probabilities[order], member[order]
    classes = probabilities.shape[1]
    lines = [_lines(labels == c, probabilities[:, c], member, groups) for c in range(classes)]
    of_class = np.repeat(np.eye(classes), [len(group) for group, _ in lines], axis=0)
    group, right = (np.concatenate(parts) for parts in zip(*lines, strict=True))
    counts = np.zeros((groups, classes))
    np.add.at(counts, (member, labels), 1)
    return _Pairs(group, of_class, np.ascontiguousarray(right.T), counts)


def _lines(
    own: NDArray[np.bool_], scores: Array, member: NDArray[np.int64], groups: int
) -> tuple[NDArray[np.int64], Array]:
    """Those of one class; the rows must stand in the order of their groups."""
    ours, theirs = scores[own][:, None], scores[~own]
    rows, starts = np.unique(member[own], return_index=True)
    columns, other_starts = np.unique(member[~own], return_index=True)
    twice = (ours > theirs).view(np.int8) + (ours >= theirs).view(np.int8)
    twice = np.add.reduceat(twice, other_starts, 1, dtype=np.int32)
    right = np.add.reduceat(twice, starts, 0) / 2
    if len(columns) < len(rows):
        rows, columns, right = columns, rows, right.T
    everywhere = np.zeros((len(rows), groups))
    everywhere[:, columns] = right
    return rows, everywhere


def _macro_auc(pairs: _Pairs, weights: Array) -> Array:
    won = (weights @ pairs.right * weights[:, pairs.group]) @ pairs.of_class
    own = weights @ pairs.counts
    return _mean_of_defined(won, own * (own.sum(1, keepdims=True) - own))


def _mean_of_defined(parts: Array, totals: Array) -> Array:
    """Mean over the classes of parts / totals, leaving out those without a total."""
    defined = totals > 0
    shares = np.divide(parts, totals, out=np.zeros(parts.shape), where=defined)
    number = defined.sum(1)
    return np.divide(shares.sum(1), number, out=np.full(len(number), np.nan), where=number > 0)
