"""The threshold of held-out probabilities, every group weighing alike.

It is that of hierarchical conformal prediction (Lee, Barber and Willett 2023; Dunn, Wasserman and
Ramdas 2022), because the cries of one baby are alike and a new baby is none of them; MAPIE, crepes
and TorchCP calibrate on recordings that are all exchangeable, so it is written here.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cry_model.calibration import Array, group_weights

PROMISED = 0.8
"""Share of a new group's recordings whose set is made to hold the right label."""
EVERYTHING = 1.0  # no score is above it, so every label is in the set


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
        targets: (n, classes), rows that sum to 1; a score counts by the probability of its label.
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
