"""What a system loses from a lax split to a strict one, on the same recordings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from analysis.measured_run import MeasuredRun
from analysis.paired_answers import PairedAnswers
from analysis.pairing import paired_across
from analysis.runs import PROTOCOLS
from cry_model.records import Estimate
from cry_model.registry import list_models

DRAWS = 1000


@dataclass(frozen=True)
class Leak:
    """One system under two protocols, scored per recording.

    Attributes:
        system: which.
        lax, strict: the protocols.
        lost: the metric under the lax one minus the strict one, with its 95 % interval; the groups
            are resampled, the same for both.
        recordings, groups: how many of each.
        seeds: those that both have.
    """

    system: str
    lax: str
    strict: str
    lost: Estimate
    recordings: int
    groups: int
    seeds: tuple[int, ...]


def leak(lax: MeasuredRun, strict: MeasuredRun, metric: str, draws: int = DRAWS) -> Leak:
    """Pairs the recordings of two runs of one system.

    Args:
        lax: the run that may have heard more of what it was tested on.
        strict: the other one.
        metric: one of :data:`analysis.weightings.COMPARED`.
        draws: how often the groups are resampled.

    Raises:
        ComparisonError: as :func:`analysis.pairing.paired_across`.
        ResultsError: likewise.
    """
    table, other = paired_across(lax, strict)
    answers = PairedAnswers.of(lax.labels, table, other, draws)
    return Leak(
        system=lax.system,
        lax=lax.protocol,
        strict=strict.protocol,
        lost=answers.difference(metric).estimate,
        recordings=table["recording"].nunique(),
        groups=answers.groups,
        seeds=tuple(int(seed) for seed in table["seed"].unique()),
    )


def under_two_splits(runs: Sequence[MeasuredRun]) -> dict[str, tuple[MeasuredRun, MeasuredRun]]:
    """System -> its runs under the laxest and the strictest protocol, where it has two or more.

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
