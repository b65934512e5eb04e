"""The runs of one dataset under one protocol, and what they say to the paper's claims."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from analysis.claims import Finding, judge
from analysis.lists import grouped
from analysis.measured_run import MeasuredRun
from analysis.paper import CLAIMS
from cry_model.records import Evaluation, dataset_title
from cry_model.registry import list_models

METRICS = ("balanced_accuracy", "accuracy")
"""In which claims are judged: accuracy is the paper's, on a corpus of classes of like size; where
one class is frequent, the balanced accuracy is what is like it."""
MAIN = METRICS[0]
"""What the figures and the summary show."""
MADE_UP = "synthetic6"
"""The corpus whose sounds are made by formulas, other ones for each label."""
PAPER_SYSTEMS = frozenset(system for claim in CLAIMS for system in claim.systems)


@dataclass(frozen=True)
class Cell:
    """One dataset under one protocol.

    Attributes:
        dataset, protocol: which.
        runs: system -> its run, in the order of the registry.
        findings: metric of :data:`METRICS` -> a finding for each claim.
    """

    dataset: str
    protocol: str
    runs: Mapping[str, MeasuredRun]
    findings: Mapping[str, tuple[Finding, ...]]

    @property
    def title(self) -> str:
        """As the page names it."""
        return f"{dataset_title(self.dataset)}, `{self.protocol}`"

    @property
    def is_control(self) -> bool:
        """Whether its sounds are made up, so that it says nothing of real cries."""
        return self.dataset == MADE_UP

    @property
    def seeds(self) -> tuple[int, ...]:
        """Those that all systems have."""
        return tuple(sorted(set.intersection(*(set(run.seeds) for run in self.runs.values()))))

    @property
    def evaluation(self) -> Evaluation:
        """Of the first system, for what all of them share: recordings, groups, chance."""
        return next(iter(self.runs.values())).evaluation


def cells_of(runs: Sequence[MeasuredRun]) -> tuple[Cell, ...]:
    """The cells in which a system of the paper was measured, in the order of the runs.

    Raises:
        ResultsError: if the predictions of a run cannot be read.
    """
    order, found = list_models(), []
    for dataset, protocol in dict.fromkeys((run.dataset, run.protocol) for run in runs):
        own = [run for run in runs if (run.dataset, run.protocol) == (dataset, protocol)]
        known = [run for run in own if run.system in order]
        known.sort(key=lambda run: order.index(run.system))
        by_system = {run.system: run for run in known}
        if PAPER_SYSTEMS & set(by_system):
            findings = {metric: judge(by_system, metric) for metric in METRICS}
            found.append(Cell(dataset, protocol, by_system, findings))
    return tuple(found)


def listed(cells: Sequence[Cell]) -> str:
    """Cells by dataset: "ESC-10 (`clip`, `baby`) and Donate-a-Cry (`baby`)"."""
    return grouped((dataset_title(cell.dataset), f"`{cell.protocol}`") for cell in cells)
