"""Compare confidence with accuracy, before and after temperature scaling."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.stats.recordings import ResultsError
from cry_model.calibration import apply_temperature, crossed_temperatures
from cry_model.metrics import (
    BINS,
    Array,
    Labels,
    bin_of,
    by_group,
    interval,
    intervals,
    resampled,
    shares,
)
from cry_model.records import Estimate
from cry_model.results import label_numbers, probabilities_of


@dataclass(frozen=True)
class Reliability:
    """Accuracy against confidence, in bins of equal width.

    Attributes:
        answers: how many are in each bin, (bins,).
        confidence: their mean, (bins,); NaN in an empty bin.
        accuracy: the share of them that is right, with its interval, one for each bin.
        error: the expected calibration error: the mean gap between both, over all answers.
        excess: mean confidence less accuracy of all answers.
        errors: the error of each draw of groups, for differences: (draws,).
    """

    answers: Array
    confidence: Array
    accuracy: tuple[Estimate, ...]
    error: Estimate
    excess: Estimate
    errors: Array

    def less(self, other: Reliability) -> Estimate:
        """Return the error of this less that of the other, of the same recordings."""
        difference = self.error.value - other.error.value
        return interval(difference, self.errors - other.errors)


def reliability(
    labels: Labels, probabilities: Array, groups: Sequence[str], draws: int = 1000
) -> Reliability:
    """Count answers in bins; every row counts once.

    Args:
        labels: (n,) class indices.
        probabilities: (n, classes).
        groups: of the rows, n.
        draws: how often groups are resampled.
    """
    member, drawn = resampled(groups, draws)
    confidence, right = probabilities.max(1), probabilities.argmax(1) == labels
    bins = np.eye(BINS)[bin_of(confidence)]
    weights = np.concatenate([np.ones((1, drawn.shape[1])), drawn])  # as they are, then the draws
    answers, sure, hits = (
        weights @ by_group(bins * column[:, None], member, drawn.shape[1])
        for column in (np.ones(len(right)), confidence, right)
    )
    total = answers.sum(1)
    errors = np.abs(sure - hits).sum(1) / total
    excess = (sure - hits).sum(1) / total
    accuracy = shares(hits, answers)
    return Reliability(
        answers=answers[0],
        confidence=shares(sure, answers)[0],
        accuracy=intervals(accuracy[0], accuracy[1:]),
        error=interval(float(errors[0]), errors[1:]),
        excess=interval(float(excess[0]), excess[1:]),
        errors=errors[1:],
    )


def scaled(pieces: pd.DataFrame, recordings: pd.DataFrame, labels: Sequence[str]) -> Array:
    """Return the probabilities of recordings, each divided by a temperature that it had no part in.

    That of a fold is fitted on the recordings of all groups that have none in it, of every seed.

    Args:
        pieces: predictions, a row per piece.
        recordings: the means of theirs, sorted by seed and recording.
        labels: in the order of the probabilities.

    Raises:
        ResultsError: if a recording is in several folds.
    """
    folds = pieces.groupby(["seed", "recording"])["fold"].agg(["min", "max"])
    if (folds["min"] != folds["max"]).any():
        raise ResultsError(
            "The predictions have pieces of one recording in several folds, which happens under "
            "the protocol clip alone; fit the run again."
        )
    of_fold = folds.reset_index().groupby(["seed", "min"]).indices.values()
    probabilities = probabilities_of(recordings, labels)
    targets = np.eye(len(labels))[label_numbers(recordings, labels)]
    _, member = np.unique(recordings["group"], return_inverse=True)
    temperatures = crossed_temperatures(probabilities, targets, member, of_fold)
    return apply_temperature(probabilities, temperatures[:, None])


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
    table: pd.DataFrame, labels: Sequence[str], scaled: Array | None, draws: int = 1000
) -> Coverage:
    """Ranks the answers of all folds and seeds together by their confidence.

    Args:
        table: a row per seed and recording.
        labels: all that can be answered.
        scaled: their probabilities (n, classes) after temperature scaling; None takes those of
            the table.
        draws: how often groups are resampled.
    """
    truth = label_numbers(table, labels)
    probabilities = probabilities_of(table, labels) if scaled is None else scaled
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
    """Return the accuracy of the surest answers, for weights (draws, groups): (draws, shares).

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
    """Return the weight of the first 0, 1, ... rows: (n, draws) -> (n + 1, draws)."""
    sums = np.zeros((len(weights) + 1, weights.shape[1]))
    np.cumsum(weights, axis=0, out=sums[1:])
    return sums
