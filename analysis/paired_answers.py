"""Two sets of answers to the same recordings, and a metric of both under weightings of the groups.

The rows of both stand below each other, and the groups of the second count as groups of their own,
after those of the first: weights (draws, 2 groups) choose whose answers count.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.run_tables import probability_columns
from analysis.weightings import Values, weighted
from cry_model.evaluation import Estimate
from cry_model.metrics import Array, Labels, interval, resampled

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
        one, other: probabilities, (n, classes).
    """

    labels: Labels
    seeds: NDArray[np.int64]
    member: NDArray[np.int64]
    drawn: Array
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
        member, drawn = resampled(table["group"].tolist(), draws, SEED)
        return cls(
            labels=pd.Categorical(table["label"], categories=list(labels)).codes.astype(np.int64),
            seeds=table["seed"].to_numpy(np.int64),
            member=member,
            drawn=drawn,
            one=table[columns].to_numpy(np.float64),
            other=other[columns].to_numpy(np.float64),
        )

    def difference(self, metric: str) -> Difference:
        """Of one of :data:`analysis.weightings.COMPARED`, over all seeds."""
        return self._difference(self._values(metric))

    def tested_difference(self, metric: str) -> tuple[Difference, float]:
        """The same, and its p-value: the share of swaps that set both at least as far apart.

        A swap exchanges the answers within a group by the toss of a coin, for all of its rows at
        once. The real difference is counted among them.
        """
        values = self._values(metric)
        difference = self._difference(values)
        coins = np.random.default_rng(SEED).integers(2, size=self.drawn.shape).astype(np.float64)
        changed = values(_beside(1 - coins, coins)) - values(_beside(coins, 1 - coins))
        real = abs(difference.estimate.value) - ROUNDING
        return difference, float((1 + (np.abs(changed) >= real).sum()) / (1 + len(changed)))

    def by_seed(self, metric: str) -> dict[int, float]:
        """Seed -> first minus second in its fits alone."""
        found = {}
        for seed in np.unique(self.seeds):
            rows = self.seeds == seed
            first, second = self._of_rows(metric, rows, np.zeros(rows.sum(), np.int64), 1)(
                np.eye(2)  # all rows are one group
            )
            found[int(seed)] = float(first - second)
        return found

    def _difference(self, values: Values) -> Difference:
        nobody, every = np.zeros_like(self.drawn), np.ones((1, self.drawn.shape[1]))
        spread = values(_beside(self.drawn, nobody)) - values(_beside(nobody, self.drawn))
        one = float(values(_beside(every, 0 * every))[0])
        other = float(values(_beside(0 * every, every))[0])
        return Difference(one, other, interval(one - other, spread))

    def _values(self, metric: str) -> Values:
        return self._of_rows(metric, slice(None), self.member, self.drawn.shape[1])

    def _of_rows(
        self,
        metric: str,
        rows: slice | NDArray[np.bool_],
        member: NDArray[np.int64],
        groups: int,
    ) -> Values:
        probabilities = np.concatenate([self.one[rows], self.other[rows]])
        both = np.concatenate([member, member + groups])
        return weighted(metric, np.tile(self.labels[rows], 2), probabilities, both, 2 * groups)


def _beside(weights: Array, other: Array) -> Array:
    return np.concatenate([weights, other], axis=1)
