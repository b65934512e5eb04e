"""Temperature and threshold of held-out probabilities, every group weighing alike.

The threshold is that of hierarchical conformal prediction (Lee, Barber and Willett 2023; Dunn,
Wasserman and Ramdas 2022), because the cries of one baby are alike and a new baby is none of them;
MAPIE, crepes and TorchCP calibrate on recordings that are all exchangeable, so it is written here.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from cry_model.calibration import FLOOR, Array, temper

PROMISED = 0.8
"""Share of a new group's recordings whose set is made to hold the right label."""
RANGE = (0.05, 20.0)  # of a temperature
EVERYTHING = 1.0  # no score is above it, so every label is in the set


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
    if not len(weights):
        return 1.0
    weighted = weights[:, None] * targets

    def loss(logarithm: float) -> float:
        tempered = temper(probabilities, float(np.exp(logarithm)))
        return float(-(weighted * np.log(tempered.clip(FLOOR))).sum())

    return float(np.exp(minimize_scalar(loss, bounds=np.log(RANGE), method="bounded").x))


def fit_threshold(
    probabilities: Array, targets: Array, groups: Sequence[str] | NDArray[np.str_], coverage: float
) -> float:
    """The threshold of 1 - p under which a new group's sets hold what is promised.

    The score of a recording is ``1 - p`` of its label (LAC; Sadinle, Lei and Wasserman 2019). K
    groups share the weight ``K / (K + 1)`` alike, and within one its recordings do; what is left
    lies at infinity, in the place of the group that is to come. Of that distribution it is the
    quantile ``coverage``.

    Args:
        probabilities: (n, classes) of recordings, calibrated.
        targets: as for :func:`fit_temperature`; a score counts by the probability of its label.
        groups: of the recordings, n.
        coverage: what is promised, 0 to 1.

    Returns:
        The threshold; :data:`EVERYTHING` if there are too few groups to promise that much.
    """
    count = len(set(groups))
    weights = group_weights(groups) * count / (count + 1)
    scores, shares = (1 - probabilities).ravel(), (weights[:, None] * targets).ravel()
    order = scores.argsort()
    reached = shares[order].cumsum() >= coverage - 1e-12  # sums are not exact
    return float(scores[order][reached.argmax()]) if reached.any() else EVERYTHING
