"""Compare two models on the same recordings: paired difference, its interval, and a test.

The bootstrap resamples whole groups (babies, source recordings), the same for both systems. The
permutation test swaps both systems' answers to a group at random, for all of its recordings and
seeds at once. Under the null hypothesis this changes nothing (Good 2005, permutation tests).
Neither accounts for the variation between seeds of the same fit; ``by_seed`` shows that.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.stats.runs import MeasuredRun, ResultsError
from cry_model.metrics import (
    METRICS,
    SUMS,
    Array,
    Labels,
    bootstrap_difference,
    by_group,
    resampled,
)
from cry_model.records import Estimate
from cry_model.results import label_numbers, probabilities_of, recording_means

DRAWS = 2000
SEED = 0
ROUNDING = 1e-12  # sums of the same counts may differ by this much


class ComparisonError(ResultsError):
    """Report that two runs cannot be compared; one sentence says why."""


@dataclass(frozen=True)
class Comparison:
    """Store the difference between two systems on one metric, scored per recording."""

    metric: str
    one: str  # the names of the systems
    other: str
    value_one: float  # the metric of each, pooled over folds and seeds
    value_other: float
    difference: Estimate  # one minus other, with its 95% interval over groups
    p_value: float  # of the permutation test, two-sided
    by_seed: Mapping[int, float]  # seed -> the difference on that seed alone

    @property
    def seeds_agree(self) -> int:
        """Return in how many seeds the difference has the sign of the pooled one."""
        sign = np.sign(self.difference.value)
        return sum(bool(np.sign(value) == sign) for value in self.by_seed.values())


@dataclass(frozen=True, eq=False)
class PairedRuns:
    """Store two runs, aligned by row: the same seed and recording."""

    one: str  # the names of the systems
    other: str
    labels: tuple[str, ...]  # in the order of the probabilities
    table: pd.DataFrame  # seed, recording, group and label of each row
    first: Array  # probabilities of each system, (n, classes)
    second: Array
    draws: int  # number of bootstrap resamples, and of permutations

    @cached_property
    def truth(self) -> Labels:
        """Return class indices, (n,)."""
        return label_numbers(self.table, self.labels)

    @cached_property
    def swaps(self) -> tuple[NDArray[np.int64], Array]:
        """Return the index of each row's group, (n,), and the swaps of each permutation, 0 or 1,
        (draws, groups)."""
        member, drawn = resampled(self.table["group"], self.draws)
        coins = np.random.default_rng(SEED).integers(2, size=drawn.shape).astype(np.float64)
        return member, coins

    @property
    def seeds(self) -> tuple[int, ...]:
        return tuple(map(int, self.table["seed"].unique()))

    @property
    def recordings(self) -> int:
        return self.table["recording"].nunique()

    @property
    def groups(self) -> int:
        return self.table["group"].nunique()

    def values(self, metric: str, rows: slice | NDArray[np.bool_] = slice(None)) -> list[float]:
        """Return a metric of :data:`cry_model.metrics.METRICS` for each system."""
        truth = self.truth[rows]
        return [METRICS[metric](truth, p[rows]) for p in (self.first, self.second)]

    def difference(self, metric: str) -> Estimate:
        """Return first minus second over all seeds, with its 95% interval over groups."""
        groups = self.table["group"]
        return bootstrap_difference(metric, self.truth, self.first, self.second, groups, self.draws)

    def exchanged(self, metric: str) -> Array:
        """Return the difference under each permutation's swaps, (draws,)."""
        member, swapped = self.swaps
        groups = swapped.shape[1]
        if metric == "macro_auc":
            return (1 - 2 * swapped) @ by_group(self._auc_worth(), member, groups)[:, 0]
        sums = (SUMS[metric](self.truth, p) for p in (self.first, self.second))
        (combine, parts, totals), (_, other_parts, other_totals) = (
            own.by_group(member, groups) for own in sums
        )
        moved, all_moved = swapped @ (other_parts - parts), swapped @ (other_totals - totals)
        first = combine(parts.sum(0) + moved, totals.sum(0) + all_moved)
        return first - combine(other_parts.sum(0) - moved, other_totals.sum(0) - all_moved)

    def _auc_worth(self) -> Array:
        """Return each row's contribution to the difference while it is not swapped, (n, 1).

        It is the mean over classes of half of the pairs that the row wins by the first system,
        minus those by the second, against the rows of both; ties count half.
        """
        from scipy.stats import rankdata

        present = [self.truth == c for c in range(len(self.labels))]
        defined = [c for c, own in enumerate(present) if own.any() and not own.all()]
        worth = np.zeros((len(self.truth), 1))
        for c in defined:
            own, scores = np.tile(present[c], 2), np.append(self.first[:, c], self.second[:, c])
            ranks, wins = rankdata(scores), np.empty(len(scores))
            wins[own] = ranks[own] - rankdata(scores[own])  # rows of other classes ranked below
            wins[~own] = own.sum() - ranks[~own] + rankdata(scores[~own])
            first, second = np.split(wins, 2)
            worth[:, 0] += 2 * (first - second) / (own.sum() * (~own).sum())
        return worth / len(defined)

    def compare(self, metric: str) -> Comparison:
        """Compare by one metric; the observed difference counts as one of the permutations."""
        difference = self.difference(metric)
        beyond = (np.abs(self.exchanged(metric)) >= abs(difference.value) - ROUNDING).sum()
        seeds = self.table["seed"].to_numpy()
        return Comparison(
            metric,
            self.one,
            self.other,
            *self.values(metric),
            difference,
            p_value=float((1 + beyond) / (1 + self.draws)),
            by_seed={s: float(np.subtract(*self.values(metric, seeds == s))) for s in self.seeds},
        )

    @property
    def answers(self) -> pd.DataFrame:
        """Return the rows with each system's most probable label, as ``run_a`` and ``run_b``."""
        a, b = (np.array(self.labels)[p.argmax(1)] for p in (self.first, self.second))
        return self.table.assign(run_a=a, run_b=b)


