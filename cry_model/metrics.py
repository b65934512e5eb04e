"""The metrics of the results, on labels and probabilities, with bootstrap intervals over groups.

Written here rather than taken from a library because an interval needs a thousand weighted
evaluations of each; the tests hold them against scikit-learn. Intervals resample whole groups
(babies, source recordings): clips of one baby are not independent, and an interval over clips would
be too narrow.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from cry_model.records import Estimate, Evaluation

Array = NDArray[np.float64]
Labels = NDArray[np.int64]
Metric = Callable[[Labels, Array, Array], float]
BINS = 10
"""Into how many bins of equal width confidences are put."""


def accuracy(labels: Labels, probabilities: Array, weights: Array) -> float:
    """Share of right answers; labels (n,), probabilities (n, classes), weights (n,)."""
    return float(weights @ (probabilities.argmax(1) == labels) / weights.sum())


def recalls(labels: Labels, probabilities: Array, weights: Array) -> Array:
    """Recall of each class, (classes,); NaN for a class without weight."""
    classes = probabilities.shape[1]
    right = np.bincount(labels, weights * (probabilities.argmax(1) == labels), classes)
    total = np.bincount(labels, weights, classes)
    return np.divide(right, total, out=np.full(classes, np.nan), where=total > 0)


def balanced_accuracy(labels: Labels, probabilities: Array, weights: Array) -> float:
    """Mean recall over the classes that occur."""
    return float(np.nanmean(recalls(labels, probabilities, weights)))


def macro_f1(labels: Labels, probabilities: Array, weights: Array) -> float:
    """Mean F1 over the classes that occur or are predicted."""
    guess, classes = probabilities.argmax(1), probabilities.shape[1]
    hits = np.bincount(labels, weights * (guess == labels), classes)
    total = np.bincount(labels, weights, classes) + np.bincount(guess, weights, classes)
    return float(np.mean(2 * hits[total > 0] / total[total > 0]))


def macro_auc(labels: Labels, probabilities: Array, weights: Array) -> float:
    """Mean one-against-rest area under the ROC curve over the classes that occur."""
    present = np.unique(labels)
    if len(present) < 2:
        return float("nan")
    return float(np.mean([auc(labels == c, probabilities[:, c], weights) for c in present]))


def auc(positive: NDArray[np.bool_], scores: Array, weights: Array) -> float:
    """Weight of the pairs that ``scores`` puts in the right order, ties counting half."""
    _, rank = np.unique(scores, return_inverse=True)
    own = np.bincount(rank, weights * positive)
    other = np.bincount(rank, weights * ~positive)
    below = np.cumsum(other) - other
    return float(own @ (below + other / 2) / (own.sum() * other.sum()))


def expected_calibration_error(
    labels: Labels, probabilities: Array, weights: Array, bins: int = BINS
) -> float:
    """Mean gap between confidence and accuracy over equal-width bins (Guo et al. 2017)."""
    right = probabilities.argmax(1) == labels
    return calibration_error(probabilities.max(1), right.astype(np.float64), weights, bins)


def calibration_error(confidence: Array, right: Array, weights: Array, bins: int = BINS) -> float:
    """The same of answers that are right with a probability: all of shape (n,)."""
    gap = np.bincount(bin_of(confidence, bins), weights * (right - confidence), bins)
    return float(np.abs(gap).sum() / weights.sum())


def bin_of(confidence: Array, bins: int = BINS) -> Labels:
    """The number of the bin of each confidence, (n,); that of 1 is the last."""
    return np.minimum((confidence * bins).astype(np.int64), bins - 1)


METRICS: Mapping[str, Metric] = {
    "accuracy": accuracy,
    "balanced_accuracy": balanced_accuracy,
    "macro_f1": macro_f1,
    "macro_auc": macro_auc,
    "expected_calibration_error": expected_calibration_error,
}


def resampled(
    groups: Sequence[str], repetitions: int = 1000, seed: int = 0
) -> tuple[NDArray[np.int64], Array]:
    """Draws groups with replacement, as many as there are.

    Returns:
        The number of each row's group, (n,), and how often each repetition drew each group,
        (repetitions, groups).
    """
    _, member = np.unique(np.asarray(groups), return_inverse=True)
    count = member.max() + 1
    draws = np.random.default_rng(seed).integers(count, size=(repetitions, count))
    cells = draws + count * np.arange(repetitions)[:, None]  # of the table, row after row
    drawn = np.bincount(cells.ravel(), minlength=repetitions * count)
    return member, drawn.reshape(repetitions, count).astype(np.float64)


def bootstrap(
    metric: Metric,
    labels: Labels,
    probabilities: Array,
    groups: Sequence[str],
    repetitions: int = 1000,
    seed: int = 0,
) -> Estimate:
    """The metric with its 95 % percentile interval over resampled groups.

    Drawing groups with replacement is the same as weighting each clip by how often its group was
    drawn, so every metric takes weights. Repetitions where it is undefined are left out.
    """
    member, drawn = resampled(groups, repetitions, seed)
    values = []
    for often in drawn:
        weights = often[member]
        kept = weights > 0
        values.append(metric(labels[kept], probabilities[kept], weights[kept]))
    return interval(metric(labels, probabilities, np.ones(len(labels))), values)


def interval(value: float, draws: Sequence[float] | Array) -> Estimate:
    """The value with the middle 95 % of what the repetitions gave; undefined ones are left out."""
    low, high = np.nanpercentile(draws, [2.5, 97.5])
    return Estimate(value, float(low), float(high))


def intervals(values: Array, draws: Array) -> tuple[Estimate, ...]:
    """The same of several values (k,) and their draws (draws, k); of an undefined one, NaN."""
    known = ~(np.isnan(values) | np.isnan(draws).all(0))
    ends = np.full((2, len(values)), np.nan)
    ends[:, known] = np.nanpercentile(draws[:, known], [2.5, 97.5], axis=0)
    return tuple(
        Estimate(float(v), *map(float, both)) for v, both in zip(values, ends.T, strict=True)
    )


def mean(values: Sequence[float] | Array, groups: Sequence[str]) -> Estimate:
    """The mean of one value a recording, with its interval over groups."""
    return bootstrap(
        lambda _, rows, weights: float(weights @ rows[:, 0] / weights.sum()),
        np.zeros(len(values), dtype=np.int64),
        np.asarray(values, dtype=np.float64)[:, None],
        groups,
    )


def evaluate(
    labels: Labels,
    probabilities: Array,
    groups: Sequence[str],
    recordings: Sequence[str],
    names: Sequence[str],
    **facts: object,
) -> Evaluation:
    """All metrics of one set of predictions.

    Args:
        labels: (n,) class indices.
        probabilities: (n, classes).
        groups: what each interval resamples, n of them.
        recordings: which recording each row belongs to, n of them; one counts once in
            ``recordings`` and ``support``, however many pieces and seeds it has.
        names: class labels, in the order of the columns.
        **facts: ``dataset``, ``protocol``, ``folds``, ``seeds`` of the :class:`Evaluation`.
    """
    weights = np.ones(len(labels))
    rows = np.bincount(labels, minlength=len(names))
    _, first = np.unique(np.asarray(recordings), return_index=True)
    support = np.bincount(labels[first], minlength=len(names))
    estimate = partial(bootstrap, labels=labels, probabilities=probabilities, groups=groups)
    per_class = recalls(labels, probabilities, weights)
    return Evaluation(
        recordings=len(first),
        groups=len(set(groups)),
        chance=1 / int((support > 0).sum()),
        majority_label=names[int(rows.argmax())],
        majority_accuracy=float(rows.max() / len(labels)),
        metrics={name: estimate(metric) for name, metric in METRICS.items()},
        recall={n: float(r) for n, r in zip(names, per_class, strict=True) if not np.isnan(r)},
        support={n: int(s) for n, s in zip(names, support, strict=True) if s},
        **facts,
    )
