"""Two systems on the same recordings: the paired difference of a metric, its interval, a test.

The interval resamples whole groups (babies, source recordings), the same for both systems. The test
swaps the answers of both within a group by the toss of a coin, for all of its recordings and seeds
at once: if the systems were alike, that would change nothing (Good 2005, permutation tests).
Neither knows how far another seed of the same fit would differ; ``by_seed`` shows that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from analysis.measured_run import MeasuredRun
from analysis.paired_answers import PairedAnswers
from analysis.pairing import ComparisonError, paired
from analysis.weightings import COMPARED
from cry_model.records import Estimate

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
    """Sets two runs against each other, recording by recording.

    Args:
        one: a run.
        other: another one of the same dataset and protocol, with the same folds.
        metric: one of :data:`analysis.weightings.COMPARED`.
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
    metrics: Sequence[str] = COMPARED,
    seeds: Sequence[int] | None = None,
    draws: int = DRAWS,
) -> tuple[Comparison, ...]:
    """The same by several metrics, for less than the time of each.

    Args:
        one: a run.
        other: another one, as for :func:`compare`.
        metrics: of :data:`analysis.weightings.COMPARED`.
        seeds: only these, which both have; None for all.
        draws: as for :func:`compare`.

    Raises:
        ComparisonError, ResultsError: as :func:`compare`.
    """
    for metric in metrics:
        if metric not in COMPARED:
            known = ", ".join(COMPARED)
            raise ComparisonError(f"'{metric}' cannot be compared; take one of {known}.")
    table, other_table = paired(one, other, seeds)
    answers = PairedAnswers.of(one.labels, table, other_table, draws)
    recordings = table["recording"].nunique()
    return tuple(_comparison(one, other, metric, answers, recordings) for metric in metrics)


def _comparison(
    one: MeasuredRun, other: MeasuredRun, metric: str, answers: PairedAnswers, recordings: int
) -> Comparison:
    difference, p_value = answers.tested_difference(metric)
    return Comparison(
        dataset=one.dataset,
        protocol=one.protocol,
        metric=metric,
        one=one.system,
        other=other.system,
        value_one=difference.one,
        value_other=difference.other,
        difference=difference.estimate,
        p_value=p_value,
        by_seed=answers.by_seed(metric),
        recordings=recordings,
        groups=answers.groups,
    )
