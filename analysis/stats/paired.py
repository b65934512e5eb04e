"""Pair the answers of two runs to the same recordings, and test how far a metric differs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.stats.runs import MeasuredRun
from cry_model.metrics import (
    METRICS,
    SUMS,
    Array,
    Labels,
    Values,
    by_group,
    interval,
    resampled,
    weighted,
)
from cry_model.records import Estimate
from cry_model.results import label_numbers, probabilities_of, probability_columns


class ComparisonError(ValueError):
    """The runs cannot be set against each other; one sentence says why."""


def paired(
    one: MeasuredRun, other: MeasuredRun, seeds: Sequence[int] | None = None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the recordings of both runs, row for row the same seed and recording.

    Returns:
        Two tables as :attr:`MeasuredRun.recordings`.

    Raises:
        ComparisonError: if the runs are not of the same dataset, protocol, seeds, recordings,
            labels and folds.
        ResultsError: if the predictions of one cannot be read.
    """
    _require_same_task(one, other)
    wanted = _seeds(one, other, seeds)
    first, second = ({row for row in run.tested if row[0] in wanted} for run in (one, other))
    if first != second:
        raise ComparisonError(
            f"{_pair(one, other)} were not tested on the same recordings in the same folds; fit "
            "both on the same data with the same --folds."
        )
    table, other_table = (
        run.recordings[run.recordings["seed"].isin(wanted)].reset_index(drop=True)
        for run in (one, other)
    )
    return table, other_table


