"""ROC and precision-recall curves of one class against the rest, for drawing."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cry_model.metrics import Array

UNSEEN = 1 / 400  # of an axis: what is left out lies this near to what is drawn


class Curve(NamedTuple):
    """Points of a curve, in its order: (n,) each."""

    x: Array
    y: Array


def roc_curve(positive: NDArray[np.bool_], scores: Array) -> Curve | None:
    """True over false positive rate, from (0, 0) to (1, 1).

    Args:
        positive: (n,) which rows are of the class.
        scores: (n,) of which the class should have the higher ones; equal ones make one step.

    Returns:
        Its corners; None if no row is of the class, or all are.
    """
    if positive.all() or not positive.any():
        return None
    levels, at = np.unique(-scores, return_inverse=True)
    hits, alarms = (
        np.append(0, np.bincount(at[rows], minlength=len(levels)).cumsum())
        for rows in (positive, ~positive)
    )
    right, up = np.diff(alarms), np.diff(hits)
    corner = np.append(True, np.append(up[1:] * right[:-1] != up[:-1] * right[1:], True))
    return Curve(alarms[corner] / alarms[-1], hits[corner] / hits[-1])


def precision_recall_curve(positive: NDArray[np.bool_], scores: Array) -> Curve | None:
    """Precision over recall; between two points the precision is that of the second.

    So the area under it is the average precision.

    Args:
        positive: as for :func:`roc_curve`.
        scores: as for :func:`roc_curve`.

    Returns:
        A point for each score that rows of the class have, after one at recall 0 with the
        precision of the first; None if no row is of the class.
    """
    if not positive.any():
        return None
    levels, own = np.unique(-scores[positive], return_counts=True)
    hits = own.cumsum()
    answered = np.searchsorted(np.sort(-scores), levels, "right")
    precision = hits / answered
    return Curve(np.append(0, hits / hits[-1]), np.append(precision[0], precision))


def thinned(curve: Curve) -> Curve:
    """Without the points that are nearer than :data:`UNSEEN` to one that stays, along the curve."""
    moved = np.abs(np.diff(curve.x)) + np.abs(np.diff(curve.y))
    passed = np.append(0, moved.cumsum()) // UNSEEN
    kept = np.append(True, np.diff(passed) > 0)
    kept[-1] = True
    return Curve(curve.x[kept], curve.y[kept])
