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
import pandas as pd

from analysis.measured_run import MeasuredRun
from analysis.pairing import ComparisonError, paired
from analysis.run_tables import probability_columns
from analysis.weightings import COMPARED, Values, weighted
from cry_model.evaluation import Estimate
from cry_model.metrics import Array, interval, resampled

DRAWS = 2000
SEED = 0
ROUNDING = 1e-12  # two sums of the same counts may differ by this much


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
    if metric not in COMPARED:
        raise ComparisonError(f"'{metric}' cannot be compared; take one of {', '.join(COMPARED)}.")
    table, other_table = paired(one, other, seeds)
    member, drawn = resampled(table["group"].tolist(), draws, SEED)
    values = _values(metric, one.labels, table, other_table, member)
    first, second = values(_beside(drawn, 0 * drawn)), values(_beside(0 * drawn, drawn))
    every = np.ones((1, drawn.shape[1]))
    value = float(values(_beside(every, 0 * every))[0])
    other_value = float(values(_beside(0 * every, every))[0])
    return Comparison(
        dataset=one.dataset,
        protocol=one.protocol,
        metric=metric,
        one=one.system,
        other=other.system,
        value_one=value,
        value_other=other_value,
        difference=interval(value - other_value, first - second),
        p_value=_swapping(values, value - other_value, drawn.shape),
        by_seed=_by_seed(metric, one.labels, table, other_table),
        recordings=table["recording"].nunique(),
        groups=drawn.shape[1],
    )


def _values(
    metric: str,
    labels: Sequence[str],
    table: pd.DataFrame,
    other: pd.DataFrame,
    member: np.ndarray,
) -> Values:
    """The metric of any mixture of both systems' answers.

    The rows of both stand below each other, and the groups of the other system count as groups of
    their own, after those of the first: weights (draws, 2 groups) choose whose answers count.
    """
    groups = int(member.max()) + 1
    columns = probability_columns(labels)
    truth = table["label"].map({label: i for i, label in enumerate(labels)}).to_numpy(np.int64)
    probabilities = np.concatenate([t[columns].to_numpy(np.float64) for t in (table, other)])
    both = np.concatenate([member, member + groups])
    return weighted(metric, np.tile(truth, 2), probabilities, both, 2 * groups)


def _beside(weights: Array, other: Array) -> Array:
    return np.concatenate([weights, other], axis=1)


def _swapping(values: Values, difference: float, shape: tuple[int, ...]) -> float:
    """Share of the swaps that set the systems at least as far apart, the real one counted in."""
    swapped = np.random.default_rng(SEED).integers(2, size=shape).astype(np.float64)
    changed = values(_beside(1 - swapped, swapped)) - values(_beside(swapped, 1 - swapped))
    return float((1 + (np.abs(changed) >= abs(difference) - ROUNDING).sum()) / (1 + len(changed)))


def _by_seed(
    metric: str, labels: Sequence[str], table: pd.DataFrame, other: pd.DataFrame
) -> dict[int, float]:
    found = {}
    for seed in sorted(table["seed"].unique()):
        of_seed = table["seed"] == seed
        nobody = np.zeros(int(of_seed.sum()), dtype=np.int64)  # all rows are one group
        values = _values(metric, labels, table[of_seed], other[of_seed], nobody)
        first, second = values(np.eye(2))
        found[int(seed)] = float(first - second)
    return found
