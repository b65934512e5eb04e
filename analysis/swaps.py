"""How far two systems are apart after their answers were exchanged within some groups.

A group that is exchanged keeps its labels, so that the areas under the curves differ by a sum of
one number for each group: with z = -1 for a group that is left and +1 for one that is exchanged,
what is quadratic in z is the same for both systems, and falls out of the difference.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from analysis.weightings import Values, by_group, counted
from cry_model.metrics import Array, Labels


def exchanged(
    metric: str,
    labels: Labels,
    one: Array,
    other: Array,
    member: NDArray[np.int64],
    groups: int,
) -> Values:
    """Prepares the difference of a metric between two systems for many exchanges.

    Args:
        metric: one of :data:`analysis.weightings.COMPARED`.
        labels: (n,) class indices.
        one: (n, classes) probabilities of a system.
        other: those of another one, row for row.
        member: (n,) the number of each row's group.
        groups: how many there are.

    Returns:
        Which groups are exchanged, 0 or 1, (draws, groups) -> the metric of the first system less
        that of the second, (draws,).
    """
    if metric == "macro_auc":
        worth = _auc_worth(labels, one, other, member, groups)
        return lambda swapped: (1 - 2 * swapped) @ worth
    combine, parts, totals = counted(metric, labels, one, member, groups)
    _, other_parts, other_totals = counted(metric, labels, other, member, groups)

    def differences(swapped: Array) -> Array:
        moved, all_moved = swapped @ (other_parts - parts), swapped @ (other_totals - totals)
        first = combine(parts.sum(0) + moved, totals.sum(0) + all_moved)
        return first - combine(other_parts.sum(0) - moved, other_totals.sum(0) - all_moved)

    return differences


def _auc_worth(
    labels: Labels, one: Array, other: Array, member: NDArray[np.int64], groups: int
) -> Array:
    """What each group adds to the difference while it is not exchanged, (groups,)."""
    defined = [c for c in range(one.shape[1]) if 0 < (labels == c).sum() < len(labels)]
    worth = np.zeros((len(labels), 1))
    for c in defined:
        own = labels == c
        pairs = 2 * own.sum() * (~own).sum()
        wins = _wins(one[:, c], other[:, c], own), _wins(other[:, c], one[:, c], own)
        worth[:, 0] += (wins[0] - wins[1]) / pairs
    return by_group(worth, member, groups)[:, 0] / len(defined)


def _wins(scores: Array, others: Array, own: NDArray[np.bool_]) -> Array:
    """How many pairs each row wins against rows of either system, ties counting half, (n,)."""
    both, ours = np.concatenate([scores, others]), np.concatenate([own, own])
    positive, negative = np.sort(both[ours]), np.sort(both[~ours])
    above = len(positive) - _below(positive, scores)
    return np.where(own, _below(negative, scores), above)


def _below(ordered: Array, scores: Array) -> Array:
    """How many of the ordered values lie below each score, those that are equal counting half."""
    return (ordered.searchsorted(scores) + ordered.searchsorted(scores, "right")) / 2
