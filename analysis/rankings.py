"""Rows ranked by a score, under many weightings of the groups at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cry_model.metrics import Array

AT_ONCE = 150_000  # weighted rows, so that what they need stays near the processor


def in_chunks(weights: Array, rows: int) -> list[Array]:
    """Weights (draws, groups) as columns (groups, some draws), for so many rows at once."""
    chunks = max(1, min(len(weights), len(weights) * rows // AT_ONCE))
    return [np.ascontiguousarray(part.T) for part in np.array_split(weights, chunks)]


def cumulated(weights: Array) -> Array:
    """The weight of the first 0, 1, ... rows: (n, draws) -> (n + 1, draws)."""
    sums = np.zeros((len(weights) + 1, weights.shape[1]))
    np.cumsum(weights, axis=0, out=sums[1:])
    return sums


def average_precision(
    positive: NDArray[np.bool_], scores: Array, member: NDArray[np.int64], weights: Array
) -> Array:
    """The mean precision at the rows of a class, ranked by score, under each weighting.

    As scikit-learn defines it; rows of one score are answered together.

    Args:
        positive: (n,) which rows are of the class.
        scores: (n,) what should be higher for them.
        member: (n,) the number of each row's group.
        weights: how often each group counts, (draws, groups).

    Returns:
        (draws,); NaN where the class has no weight.
    """
    own, other = np.flatnonzero(positive), np.flatnonzero(~positive)
    own, other = (rows[np.argsort(-scores[rows], kind="stable")] for rows in (own, other))
    levels, rows = np.unique(-scores[own], return_counts=True)
    last, before = rows.cumsum(), np.searchsorted(-scores[other], levels, "right")
    values = []
    for columns in in_chunks(weights, len(positive)):
        found, wrong = cumulated(columns[member[own]]), cumulated(columns[member[other]])
        total, found, wrong = found[-1], found[last], wrong[before]
        steps, answered = np.diff(found, axis=0, prepend=0), found + wrong
        precision = np.divide(found, answered, out=found, where=answered > 0)
        with np.errstate(invalid="ignore"):  # 0 / 0 is what NaN stands for
            values.append(np.einsum("ij,ij->j", steps, precision) / total)
    return np.concatenate(values)
