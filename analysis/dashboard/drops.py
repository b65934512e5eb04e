"""What a system loses with each of its modules, as paired differences."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from analysis.ablation_figure import WITHOUT
from analysis.claims import holm
from analysis.comparison import Comparison, compare
from analysis.measured_run import MeasuredRun
from analysis.pairing import ComparisonError
from analysis.paper import FULL
from cry_model.records import Estimate

DRAWS = 1000
"""As many as for the interval of a single score; half of what the page of findings takes."""


@dataclass(frozen=True)
class Drop:
    """The improved system beside the one that lacks a module.

    Attributes:
        comparison: improved minus ablation, over the seeds that both have.
        corrected: its p-value after Holm's correction over the drops of the cell.
    """

    comparison: Comparison
    corrected: float

    @property
    def system(self) -> str:
        """Which system lacks the module."""
        return self.comparison.other

    @property
    def difference(self) -> Estimate:
        """Improved minus ablation."""
        return self.comparison.difference

    @property
    def excludes_zero(self) -> bool:
        """Whether the interval lies on one side of zero."""
        return self.difference.low > 0 or self.difference.high < 0


@dataclass(frozen=True)
class Drops:
    """Those of one cell by one metric.

    Attributes:
        found: of each ablation that can be compared, in the order of the registry.
        reasons: why others cannot, a sentence each.
    """

    found: tuple[Drop, ...]
    reasons: tuple[str, ...] = ()


def drops_of(runs: Mapping[str, MeasuredRun], metric: str, draws: int = DRAWS) -> Drops:
    """Compares the improved system with each ablation that was run.

    Args:
        runs: system -> its run, all of one cell, the improved system among them.
        metric: one of :data:`analysis.weightings.COMPARED`.
        draws: how often groups are resampled, and how often answers are swapped.

    Raises:
        ResultsError: if the predictions of a run cannot be read.
    """
    full, compared, reasons = runs[FULL], [], []
    for system in (name for name in WITHOUT if name in runs):
        seeds = sorted(set(full.seeds) & set(runs[system].seeds))
        try:
            compared.append(compare(full, runs[system], metric, seeds, draws))
        except ComparisonError as error:
            reasons.append(str(error))
    corrected = holm([comparison.p_value for comparison in compared])
    return Drops(tuple(map(Drop, compared, corrected)), tuple(reasons))
