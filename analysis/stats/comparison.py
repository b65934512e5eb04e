"""Compare two models on the same recordings: a paired difference, its interval, a test.

The interval resamples whole groups (babies, source recordings), the same for both systems. The test
swaps the answers of both within a group by the toss of a coin, for all of its recordings and seeds
at once: if the systems were alike, that would change nothing (Good 2005, permutation tests).
Neither knows how far another seed of the same fit would differ; ``by_seed`` shows that.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd

from analysis.stats.paired import ComparisonError, PairedAnswers, paired, paired_across
from analysis.stats.runs import PROTOCOLS, MeasuredRun
from cry_model.metrics import METRICS
from cry_model.records import Estimate
from cry_model.registry import list_models
from cry_model.results import label_numbers, probabilities_of

DRAWS = 2000


@dataclass(frozen=True)
class Comparison:
    """One system minus another one under one protocol, scored per recording.

    Attributes:
        dataset, protocol, metric: what was compared.
        one, other: the systems.
        value_one, value_other: the metric of each, pooled over folds and seeds.
        difference: one minus other, with its 95 % interval over groups.
        p_value: of the swaps, two-sided.
        by_seed: seed -> the difference of its fits alone.
        recordings, groups: how many of each.
    """

    dataset: str
    protocol: str
    metric: str
    one: str
    other: str
    value_one: float
    value_other: float
    difference: Estimate
    p_value: float
    by_seed: Mapping[int, float]
    recordings: int
    groups: int

    @property
    def seeds_agree(self) -> int:
        """In how many seeds the difference has the sign of the pooled one."""
        sign = np.sign(self.difference.value)
        return sum(bool(np.sign(value) == sign) for value in self.by_seed.values())


def compare(
    one: MeasuredRun,
    other: MeasuredRun,
    metric: str = "balanced_accuracy",
    seeds: Sequence[int] | None = None,
    draws: int = DRAWS,
) -> Comparison:
    """Compare two runs, recording by recording.

    Args:
        one: a run.
        other: another one of the same dataset and protocol, with the same folds.
        metric: one of :data:`cry_model.metrics.METRICS`.
        seeds: only these, which both have; None for all, which must then be the same.
        draws: how often groups are resampled, and how often answers are swapped.

    Raises:
        ComparisonError: if there is no such metric, or the runs are not of the same dataset,
            protocol, seeds, recordings, labels and folds.
        ResultsError: if the predictions of one cannot be read.
    """
    return compare_all(one, other, (metric,), seeds, draws)[0]


def compare_all(
    one: MeasuredRun,
    other: MeasuredRun,
    metrics: Sequence[str] = tuple(METRICS),
    seeds: Sequence[int] | None = None,
    draws: int = DRAWS,
) -> tuple[Comparison, ...]:
    """Compare two runs by several metrics, for less than the time of each.

    Args:
        one: a run.
        other: another one, as for :func:`compare`.
        metrics: of :data:`cry_model.metrics.METRICS`.
        seeds: only these, which both have; None for all.
        draws: as for :func:`compare`.

    Raises:
        ComparisonError, ResultsError: as :func:`compare`.
    """
    for metric in metrics:
        if metric not in METRICS:
            known = ", ".join(METRICS)
            raise ComparisonError(f"'{metric}' cannot be compared; take one of {known}.")
    table, other_table = paired(one, other, seeds)
    answers = PairedAnswers.of(one.labels, table, other_table, draws)
    recordings = table["recording"].nunique()
    return tuple(_comparison(one, other, metric, answers, recordings) for metric in metrics)


def _comparison(
    one: MeasuredRun, other: MeasuredRun, metric: str, answers: PairedAnswers, recordings: int
) -> Comparison:
    value_one, value_other = answers.values(metric)
    difference = answers.difference(metric)
    return Comparison(
        dataset=one.dataset,
        protocol=one.protocol,
        metric=metric,
        one=one.system,
        other=other.system,
        value_one=value_one,
        value_other=value_other,
        difference=difference,
        p_value=answers.p_value(metric, difference.value),
        by_seed=answers.by_seed(metric),
        recordings=recordings,
        groups=answers.groups,
    )


class FoldScore(NamedTuple):
    """One fit on what it had not learnt from; the value is NaN if that has too few classes."""

    seed: int
    fold: int
    recordings: int
    value: float


def score_of_seeds(run: MeasuredRun, metric: str, seeds: Collection[int]) -> float:
    """Return the metric per recording, pooled over these seeds of a run.

    Raises:
        ResultsError: if the predictions of the run cannot be read.
    """
    return _score(run.recordings[run.recordings["seed"].isin(list(seeds))], run, metric)


def fold_scores(run: MeasuredRun, metric: str) -> tuple[FoldScore, ...]:
    """Return a score for each fold of each seed, per recording; in their order.

    Under the ``clip`` protocol a recording may have pieces in several folds; in each it counts as
    the mean of those that are there.

    Raises:
        ResultsError: if the predictions of the run cannot be read.
    """
    return tuple(
        FoldScore(int(seed), int(fold), len(own), _score(own, run, metric))
        for (seed, fold), own in run.fold_recordings.groupby(["seed", "fold"])
    )


def _score(table: pd.DataFrame, run: MeasuredRun, metric: str) -> float:
    labels, probabilities = label_numbers(table, run.labels), probabilities_of(table, run.labels)
    return METRICS[metric](labels, probabilities, np.ones(len(table)))


@dataclass(frozen=True)
class Leak:
    """One system under two protocols, scored per recording.

    Attributes:
        system: which.
        loose, strict: the protocols.
        lost: the metric under the lax one minus the strict one, with its 95 % interval; the groups
            are resampled, the same for both.
        recordings, groups: how many of each.
        seeds: those that both have.
    """

    system: str
    loose: str
    strict: str
    lost: Estimate
    recordings: int
    groups: int
    seeds: tuple[int, ...]


def leak(loose: MeasuredRun, strict: MeasuredRun, metric: str, draws: int = DRAWS) -> Leak:
    """Pair the recordings of two runs of one model.

    Args:
        loose: the run that may have heard more of what it was tested on.
        strict: the other one.
        metric: one of :data:`cry_model.metrics.METRICS`.
        draws: how often the groups are resampled.

    Raises:
        ComparisonError: as :func:`analysis.stats.paired.paired_across`.
        ResultsError: likewise.
    """
    table, other = paired_across(loose, strict)
    answers = PairedAnswers.of(loose.labels, table, other, draws)
    return Leak(
        system=loose.system,
        loose=loose.protocol,
        strict=strict.protocol,
        lost=answers.difference(metric),
        recordings=table["recording"].nunique(),
        groups=answers.groups,
        seeds=tuple(int(seed) for seed in table["seed"].unique()),
    )


def under_two_splits(runs: Sequence[MeasuredRun]) -> dict[str, tuple[MeasuredRun, MeasuredRun]]:
    """Return system -> its runs under the laxest and the strictest protocol, if it has several.

    Args:
        runs: of one dataset.
    """
    found = {}
    for system in list_models():
        own = sorted(
            (run for run in runs if run.system == system),
            key=lambda run: PROTOCOLS.index(run.protocol),
        )
        if len(own) > 1:
            found[system] = (own[0], own[-1])
    return found
