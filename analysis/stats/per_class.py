"""Score each class: recall, precision, F1 and two areas, with intervals over groups."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cry_model.metrics import (
    Array,
    Sums,
    f1_sums,
    intervals,
    mean_share,
    one_hot,
    pairs_of,
    pairs_won,
    recall_sums,
    resampled,
    shares,
)
from cry_model.results import label_numbers, probabilities_of

MOST_SUMS = 20_000_000  # rows times draws of an average precision; at least 100 draws
UNSEEN = 1 / 400  # of an axis: points nearer than this to a drawn one are left out
Curve = tuple[Array, Array]
"""Points of a curve in order: x and y, (n,) each."""


def roc_curve(positive: NDArray[np.bool_], scores: Array) -> Curve | None:
    """Return the false and the true positive rate, from (0, 0) to (1, 1).

    Only corners are returned; None if no row is of the class, or all are. ``positive``: (n,) which
    rows are of the class; ``scores``: (n,), higher for the class; ties form one step.
    """
    from sklearn import metrics  # takes a second, once

    if positive.all() or not positive.any():
        return None
    return metrics.roc_curve(positive, scores)[:2]


def precision_recall_curve(positive: NDArray[np.bool_], scores: Array) -> Curve | None:
    """Return recall and precision; between two points the precision is that of the second.

    The area under it is thus the average precision. There is one point per recall reached, with the
    highest precision there, after one at recall 0 with the precision of the first. None if no row
    is of the class.
    """
    from sklearn import metrics

    if not positive.any():
        return None
    precision, recall = (v[::-1] for v in metrics.precision_recall_curve(positive, scores)[:2])
    reached = np.append(True, np.diff(recall) > 0)
    recall, precision = recall[reached], precision[reached]
    return recall, np.append(precision[1], precision[1:])


def thinned(curve: Curve) -> Curve:
    """Drop points nearer than :data:`UNSEEN`, along the curve, to one that stays."""
    moved = np.abs(np.diff(curve)).sum(0)
    kept = np.append(True, np.diff(np.append(0, moved.cumsum()) // UNSEEN) > 0)
    kept[-1] = True
    return curve[0][kept], curve[1][kept]


def average_precision(
    positive: NDArray[np.bool_], scores: Array, member: NDArray[np.int64], weights: Array
) -> Array:
    """Return the average precision of a class under each weighting, (draws,).

    As in scikit-learn: the mean precision at the rows of the class, ranked by score, with ties
    counted together. NaN if the class has no weight. ``member``: (n,) the index of each row's
    group; ``weights``: (draws, groups) how often each group counts.
    """
    order = np.argsort(-scores)
    last = np.flatnonzero(np.diff(scores[order], append=-np.inf))  # last row of each score
    positive, member = positive[order], member[order]
    found = []
    for each in weights:  # one at a time: all at once exceed the CPU cache
        own = each[member]
        answered, hits = (column.cumsum()[last] for column in (own, own * positive))
        gained = np.diff(hits, prepend=0) * shares(hits, answered)
        found.append(np.nansum(gained) / hits[-1] if hits[-1] else np.nan)
    return np.array(found)


ANSWERED = ("recall", "precision", "f1")
"""Measures of the answers, that is of the most probable label of each recording."""
RANKED = ("auc", "average_precision")
"""Measures of the probability of a class, one against the rest."""
MEASURES = (*ANSWERED, *RANKED)


def class_scores(table: pd.DataFrame, labels: Sequence[str], draws: int = 1000) -> pd.DataFrame:
    """Measure each class, with the seeds pooled; ``table``: the ``recordings`` of a run.

    Return a row per class and measure of :data:`MEASURES`, with columns class, recordings (of that
    class; each counts once over all seeds), share (of all rows, 0 to 1), measure, value, low and
    high. These are NaN where undefined: recall and areas of a class that does not occur, precision
    of one never predicted. ``draws``: resamples, fewer for the average precision of many rows.
    """
    truth, p = label_numbers(table, labels), probabilities_of(table, labels)
    member, drawn = resampled(table["group"], draws)
    groups = drawn.shape[1]
    weights = np.concatenate([np.ones((1, groups)), drawn])  # the sample itself, then the resamples
    own, guess = one_hot(truth, p)
    sums = (recall_sums(truth, p), Sums(mean_share, own * guess, guess), f1_sums(truth, p))
    counted = (each.by_group(member, groups) for each in sums)
    pairs, counts = pairs_of(truth, p, member, groups)
    few = weights[: 1 + max(100, MOST_SUMS // len(truth))]
    precisions = [average_precision(truth == c, s, member, few) for c, s in enumerate(p.T)]
    values = [
        *(shares(weights @ s.parts, weights @ s.totals) for s in counted),
        shares(*pairs_won(pairs, counts, weights)),
        np.stack(precisions, axis=1),
    ]
    estimates = [intervals(measure[0], measure[1:]) for measure in values]
    support = table.drop_duplicates("recording")["label"].value_counts()
    rows = [
        {
            "class": label,
            "recordings": int(support.get(label, 0)),
            "share": (truth == c).mean(),
            "measure": measure,
            **asdict(of_classes[c]),
        }
        for c, label in enumerate(labels)
        for measure, of_classes in zip(MEASURES, estimates, strict=True)
    ]
    return pd.DataFrame(rows)
