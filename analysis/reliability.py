"""Whether probabilities are as sure as they are right, before and after temperature scaling."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.run_tables import ResultsError, label_numbers, probabilities_of
from analysis.weightings import by_group, shares
from cry_model.calibration import crossed_temperatures, temper
from cry_model.metrics import BINS, Array, Labels, bin_of, interval, intervals, resampled
from cry_model.records import Estimate


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
        """The error of this less that of the other, of the same recordings."""
        difference = self.error.value - other.error.value
        return interval(difference, self.errors - other.errors)


def reliability(
    labels: Labels, probabilities: Array, groups: Sequence[str], draws: int = 1000
) -> Reliability:
    """Counts answers in bins; every row counts once.

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


def tempered(pieces: pd.DataFrame, recordings: pd.DataFrame, labels: Sequence[str]) -> Array:
    """The probabilities of recordings, each divided by a temperature that it had no part in.

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
    return temper(probabilities, temperatures[:, None])
