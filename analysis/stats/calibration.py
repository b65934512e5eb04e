"""Compare confidence with accuracy, before and after temperature scaling."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.stats.runs import MeasuredRun, ResultsError
from cry_model.calibration import apart, apply_temperature, fit_temperature, group_weights
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
    """Compute accuracy against confidence in bins of equal width; every row counts once.

    Return a row per bin with columns bin_from, bin_to, answers (count), confidence (mean, NaN
    without answers), accuracy (share of right answers), low and high. ``labels``: (n,) class
    indices; ``probabilities``: (n, classes); ``groups``: (n,).
    """
    member, drawn = resampled(groups, draws)
    confidence, right = probabilities.max(1), probabilities.argmax(1) == labels
    bins = np.eye(BINS)[bin_of(confidence)]
    weights = np.concatenate([np.ones((1, drawn.shape[1])), drawn])  # sample, then resamples
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
    """Return accuracies (n,) with intervals from their bootstrap draws (draws, n)."""
    rows = map(asdict, intervals(value, draws))
    return pd.DataFrame(rows).rename(columns={"value": "accuracy"})


def scaled(run: MeasuredRun) -> Array | None:
    """Return the probabilities of recordings after cross-fitted temperature scaling.

    The temperature of a fold is fitted on all groups without a recording in it, over all seeds.
    None with random segments, whose folds share all recordings. Raise ResultsError if the
    predictions cannot be read, or a recording is in several folds.
    """
    if run.protocol == "clip":
        return None
    folds = run.predictions.groupby(["seed", "recording"])["fold"].agg(["min", "max"])
    if (folds["min"] != folds["max"]).any():
        raise ResultsError(
            "The predictions have pieces of one recording in several folds, which only "
            "the protocol clip allows; fit the run again."
        )
    of_fold = folds.reset_index().groupby(["seed", "min"]).indices.values()
    probabilities = probabilities_of(run.recordings, run.labels)
    targets = np.eye(len(run.labels))[label_numbers(run.recordings, run.labels)]
    member = numbered(run.recordings["group"])
    temperatures = crossed_temperatures(probabilities, targets, member, of_fold)
    return apply_temperature(probabilities, temperatures[:, None])


def crossed_temperatures(
    probabilities: Array,
    targets: Array,
    groups: NDArray[np.str_],
    folds: Iterable[NDArray[np.int64]],
) -> Array:
    """Return cross-fitted temperatures, each row's from groups without a recording in its fold;
    ``groups``: (n,); ``folds``: the row numbers of each."""
    found = np.empty(len(probabilities))
    for held_out, others in apart(groups, folds):
        rows = probabilities[others], targets[others]
        found[held_out] = fit_temperature(*rows, group_weights(groups[others]))
    return found


SHARES = np.arange(1, 101) / 100
"""Coverages: the most confident 1 %, 2 %, ... of the recordings."""
HALF, ALL = 49, 99
"""Rows of a curve: the more confident half, and all recordings."""


@dataclass(frozen=True)
class Coverage:
    """Store the effect of withholding the least confident answers."""

    # a row for each of SHARES; columns answered (the share), accuracy (of the given answers), low,
    # high and always_the_most_frequent: the accuracy of that label on the same recordings
    curve: pd.DataFrame
    gain: Estimate  # accuracy gained by answering only the more confident half
    error: Estimate  # the mean of 1 - accuracy over SHARES: area under the risk-coverage curve
    usual: str  # the most frequent label


def coverage(
    table: pd.DataFrame, labels: Sequence[str], probabilities: Array, draws: int = 1000
) -> Coverage:
    """Rank the answers of all folds and seeds together by confidence; ``table``: (n) rows;
    ``probabilities``: (n, classes); ``draws``: reduced above 20,000 rows, down to 100."""
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
    """Return the accuracy of the most confident answers for each weighting, (draws, shares).

    Equally confident answers count in part if not all of them are given, so that the order of the
    rows does not matter. ``confidence``, ``right``: (n,); ``member``: (n,) the index of each row's
    group; ``weights``: (draws, groups) how often each group counts.
    """
    order = np.argsort(-confidence, kind="stable")
    member, right = member[order], right[order]
    levels = np.append(0, np.flatnonzero(np.diff(confidence[order], append=-1)) + 1)
    found = []
    for each in weights:  # one at a time: all at once exceed the CPU cache and take longer
        own = each[member]
        given, hits = (np.append(0, column.cumsum())[levels] for column in (own, own * right))
        wanted = given[-1] * SHARES
        found.append(np.interp(wanted, given, hits) / wanted)
    return np.stack(found)
