"""Compare confidence with accuracy, before and after temperature scaling."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd

from analysis.stats.runs import MeasuredRun, ResultsError
from cry_model.calibration import apply_temperature, crossed_temperatures
from cry_model.metrics import (
    BINS,
    Array,
    Labels,
    bin_of,
    by_group,
    interval,
    intervals,
    numbered,
    resampled,
    shares,
)
from cry_model.records import Estimate
from cry_model.results import label_numbers, probabilities_of


def reliability(
    labels: Labels, probabilities: Array, groups: Sequence[str], draws: int = 1000
) -> pd.DataFrame:
    """Hold accuracy against confidence in bins of equal width; every row counts once.

    A row for each bin; columns bin_from, bin_to, answers (how many), confidence (their mean, NaN
    without any), accuracy (the share of them that is right), low and high. ``labels``: (n,) class
    indices; ``probabilities``: (n, classes); ``groups``: of the rows, n; ``draws``: how often
    groups are resampled.
    """
    member, drawn = resampled(groups, draws)
    confidence, right = probabilities.max(1), probabilities.argmax(1) == labels
    bins = np.eye(BINS)[bin_of(confidence)]
    weights = np.concatenate([np.ones((1, drawn.shape[1])), drawn])  # as they are, then the draws
    answers, sure, hits = (
        weights @ by_group(bins * column[:, None], member, drawn.shape[1])
        for column in (np.ones(len(right)), confidence, right)
    )
    accuracy, edges = shares(hits, answers), np.arange(BINS + 1) / BINS
    return pd.DataFrame(
        {
            "bin_from": edges[:-1],
            "bin_to": edges[1:],
            "answers": answers[0].astype(int),
            "confidence": shares(sure, answers)[0],
        }
    ).join(_table(accuracy[0], accuracy[1:]))


def _table(value: Array, draws: Array) -> pd.DataFrame:
    """Return accuracies (n,) with the intervals of their draws (draws, n)."""
    rows = map(asdict, intervals(value, draws))
    return pd.DataFrame(rows).rename(columns={"value": "accuracy"})


def scaled(run: MeasuredRun) -> Array | None:
    """Return probabilities of recordings, each divided by a temperature that it had no part in.

    That of a fold is fitted on the recordings of all groups that have none in it, of every seed.
    None with random segments, whose folds share all recordings. Raise ResultsError if the
    predictions cannot be read, or a recording is in several folds.
    """
    if run.protocol == "clip":
        return None
    folds = run.predictions.groupby(["seed", "recording"])["fold"].agg(["min", "max"])
    if (folds["min"] != folds["max"]).any():
        raise ResultsError(
            "The predictions have pieces of one recording in several folds, which happens under "
            "the protocol clip alone; fit the run again."
        )
    of_fold = folds.reset_index().groupby(["seed", "min"]).indices.values()
    probabilities = probabilities_of(run.recordings, run.labels)
    targets = np.eye(len(run.labels))[label_numbers(run.recordings, run.labels)]
    member = numbered(run.recordings["group"])
    temperatures = crossed_temperatures(probabilities, targets, member, of_fold)
    return apply_temperature(probabilities, temperatures[:, None])


SHARES = np.arange(1, 101) / 100
"""How much is answered: the surest 1 %, 2 %, ... of the recordings."""
HALF, ALL = 49, 99
"""Rows of a curve: the surer half, and all."""


@dataclass(frozen=True)
class Coverage:
    """What comes of withholding the least sure answers."""

    # a row for each of :data:`SHARES`; columns answered (which), accuracy (of the answers that are
    # given), low, high and always_the_most_frequent: the accuracy of that label on the same
    # recordings
    curve: pd.DataFrame
    gain: Estimate  # what the accuracy is higher by if only the surer half is answered
    # the mean of 1 - accuracy over :data:`SHARES`: the area under the risk-coverage curve
    error: Estimate
    usual: str  # which label is the most frequent one


def coverage(
    table: pd.DataFrame, labels: Sequence[str], probabilities: Array, draws: int = 1000
) -> Coverage:
    """Rank the answers of all folds and seeds together by their confidence.

    ``table``: a row per seed and recording; ``labels``: all that can be answered;
    ``probabilities``: of the rows, (n, classes); ``draws``: how often groups are resampled; of more
    than 20,000 rows less often, down to 100.
    """
    truth, draws = label_numbers(table, labels), min(draws, max(100, 20_000_000 // len(table)))
    confidence, right = probabilities.max(1), probabilities.argmax(1) == truth
    member, drawn = resampled(table["group"], draws)
    alike, usual = np.ones((1, drawn.shape[1])), int(np.bincount(truth).argmax())
    values = accuracy_of_surest(confidence, right, member, np.concatenate([alike, drawn]))
    value, redrawn = values[0], values[1:]
    constant = accuracy_of_surest(confidence, truth == usual, member, alike)[0]
    curve = pd.DataFrame({"answered": SHARES}).join(_table(value, redrawn))
    return Coverage(
        curve=curve.assign(always_the_most_frequent=constant),
        gain=interval(value[HALF] - value[ALL], redrawn[:, HALF] - redrawn[:, ALL]),
        error=interval(1 - value.mean(), 1 - redrawn.mean(1)),
        usual=labels[usual],
    )


def accuracy_of_surest(confidence: Array, right: Array, member: Labels, weights: Array) -> Array:
    """Return the accuracy of the surest answers, for weights (draws, groups): (draws, shares).

    Of answers that are equally sure each counts in part if not all of them are given, so that the
    order of the rows says nothing. ``confidence``: (n,); ``right``: (n,) whether an answer is
    right; ``member``: (n,) the number of each row's group; ``weights``: how often each group
    counts.
    """
    order = np.argsort(-confidence, kind="stable")
    member, right = member[order], right[order]
    levels = np.append(0, np.flatnonzero(np.diff(confidence[order], append=-1)) + 1)
    found = []
    for each in weights:  # one by one: all at once do not fit near the processor, and take longer
        own = each[member]
        given, hits = (np.append(0, column.cumsum())[levels] for column in (own, own * right))
        wanted = given[-1] * SHARES
        found.append(np.interp(wanted, given, hits) / wanted)
    return np.stack(found)