def paired_across(loose: MeasuredRun, strict: MeasuredRun) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the recordings of one model under two protocols, row for row the same.

    They may have been tested in other folds, in other pieces and by other fits: that is what the
    protocols differ by.

    Returns:
        Two tables as :attr:`MeasuredRun.recordings`, of the seeds that both have.

    Raises:
        ComparisonError: if they are not of the same dataset, seeds, recordings, groups and labels.
        ResultsError: if the predictions of one cannot be read.
    """
    pair = f"{loose.system} on {loose.dataset}, protocols {loose.protocol} and {strict.protocol},"
    if loose.dataset != strict.dataset or loose.labels != strict.labels:
        raise ComparisonError(f"{pair} has not the same labels; fit both again.")
    seeds = set(loose.seeds) & set(strict.seeds)
    table, other_table = (
        run.recordings[run.recordings["seed"].isin(seeds)].reset_index(drop=True)
        for run in (loose, strict)
    )
    keys = ["seed", "recording", "group", "label"]
    if not seeds or not table[keys].equals(other_table[keys]):
        raise ComparisonError(
            f"{pair} was not tested on the same recordings with the same seeds; fit both on the "
            "same data."
        )
    return table, other_table


def _require_same_task(one: MeasuredRun, other: MeasuredRun) -> None:
    if (one.dataset, one.protocol) != (other.dataset, other.protocol):
        raise ComparisonError(
            f"{one.system} was measured on {one.dataset}, protocol {one.protocol}, and "
            f"{other.system} on {other.dataset}, protocol {other.protocol}; take two runs of the "
            "same."
        )
    if one.labels != other.labels:
        raise ComparisonError(f"{_pair(one, other)} have not the same labels; fit both again.")


def _seeds(one: MeasuredRun, other: MeasuredRun, seeds: Sequence[int] | None) -> list[int]:
    if seeds is None and set(one.seeds) != set(other.seeds):
        raise ComparisonError(
            f"{_pair(one, other)} have not the same seeds ({_list(one.seeds)} and "
            f"{_list(other.seeds)}); name those to compare."
        )
    wanted = set(one.seeds if seeds is None else seeds)
    if not wanted or not wanted <= set(one.seeds) & set(other.seeds):
        raise ComparisonError(
            f"{_pair(one, other)} have not both seed {_list(wanted)}; fit what is missing."
        )
    return sorted(wanted)


def _pair(one: MeasuredRun, other: MeasuredRun) -> str:
    return f"{one.system} and {other.system} on {one.dataset}, protocol {one.protocol},"


def _list(seeds: Iterable[int]) -> str:
    return ", ".join(str(seed) for seed in sorted(seeds)) or "(none)"


def exchanged(
    metric: str,
    labels: Labels,
    one: Array,
    other: Array,
    member: NDArray[np.int64],
    groups: int,
) -> Values:
    """Prepare the difference of a metric between two systems for many exchanges.

    Args:
        metric: one of :data:`cry_model.metrics.METRICS`.
        labels: (n,) class indices.
        one: (n, classes) probabilities of a system.
        other: those of another one, row for row.
        member: (n,) the number of each row's group.
        groups: how many there are.

    Returns:
        Which groups are exchanged, 0 or 1, (draws, groups) -> the metric of the first system less
        that of the second, (draws,).
    """
    if metric == "macro_auc":
        worth = _auc_worth(labels, one, other, member, groups)
        return lambda swapped: (1 - 2 * swapped) @ worth
    combine, parts, totals = SUMS[metric](labels, one).by_group(member, groups)
    _, other_parts, other_totals = SUMS[metric](labels, other).by_group(member, groups)

    def differences(swapped: Array) -> Array:
        moved, all_moved = swapped @ (other_parts - parts), swapped @ (other_totals - totals)
        first = combine(parts.sum(0) + moved, totals.sum(0) + all_moved)
        return first - combine(other_parts.sum(0) - moved, other_totals.sum(0) - all_moved)

    return differences


def _auc_worth(
    labels: Labels, one: Array, other: Array, member: NDArray[np.int64], groups: int
) -> Array:
    """Return what each group adds to the difference while it is not exchanged, (groups,)."""
    defined = [c for c in range(one.shape[1]) if 0 < (labels == c).sum() < len(labels)]
    worth = np.zeros((len(labels), 1))
    for c in defined:
        own = labels == c
        pairs = 2 * own.sum() * (~own).sum()
        wins = _wins(one[:, c], other[:, c], own), _wins(other[:, c], one[:, c], own)
        worth[:, 0] += (wins[0] - wins[1]) / pairs
    return by_group(worth, member, groups)[:, 0] / len(defined)


def _wins(scores: Array, others: Array, own: NDArray[np.bool_]) -> Array:
    """Return how many pairs each row wins against rows of either, ties counting half, (n,)."""
    both, ours = np.concatenate([scores, others]), np.concatenate([own, own])
    positive, negative = np.sort(both[ours]), np.sort(both[~ours])
    above = len(positive) - _below(positive, scores)
    return np.where(own, _below(negative, scores), above)


def _below(ordered: Array, scores: Array) -> Array:
    """Return how many ordered values lie below each score, equal ones counting half."""
    return (ordered.searchsorted(scores) + ordered.searchsorted(scores, "right")) / 2


SEED = 0
ROUNDING = 1e-12  # two sums of the same counts may differ by this much


@dataclass(frozen=True)
class PairedAnswers:
    """Row for row the same seed and recording.

    Attributes:
        labels: class indices, (n,).
        seeds: of the fits, (n,).
        member: the number of each row's group, (n,).
        drawn: how often each repetition drew each group, (draws, groups).
        coins: 1 where a repetition exchanges the answers of a group, else 0, (draws, groups).
        one, other: probabilities, (n, classes).
    """

    labels: Labels
    seeds: NDArray[np.int64]
    member: NDArray[np.int64]
    drawn: Array
    coins: Array
    one: Array
    other: Array

    @classmethod
    def of(
        cls, labels: Sequence[str], table: pd.DataFrame, other: pd.DataFrame, draws: int
    ) -> PairedAnswers:
        """Pair two tables as :attr:`analysis.stats.runs.MeasuredRun.recordings`.

        Args:
            labels: in the order of the columns ``p_<label>``.
            table: a row per seed and recording.
            other: row for row the same seeds, recordings, groups and labels.
            draws: how often groups are resampled, the same for both.
        """
        member, drawn, coins = _drawn(tuple(table["group"]), draws)
        return cls(
            labels=label_numbers(table, labels),
            seeds=table["seed"].to_numpy(np.int64),
            member=member,
            drawn=drawn,
            coins=coins,
            one=probabilities_of(table, labels),
            other=probabilities_of(other, labels),
        )

    def values(
        self, metric: str, rows: slice | NDArray[np.bool_] = slice(None)
    ) -> tuple[float, float]:
        """Return a metric of :data:`cry_model.metrics.METRICS` of each."""
        labels = self.labels[rows]
        alike = np.ones(len(labels))
        one, other = (METRICS[metric](labels, p[rows], alike) for p in (self.one, self.other))
        return one, other

    def difference(self, metric: str) -> Estimate:
        """Return first minus second over all seeds, with its 95% interval over groups."""
        one, other = self.values(metric)
        first, second = (
            weighted(metric, self.labels, p, self.member, self.groups)(self.drawn)
            for p in (self.one, self.other)
        )
        return interval(one - other, first - second)

    def p_value(self, metric: str, difference: float) -> float:
        """Return the share of exchanges that set both at least as far apart as they are.

        An exchange swaps the answers within a group by the toss of a coin, for all of its rows at
        once. The real difference is counted among them.
        """
        values = exchanged(metric, self.labels, self.one, self.other, self.member, self.groups)
        found = np.abs(values(self.coins)) >= abs(difference) - ROUNDING
        return float((1 + found.sum()) / (1 + len(found)))

    def by_seed(self, metric: str) -> dict[int, float]:
        """Return seed -> first minus second in its fits alone."""
        seeds = map(int, np.unique(self.seeds))
        values = {seed: self.values(metric, self.seeds == seed) for seed in seeds}
        return {seed: one - other for seed, (one, other) in values.items()}

    @property
    def groups(self) -> int:
        """How many there are."""
        return self.drawn.shape[1]


@lru_cache(maxsize=8)
def _drawn(groups: tuple[str, ...], draws: int) -> tuple[NDArray[np.int64], Array, Array]:
    """Return the number of each row's group, how often each is drawn, whether it is exchanged."""
    member, drawn = resampled(groups, draws, SEED)
    coins = np.random.default_rng(SEED).integers(2, size=drawn.shape).astype(np.float64)
    return member, drawn, coins


