"""How right the answers are if only the surest are given: accuracy against coverage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.run_tables import label_numbers, probabilities_of
from cry_model.metrics import Array, interval, intervals, resampled
from cry_model.records import Estimate

SHARES = np.arange(1, 101) / 100
"""How much is answered: the surest 1 %, 2 %, ... of the recordings."""
HALF, ALL = 49, 99  # places in it
DRAWN = slice(4, None)  # from 5 % on: fewer answers say nothing
AT_ONCE = 150_000  # weighted rows, so that what they need stays near the processor


@dataclass(frozen=True)
class Coverage:
    """What comes of withholding the least sure answers.

    Attributes:
        accuracy: of the answers that are given, one for each of :data:`SHARES`.
        gain: what the accuracy is higher by if only the surer half is answered.
        error: the mean of 1 - accuracy over :data:`SHARES`: the area under the risk-coverage curve.
        usual: which label is the most frequent one.
        usual_accuracy: how often it would be right on the same recordings, (shares,).
    """

    accuracy: tuple[Estimate, ...]
    gain: Estimate
    error: Estimate
    usual: str
    usual_accuracy: Array


def coverage(
    table: pd.DataFrame, labels: Sequence[str], tempered: Array | None, draws: int = 1000
) -> Coverage:
    """Ranks the answers of all folds and seeds together by their confidence.

    Args:
        table: a row per seed and recording.
        labels: all that can be answered.
        tempered: their probabilities (n, classes) after temperature scaling; None takes those of
            the table.
        draws: how often groups are resampled.
    """
    truth = label_numbers(table, labels)
    probabilities = probabilities_of(table, labels) if tempered is None else tempered
    confidence, right = probabilities.max(1), probabilities.argmax(1) == truth
    member, drawn = resampled(table["group"].tolist(), draws)
    alike = np.ones((1, drawn.shape[1]))
    values = accuracy_of_surest(confidence, right, member, np.concatenate([alike, drawn]))
    value, redrawn = values[0], values[1:]
    usual = int(np.bincount(truth).argmax())
    return Coverage(
        accuracy=intervals(value, redrawn),
        gain=interval(value[HALF] - value[ALL], redrawn[:, HALF] - redrawn[:, ALL]),
        error=interval(1 - value.mean(), 1 - redrawn.mean(1)),
        usual=labels[usual],
        usual_accuracy=accuracy_of_surest(confidence, truth == usual, member, alike)[0],
    )


def accuracy_of_surest(confidence: Array, right: Array, member: Array, weights: Array) -> Array:
    """The accuracy of the surest answers, for weights (draws, groups): (draws, shares).

    Of answers that are equally sure each counts in part if not all of them are given, so that the
    order of the rows says nothing.

    Args:
        confidence: (n,).
        right: (n,) whether, or how probably, an answer is right.
        member: (n,) the number of each row's group.
        weights: how often each group counts.
    """
    order = np.argsort(-confidence, kind="stable")
    member, right = member[order], right[order, None]
    _, rows = np.unique(-confidence, return_counts=True)
    levels = np.append(0, rows.cumsum())
    parts = [
        _at_shares(*(_cumulated(part)[levels] for part in (own, own * right)))
        for own in (columns[member] for columns in _in_chunks(weights, len(member)))
    ]
    return np.concatenate(parts)


def _at_shares(given: Array, right: Array) -> Array:
    """Of what is given and right up to each level (levels, draws), the accuracy (draws, shares)."""
    given, right = np.ascontiguousarray(given.T), np.ascontiguousarray(right.T)
    wanted = given[:, -1:] * SHARES
    apart = 2 * given.max() * np.arange(len(given))[:, None]  # draws behind each other on one axis
    given += apart
    return np.interp(wanted + apart, given.ravel(), right.ravel()) / wanted


def _in_chunks(weights: Array, rows: int) -> list[Array]:
    """Weights (draws, groups) as columns (groups, some draws), for so many rows at once."""
    chunks = max(1, min(len(weights), len(weights) * rows // AT_ONCE))
    return [np.ascontiguousarray(part.T) for part in np.array_split(weights, chunks)]


def _cumulated(weights: Array) -> Array:
    """The weight of the first 0, 1, ... rows: (n, draws) -> (n + 1, draws)."""
    sums = np.zeros((len(weights) + 1, weights.shape[1]))
    np.cumsum(weights, axis=0, out=sums[1:])
    return sums
