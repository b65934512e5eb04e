"""Two sets of answers to the same recordings, and how far a metric sets them apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache, partial

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.run_tables import probability_columns
from analysis.swaps import exchanged
from analysis.weightings import weighted
from cry_model.metrics import METRICS, Array, Labels, interval, resampled
from cry_model.records import Estimate

SEED = 0
ROUNDING = 1e-12  # two sums of the same counts may differ by this much


@dataclass(frozen=True)
class Difference:
    """The metric of each, and first minus second with its 95 % interval over groups."""

    one: float
    other: float
    estimate: Estimate


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
        """Out of two tables as :attr:`analysis.measured_run.MeasuredRun.recordings`.

        Args:
            labels: in the order of the columns ``p_<label>``.
            table: a row per seed and recording.
            other: row for row the same seeds, recordings, groups and labels.
            draws: how often groups are resampled, the same for both.
        """
        columns = probability_columns(labels)
        member, drawn, coins = _drawn(tuple(table["group"]), draws)
        return cls(
            labels=pd.Categorical(table["label"], categories=list(labels)).codes.astype(np.int64),
            seeds=table["seed"].to_numpy(np.int64),
            member=member,
            drawn=drawn,
            coins=coins,
            one=table[columns].to_numpy(np.float64),
            other=other[columns].to_numpy(np.float64),
        )

    def difference(self, metric: str) -> Difference:
        """Of one of :data:`analysis.weightings.COMPARED`, over all seeds."""
        of = partial(weighted, metric, self.labels, member=self.member, groups=self.groups)
        one, other = (self._value(metric, answers) for answers in (self.one, self.other))
        spread = of(self.one)(self.drawn) - of(self.other)(self.drawn)
        return Difference(one, other, interval(one - other, spread))

    def tested_difference(self, metric: str) -> tuple[Difference, float]:
        """The same, and its p-value: the share of swaps that set both at least as far apart.

        A swap exchanges the answers within a group by the toss of a coin, for all of its rows at
        once. The real difference is counted among them.
        """
        difference = self.difference(metric)
        values = exchanged(metric, self.labels, self.one, self.other, self.member, self.groups)
        changed = values(self.coins)
        real = abs(difference.estimate.value) - ROUNDING
        return difference, float((1 + (np.abs(changed) >= real).sum()) / (1 + len(changed)))

    def by_seed(self, metric: str) -> dict[int, float]:
        """Seed -> first minus second in its fits alone."""
        found = {}
        for seed in np.unique(self.seeds):
            rows = self.seeds == seed
            one, other = (self._value(metric, answers, rows) for answers in (self.one, self.other))
            found[int(seed)] = one - other
        return found

    @property
    def groups(self) -> int:
        """How many there are."""
        return self.drawn.shape[1]

    def _value(
        self, metric: str, answers: Array, rows: slice | NDArray[np.bool_] = slice(None)
    ) -> float:
        labels = self.labels[rows]
        return METRICS[metric](labels, answers[rows], np.ones(len(labels)))


@lru_cache(maxsize=8)
def _drawn(groups: tuple[str, ...], draws: int) -> tuple[NDArray[np.int64], Array, Array]:
    """The number of each row's group, how often each is drawn, and whether it is exchanged."""
    member, drawn = resampled(groups, draws, SEED)
    coins = np.random.default_rng(SEED).integers(2, size=drawn.shape).astype(np.float64)
    return member, drawn, coins
