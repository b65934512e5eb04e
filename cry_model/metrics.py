"""Compute all metrics of the results, weighted, with bootstrap intervals over groups.

Intervals resample whole groups (babies, source recordings): clips of one baby are not independent,
and an interval over clips would be too narrow. Drawing groups with replacement is the same as
weighting each row by how often its group was drawn. All metrics but the ROC AUC are functions of
two weighted sums over rows, so a thousand resamples are one matrix product. The AUC follows from
counts of ordered pairs. The tests check both against scikit-learn.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import NamedTuple, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from cry_model.records import Estimate

Array = NDArray[np.float64]
Labels = NDArray[np.int64]
Names: TypeAlias = "Sequence[str] | Labels | pd.Series"
Metric = Callable[[Labels, Array], float]
Values = Callable[[Array], Array]
"""Weights (draws, groups) -> the metric of each draw, (draws,); NaN where it is undefined."""
MOST_GROUPS = 500
"""Maximum number of resampled groups; more are merged at random, which keeps the variance."""
BLOCK = 10_000
"""Scores whose pairs are counted at once, to limit memory."""
BINS = 10
"""Number of equal-width confidence bins."""


class Sums(NamedTuple):
    """Two sums, numerator and denominator, from which a metric is computed.

    Attributes:
        combine: two sums, (draws, columns) each -> the metric of each draw, (draws,).
        parts, totals: terms of each row, or each group, (n, columns) each; sparse where a row has
            one class.
    """

    combine: Callable[[Array, Array], Array]
    parts: Array | sparse.csr_array
    totals: Array | sparse.csr_array

    def of(self, weights: Array) -> Array:
        """Return the metric under each weighting of the rows, (draws, n) -> (draws,)."""
        return self.combine(weights @ self.parts, weights @ self.totals)

    def by_group(self, member: NDArray[np.int64], groups: int) -> Sums:
        """Return the sums with one row per group; ``member`` is the group number of each row."""
        both = (by_group(columns, member, groups) for columns in (self.parts, self.totals))
        return Sums(self.combine, *both)


def by_group(columns: Array | sparse.csr_array, member: NDArray[np.int64], groups: int) -> Array:
    """Sum the rows of each group, (n, columns) -> (groups, columns)."""
    sums = _ones(member, groups).T.tocsr() @ columns
    return sums.toarray() if sparse.issparse(sums) else sums


def _ones(places: NDArray[np.int64], columns: int) -> sparse.csr_array:
    """Return one-hot rows, (n, columns)."""
    rows = np.arange(len(places) + 1)
    return sparse.csr_array((np.ones(len(places)), places, rows), (len(places), columns))


def one_hot(labels: Labels, probabilities: Array) -> tuple[sparse.csr_array, sparse.csr_array]:
    """Return one-hot labels and predictions, (n, classes) each."""
    classes = probabilities.shape[1]
    return _ones(labels, classes), _ones(probabilities.argmax(1), classes)


def recall_sums(labels: Labels, probabilities: Array) -> Sums:
    """Return numerator and denominator of recall, one column per class."""
    truth, guess = one_hot(labels, probabilities)
    return Sums(mean_share, truth * guess, truth)


def f1_sums(labels: Labels, probabilities: Array) -> Sums:
    """Return numerator and denominator of F1, one column per class."""
    truth, guess = one_hot(labels, probabilities)
    return Sums(mean_share, 2 * truth * guess, truth + guess)


def mean_sums(values: ArrayLike) -> Sums:
    """Return numerator and denominator of the mean of one value per row, (n,)."""
    return Sums(mean_share, np.asarray(values, np.float64)[:, None], np.ones((len(values), 1)))


def calibration_sums(confidence: Array, right: Array, weights: Array) -> Sums:
    """Return the sums of the expected calibration error (Guo et al. 2017), of (n,) answers.

    ``right``: whether each is correct, or the probability of that.
    """
    gaps = np.eye(BINS)[bin_of(confidence)] * (weights * (right - confidence))[:, None]
    return Sums(_mean_gap, gaps, weights[:, None])


def _mean_gap(parts: Array, totals: Array) -> Array:
    return shares(np.abs(parts).sum(1), totals[:, 0])


def _error_sums(labels: Labels, probabilities: Array) -> Sums:
    right = (probabilities.argmax(1) == labels).astype(np.float64)
    return calibration_sums(probabilities.max(1), right, np.ones(len(labels)))


SUMS: Mapping[str, Callable[[Labels, Array], Sums]] = {
    "accuracy": lambda labels, p: mean_sums(p.argmax(1) == labels),
    "balanced_accuracy": recall_sums,
    "macro_f1": f1_sums,
    "expected_calibration_error": _error_sums,
}
"""Every metric but the ROC AUC."""


def mean_share(parts: Array, totals: Array) -> Array:
    """Return the mean of parts / totals over the columns with a positive total; NaN without one."""
    defined = totals > 0
    each = np.divide(parts, totals, out=np.zeros(parts.shape), where=defined)
    number = defined.sum(1)
    return np.divide(each.sum(1), number, out=np.full(len(number), np.nan), where=number > 0)


def shares(parts: Array, totals: Array) -> Array:
    """Return parts / totals; NaN where there is no total."""
    return np.divide(parts, totals, out=np.full(parts.shape, np.nan), where=totals > 0)


def bin_of(confidence: Array) -> Labels:
    """Return the bin number of each confidence, (n,); 1 belongs to the last bin."""
    return np.minimum((confidence * BINS).astype(np.int64), BINS - 1)


def _value(metric: str, labels: Labels, probabilities: Array) -> float:
    one_group = np.zeros(len(labels), np.int64)
    return float(weighted(metric, labels, probabilities, one_group, 1)(np.ones((1, 1)))[0])


SCORES = (
    "accuracy",  # share of correct predictions
    "balanced_accuracy",  # mean recall over the classes that occur
    "macro_f1",  # over the classes that occur or are predicted
    "macro_auc",  # mean one-vs-rest ROC AUC over the classes that occur; NaN if only one does
)
"""Metrics that have a chance level; higher is better."""
METRICS: Mapping[str, Metric] = {
    name: partial(_value, name) for name in (*SCORES, "expected_calibration_error")
}
"""Functions of labels (n,) and probabilities (n, classes)."""
balanced_accuracy = METRICS["balanced_accuracy"]

Pairs = Sequence[tuple[Labels, Array]]
"""For each class: the groups that contain it, (rows,), and the number of correctly ranked pairs of
its rows there with other classes' rows in each group, ties counting half, (rows, groups)."""


