"""Bet on which label each cry of a day has, so that nothing is won on average if sounds tell none.

Source: Koning, "Post-hoc and anytime valid permutation and group invariance testing", 2023.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln

Array = NDArray[np.float64]
Labels = NDArray[np.int64]


def log_bet(logits: Array, truth: Labels) -> Array:
    """Return the logarithm of an e-value: these labels over the mean of all their orders.

    The sum over orders is a coefficient of a product of polynomials, found one cry after another.

    Args:
        logits: (bets, n, K); what is the same for all labels of a cry makes no difference.
        truth: (n,).
    """
    present, place, counts = np.unique(truth, return_inverse=True, return_counts=True)
    logits = logits[..., present] - logits[..., present].max(-1, keepdims=True)
    odds = np.exp(logits.clip(-50))
    sums = np.zeros((len(odds), *(counts + 1)))
    sums[(slice(None), *[0] * len(counts))] = 1.0
    for cry in range(len(truth)):
        before, sums = sums, np.zeros_like(sums)
        for kind in range(len(counts)):
            target, source = [slice(None)] * sums.ndim, [slice(None)] * sums.ndim
            target[1 + kind], source[1 + kind] = slice(1, None), slice(None, -1)
            factor = odds[:, cry, kind].reshape(-1, *[1] * len(counts))
            sums[tuple(target)] += factor * before[tuple(source)]
    orders = gammaln(len(truth) + 1) - gammaln(counts + 1).sum()
    every = np.log(sums[(slice(None), *counts)]) - orders
    return np.log(odds[:, np.arange(len(truth)), place]).sum(1) - every
