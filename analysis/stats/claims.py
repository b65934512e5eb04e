"""Judge the paper's claims about its models by measured runs.

A claim states that each of some systems is better than another one. It is confirmed if the 95%
intervals of all its paired differences lie above zero, and contradicted if one lies below. Both
also require a p-value of at most 0.05 after Holm's correction (1979) over all claims that can be
judged in a cell, that is on one dataset under one protocol. Otherwise it is undecided.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum

from analysis.stats.comparison import Comparison, ComparisonError, holm, pair
from analysis.stats.paper import CLAIMS, LIKE_ACCURACY, Claim
from analysis.stats.runs import SPLITS, FoundRuns, MeasuredRun
from cry_model.networks.registry import SYSTEMS
from cry_model.records import Evaluation, dataset_title

LEVEL = 0.05


class Verdict(str, Enum):
    """Define what the runs of one cell can say about a claim."""

    CONFIRMED = "confirmed"
    CONTRADICTED = "contradicted"
    UNDECIDED = "undecided"
    ABSENT = "not run"


@dataclass(frozen=True)
class Finding:
    """Store the verdict on a claim in one cell."""

    claim: Claim
    comparisons: tuple[Comparison, ...] = ()  # each better system against the worse one, in order
    p_value: float | None = None  # of the whole claim, before correction
    corrected: float | None = None  # after Holm's correction
    verdict: Verdict = Verdict.ABSENT
    reason: str | None = None  # why its runs cannot be compared, if it is absent for that


def judge(runs: Mapping[str, MeasuredRun], metric: str) -> tuple[Finding, ...]:
    """Return a finding for every claim, on the seeds that all of its systems have; ``runs``:
    those of one cell, by system. Raise ResultsError if the predictions of a run cannot be read."""
    found = [_compared(claim, runs, metric) for claim in CLAIMS]
    corrected = iter(holm([f.p_value for f in found if f.p_value is not None]))
    return tuple(f if f.p_value is None else _judged(f, next(corrected)) for f in found)


def _compared(claim: Claim, runs: Mapping[str, MeasuredRun], metric: str) -> Finding:
    if not runs.keys() >= set(claim.systems):
        return Finding(claim)
    seeds = set.intersection(*(set(runs[system].seeds) for system in claim.systems))
    try:
        pairs = [pair(runs[better], runs[claim.worse], seeds) for better in claim.better]
    except ComparisonError as error:
        return Finding(claim, reason=str(error))
    parts = tuple(both.compare(metric) for both in pairs)
    return Finding(claim, parts, _p_value(parts))


def _p_value(parts: Sequence[Comparison]) -> float:
    """Return the p-value of a claim of several parts, all of which must hold.

    If all parts favour the claim, it is the largest p-value. Otherwise it is the smallest p-value
    of the parts against the claim, times the number of parts, since any part could be against it.
    """
    against = [part.p_value for part in parts if part.difference.value < 0]
    if against:
        return min(1.0, len(parts) * min(against))
    return max(part.p_value for part in parts)


def _judged(finding: Finding, corrected: float) -> Finding:
    verdict = Verdict.UNDECIDED
    if corrected <= LEVEL and all(part.difference.low > 0 for part in finding.comparisons):
        verdict = Verdict.CONFIRMED
    elif corrected <= LEVEL and any(part.difference.high < 0 for part in finding.comparisons):
        verdict = Verdict.CONTRADICTED
    return replace(finding, corrected=corrected, verdict=verdict)


MAIN = LIKE_ACCURACY[0]
"""Metric of the ablation and of the README table."""
SYNTHETIC = "synthetic6"
"""Corpus of sounds that formulas generate, with other formulas for each label."""
PAPER_SYSTEMS = frozenset(system for claim in CLAIMS for system in claim.systems)


@dataclass(frozen=True)
class JudgedCell:
    """Store the runs and findings on one dataset under one protocol."""

    dataset: str
    protocol: str
    runs: Mapping[str, MeasuredRun]  # system -> its run, in the order of the registry
    findings: Mapping[str, tuple[Finding, ...]]  # metric of LIKE_ACCURACY -> one for each claim

    @property
    def title(self) -> str:
        """Return dataset and split, for a reader."""
        return f"{dataset_title(self.dataset)}, {SPLITS[self.protocol]}"

    @property
    def is_synthetic(self) -> bool:
        """Return whether the sounds are synthetic and say nothing about real cries."""
        return self.dataset == SYNTHETIC

    @property
    def evaluation(self) -> Evaluation:
        """Return the first system's evaluation, for what all share: recordings, groups, chance."""
        return next(iter(self.runs.values())).evaluation


def cells_of(found: FoundRuns) -> tuple[JudgedCell, ...]:
    """Return the cells in which a model of the paper was measured, in the order of the runs; raise
    ResultsError if the predictions of a run cannot be read."""
    judged = []
    for cell in found.cells:
        runs = {name: run for name, run in found.of(*cell).items() if name in SYSTEMS}
        if PAPER_SYSTEMS & runs.keys():
            findings = {metric: judge(runs, metric) for metric in LIKE_ACCURACY}
            judged.append(JudgedCell(*cell, runs, findings))
    return tuple(judged)
