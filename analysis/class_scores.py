"""How well each class is found: recall, precision, F1 and two areas, with intervals over groups."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.average_precision import average_precision
from analysis.run_tables import label_numbers, probabilities_of
from analysis.weightings import by_group, f1s, one_hot, pairs_of, pairs_won, recalls, shares
from cry_model.metrics import Array, Labels, intervals, resampled
from cry_model.records import Estimate

Rows = NDArray[np.int64]


def _counted(count: Callable[[Labels, Array], tuple[Array, Array]]) -> Callable[..., Array]:
    def measure(labels: Labels, probabilities: Array, member: Rows, weights: Array) -> Array:
        parts, totals = (
            weights @ by_group(sums, member, weights.shape[1])
            for sums in count(labels, probabilities)
        )
        return shares(parts, totals)

    return measure


def _precisions(labels: Labels, probabilities: Array) -> tuple[Array, Array]:
    truth, guess = one_hot(labels, probabilities)
    return truth * guess, guess


def _aucs(labels: Labels, probabilities: Array, member: Rows, weights: Array) -> Array:
    pairs, counts = pairs_of(labels, probabilities, member, weights.shape[1])
    return shares(*pairs_won(pairs, counts, weights))


def _average_precisions(
    labels: Labels, probabilities: Array, member: Rows, weights: Array
) -> Array:
    scored = enumerate(probabilities.T)
    found = [average_precision(labels == c, scores, member, weights) for c, scores in scored]
    return np.stack(found, axis=1)


ANSWERED = ("recall", "precision", "f1")
"""Of the answers, the most probable label of each recording."""
RANKED = ("auc", "average_precision")
"""Of the probability of a class, one against the rest."""
MEASURES: Mapping[str, Callable[[Labels, Array, Rows, Array], Array]] = {
    "recall": _counted(recalls),
    "precision": _counted(_precisions),
    "f1": _counted(f1s),
    "auc": _aucs,
    "average_precision": _average_precisions,
}
"""Labels (n,), probabilities (n, classes), numbers of groups (n,), weights (draws, groups) -> the
measure of each class, (draws, classes); NaN where it is undefined."""


@dataclass(frozen=True)
class ClassScores:
    """What was measured of one class.

    Attributes:
        label: which.
        support: how many recordings have it; one counts once, however many seeds there are.
        share: of all rows, 0 to 1: what the average precision of guessing comes to.
        measures: each of :data:`ANSWERED` and :data:`RANKED`; NaN where it is undefined: the recall
            and the areas of a class that does not occur, the precision of one never answered.
    """

    label: str
    support: int
    share: float
    measures: Mapping[str, Estimate]


def class_scores(
    table: pd.DataFrame, labels: Sequence[str], draws: int = 1000
) -> tuple[ClassScores, ...]:
    """The scores of each class, in the order of the labels.

    Args:
        table: a row per seed and recording, as the ``recordings`` of a run; the rows of several
            seeds are pooled.
        labels: all that can be answered.
        draws: how often groups are resampled.
    """
    rows = label_numbers(table, labels), probabilities_of(table, labels)
    member, drawn = resampled(table["group"].tolist(), draws)
    weights = np.concatenate([np.ones((1, drawn.shape[1])), drawn])  # as they are, then the draws
    values = [measure(*rows, member, weights) for measure in MEASURES.values()]
    estimates = {
        name: intervals(of_classes[0], of_classes[1:])
        for name, of_classes in zip(MEASURES, values, strict=True)
    }
    support = table.drop_duplicates("recording")["label"].value_counts()
    shares = np.bincount(rows[0], minlength=len(labels)) / len(table)
    return tuple(
        ClassScores(
            label=label,
            support=int(support.get(label, 0)),
            share=float(shares[c]),
            measures={name: found[c] for name, found in estimates.items()},
        )
        for c, label in enumerate(labels)
    )
