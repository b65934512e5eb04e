"""The average precision of one class, under many weightings of the groups at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cry_model.metrics import Array


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
    levels, own = np.unique(-scores[positive], return_inverse=True)
    other = np.searchsorted(levels, -scores[~positive])  # the first level that answers it too
    often = np.ascontiguousarray(weights.T, dtype=np.float32)
    found, wrong = (
        (_reached(at, len(levels), member[rows], len(often)) @ often).astype(np.float64)
        for at, rows in ((own, positive), (other, ~positive))
    )
    steps, answered = np.diff(found, axis=0, prepend=0), found + wrong
    precision = np.divide(found, answered, out=found, where=answered > 0)
    hits = np.einsum("ij,ij->j", steps, precision)
    return np.divide(hits, steps.sum(0), out=np.full(len(hits), np.nan), where=steps.any(0))


def _reached(
    at: NDArray[np.int64], levels: int, member: NDArray[np.int64], groups: int
) -> NDArray[np.float32]:
    """How many rows of each group are at each level or a better one, (levels, groups).

    Single precision holds counts without rounding, and multiplies them at twice the speed.
    """
    size = (levels + 1) * groups  # behind the last level are rows that none reaches
    counts = np.bincount(at * groups + member, minlength=size).reshape(levels + 1, groups)
    return counts[:-1].cumsum(0).astype(np.float32)