def pair(
    one: MeasuredRun, other: MeasuredRun, seeds: Collection[int] | None = None, draws: int = DRAWS
) -> PairedRuns:
    """Pair two models under one protocol, or one model under two, whose folds, pieces and fits
    then differ.

    Raise ComparisonError if the runs share none of these seeds (None: all common ones), or differ
    in dataset, labels, recordings, groups or, under one protocol, folds; ResultsError if the
    predictions of one cannot be read.
    """
    both = " and ".join("/".join((r.dataset, r.protocol, r.system)) for r in (one, other))
    if one.dataset != other.dataset or one.labels != other.labels:
        raise ComparisonError(f"{both} do not have the same labels; fit both on the same data.")
    common = set(one.seeds) & set(other.seeds) & set(one.seeds if seeds is None else seeds)
    if not common:
        raise ComparisonError(f"{both} have no seed in common; fit what is missing.")
    keys, folds = ["seed", "recording", "group", "label"], ""
    if one.protocol == other.protocol:
        keys, folds = [*keys, "fold"], " in the same folds"
    tested = (run.predictions[run.predictions["seed"].isin(common)] for run in (one, other))
    rows, other_rows = (set(own[keys].itertuples(index=False, name=None)) for own in tested)
    if rows != other_rows:
        raise ComparisonError(
            f"{both} were not tested on the same recordings{folds}; fit both on the same data with "
            "the same --folds."
        )
    table, other_table = (
        run.recordings[run.recordings["seed"].isin(common)] for run in (one, other)
    )
    return PairedRuns(
        one=one.system,
        other=other.system,
        labels=one.labels,
        table=table[["seed", "recording", "group", "label"]].reset_index(drop=True),
        first=probabilities_of(table, one.labels),
        second=probabilities_of(other_table, one.labels),
        draws=draws,
    )


def scores_by(run: MeasuredRun, metric: str, *keys: str) -> pd.DataFrame:
    """Score each seed, or each fold of each seed (``keys``), per recording: its mean over the
    pieces there; NaN if there are too few classes. Raise ResultsError if these cannot be read."""
    table = recording_means(run.predictions, run.labels, by=keys)
    rows = []
    for key, own in table.groupby(list(keys)):
        truth, p = label_numbers(own, run.labels), probabilities_of(own, run.labels)
        rows.append((*key, METRICS[metric](truth, p)))
    return pd.DataFrame(rows, columns=[*keys, "value"])


def holm(p_values: Sequence[float]) -> list[float]:
    """Correct p-values by Holm's step-down method (1979), in the given order."""
    values, order = np.array(p_values), np.argsort(p_values)
    steps = values[order] * np.arange(len(values), 0, -1)
    values[order] = np.minimum(1, np.maximum.accumulate(steps))
    return values.tolist()


def disagreements(answers: pd.DataFrame) -> pd.DataFrame:
    """Return the :attr:`PairedRuns.answers` that differ, and which is ``right``: "run_a", "run_b"
    or "neither"."""
    table = answers[answers["run_a"] != answers["run_b"]].reset_index(drop=True)
    right = [table["run_a"] == table["label"], table["run_b"] == table["label"]]
    return table.assign(right=np.select(right, ["run_a", "run_b"], "neither"))


def mcnemar_tests(answers: pd.DataFrame) -> pd.DataFrame:
    """Apply McNemar's exact test (1947) to the :attr:`PairedRuns.answers` of each seed.

    It assumes independent recordings, although a baby may have several; with large groups its
    p-value is too small. Return a row per seed: counts of recordings, and p_mcnemar, the exact
    two-sided probability of a split at least as uneven of those that only one model got right.
    """
    from scipy.stats import binomtest

    a, b = (answers[name] == answers["label"] for name in ("run_a", "run_b"))
    counts = {
        "both_right": a & b,
        "only_a_right": a & ~b,
        "only_b_right": ~a & b,
        "neither_right": ~(a | b),
    }
    tests = pd.DataFrame(counts).groupby(answers["seed"]).sum().reset_index()
    only = zip(tests["only_a_right"], tests["only_b_right"], strict=True)
    tests["p_mcnemar"] = [binomtest(n, n + m, 0.5).pvalue if n + m else 1.0 for n, m in only]
    return tests