def pairs_of(
    labels: Labels, probabilities: Array, member: NDArray[np.int64], groups: int
) -> tuple[Pairs, Array]:
    """Count the correctly ranked pairs of each class, and rows per group and class."""
    found = []
    for c, scores in enumerate(probabilities.T):
        own = labels == c
        rows, ours = np.unique(member[own], return_inverse=True)
        wins, ranked = np.zeros((len(rows), groups)), scores[own].argsort()
        for part in np.array_split(ranked, len(ranked) // BLOCK + 1):
            sides = (scores[own][part].searchsorted(scores[~own], s) for s in ("left", "right"))
            cells = np.concatenate([*sides]) * groups + np.tile(member[~own], 2)
            below = np.bincount(cells, minlength=(len(part) + 1) * groups).reshape(-1, groups)
            wins += by_group(below.cumsum(0)[:-1] / 2, ours[part], len(rows))
        found.append((rows, wins))
    return found, by_group(_ones(labels, probabilities.shape[1]), member, groups)


def pairs_won(pairs: Pairs, counts: Array, weights: Array) -> tuple[Array, Array]:
    """Count correctly ranked and all pairs, (draws, classes) each; weights (draws, groups)."""
    won = [((weights @ wins.T) * weights[:, rows]).sum(1) for rows, wins in pairs]
    own = weights @ counts
    return np.stack(won, 1), own * (own.sum(1, keepdims=True) - own)


def weighted(
    metric: str, labels: Labels, probabilities: Array, member: NDArray[np.int64], groups: int
) -> Values:
    """Prepare a metric for bootstrap weights of the groups; ``member``: group of each row, (n,)."""
    if metric == "macro_auc":
        pairs, counts = pairs_of(labels, probabilities, member, groups)
        return lambda weights: mean_share(*pairs_won(pairs, counts, weights))
    return SUMS[metric](labels, probabilities).by_group(member, groups).of


def resampled(
    groups: Names, repetitions: int = 1000, seed: int = 0
) -> tuple[NDArray[np.int64], Array]:
    """Draw bootstrap samples of the groups, of which many are first merged; return the group of
    each row, (n,), and how often each repetition drew each group, (repetitions, groups)."""
    rng, member = np.random.default_rng(seed), numbered(groups)
    count = int(member.max()) + 1
    if count > MOST_GROUPS:
        member = (rng.permutation(count) % MOST_GROUPS)[member]
        count = MOST_GROUPS
    draws = rng.integers(count, size=(repetitions, count))
    cells = draws + count * np.arange(repetitions)[:, None]  # indices into the flattened table
    drawn = np.bincount(cells.ravel(), minlength=repetitions * count)
    return member, drawn.reshape(repetitions, count).astype(np.float64)


def numbered(names: Names) -> Labels:
    """Return the index of each name among the sorted distinct names, (n,)."""
    if not isinstance(names, pd.Series | np.ndarray):
        names = np.asarray(names, dtype=object)  # strings would each take the size of the longest
    return pd.factorize(names, sort=True)[0].astype(np.int64)


def bootstrap(
    metric: str,
    labels: Labels,
    probabilities: Array,
    groups: Names,
    repetitions: int = 1000,
    seed: int = 0,
) -> Estimate:
    """Compute a metric with its 95% percentile interval over resampled groups."""
    member, drawn = resampled(groups, repetitions, seed)
    draws = weighted(metric, labels, probabilities, member, drawn.shape[1])(drawn)
    return interval(METRICS[metric](labels, probabilities), draws)


def bootstrap_difference(
    metric: str, labels: Labels, one: Array, other: Array, groups: Names, repetitions: int = 1000
) -> Estimate:
    """Compute the metric of ``one`` minus that of ``other``, both on the same draws of groups."""
    member, drawn = resampled(groups, repetitions)
    first, second = (weighted(metric, labels, p, member, drawn.shape[1]) for p in (one, other))
    value = METRICS[metric](labels, one) - METRICS[metric](labels, other)
    return interval(value, first(drawn) - second(drawn))


def bootstrap_sums(sums: Sums, groups: Sequence[str]) -> Estimate:
    """Compute a metric from sums over rows, with its bootstrap interval over groups."""
    member, drawn = resampled(groups)
    value = sums.of(np.ones((1, len(member))))[0]
    return interval(float(value), sums.by_group(member, drawn.shape[1]).of(drawn))


def mean(values: ArrayLike, groups: Sequence[str]) -> Estimate:
    """Compute the mean of one value per recording, with its bootstrap interval over groups."""
    return bootstrap_sums(mean_sums(values), groups)


def interval(value: float, draws: Sequence[float] | Array) -> Estimate:
    """Return the value with the central 95% of its draws, ignoring undefined ones."""
    low, high = np.nanpercentile(draws, [2.5, 97.5])
    return Estimate(value, float(low), float(high))


def intervals(values: Array, draws: Array) -> tuple[Estimate, ...]:
    """Return intervals of several values (k,), draws (draws, k); NaN where a value is undefined."""
    known = ~(np.isnan(values) | np.isnan(draws).all(0))
    ends = np.full((2, len(values)), np.nan)
    ends[:, known] = np.nanpercentile(draws[:, known], [2.5, 97.5], axis=0)
    return tuple(
        Estimate(float(v), *map(float, both)) for v, both in zip(values, ends.T, strict=True)
    )