@dataclass(frozen=True)
class McNemar:
    """The recordings of one seed by which of two systems got them right.

    Attributes:
        seed: of both fits.
        both, only_one, only_other, neither: how many.
        p_value: exact and two-sided, of as uneven a division of those that only one got right, if
            either were as likely.
    """

    seed: int
    both: int
    only_one: int
    only_other: int
    neither: int
    p_value: float


def answers(one: MeasuredRun, other: MeasuredRun, seed: int) -> pd.DataFrame:
    """Return the most probable label of each recording of one seed, by both systems.

    Returns:
        Columns recording, group, label, ``one`` and ``other``.

    Raises:
        ComparisonError: if the runs are not of the same task, or one has not this seed.
        ResultsError: if the predictions of one cannot be read.
    """
    table, other_table = paired(one, other, [seed])
    columns, labels = probability_columns(one.labels), np.array(one.labels)
    first, second = (labels[t[columns].to_numpy().argmax(1)] for t in (table, other_table))
    return table[["recording", "group", "label"]].assign(one=first, other=second)


def mcnemar_of(table: pd.DataFrame, seed: int) -> McNemar:
    """Apply McNemar's exact test (1947) to the :func:`answers` of one seed.

    It takes recordings as independent and ignores that several are of one baby, so with groups of
    many recordings its p-value is too small; :func:`analysis.stats.comparison.compare` has one that
    knows them.
    """
    from scipy.stats import binomtest

    right, other_right = table["one"] == table["label"], table["other"] == table["label"]
    only_one, only_other = int((right & ~other_right).sum()), int((~right & other_right).sum())
    differ = only_one + only_other
    return McNemar(
        seed=seed,
        both=int((right & other_right).sum()),
        only_one=only_one,
        only_other=only_other,
        neither=int((~right & ~other_right).sum()),
        p_value=float(binomtest(only_one, differ, 0.5).pvalue) if differ else 1.0,
    )


def flipped_of(table: pd.DataFrame) -> pd.DataFrame:
    """Return those of the :func:`answers` in which the two models differ.

    Returns:
        Its columns, and ``right``: which of them is right, "one", "other" or "neither".
    """
    table = table[table["one"] != table["other"]].reset_index(drop=True)
    right = [table["one"] == table["label"], table["other"] == table["label"]]
    return table.assign(right=np.select(right, ["one", "other"], "neither"))
