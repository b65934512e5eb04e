"""What the findings say of systems that were fitted to labels dealt out anew."""

from __future__ import annotations

from collections.abc import Sequence

from analysis.cells import MAIN, Cell, listed
from analysis.dealt_runs import dealt_runs
from analysis.findings_tables import table
from analysis.measured_run import MeasuredRun
from cry_model.evaluation import words
from cry_model.registry import get_system

SHOWN = (MAIN, "macro_auc")
"""In which scores dealt labels are compared with the true ones."""


def dealt_lines(cells: Sequence[Cell]) -> list[str]:
    """A table of them beside themselves with the true labels, and what it means; often nothing."""
    rows = [
        [
            f"{cell.title}, {get_system(run.system).title}, {words(metric)}",
            str(run.evaluation.metrics[metric]),
            str(dealt.evaluation.metrics[metric]),
        ]
        for cell in cells
        for run in cell.runs.values()
        for dealt in dealt_runs(run)
        for metric in SHOWN
    ]
    if not rows:
        return []
    return [
        "",
        "Systems that were fitted to such a dealing in the place of the true labels, by the same "
        "recipe (`python -m train fit --shuffle-labels`; 95 % interval over groups):",
        "",
        *table(["system, per recording", "true labels", "one dealing"], rows),
        "",
        *filter(None, [as_good_line(cells)]),
    ]


def as_good_line(cells: Sequence[Cell]) -> str:
    """Where a system scores as much with dealt labels; empty where none does."""
    where = [
        cell
        for cell in cells
        if any(_as_good(run, dealt) for run in cell.runs.values() for dealt in dealt_runs(run))
    ]
    if not where:
        return ""
    return (
        f"On {listed(where)} a system scores as much with labels that were dealt out anew among "
        "groups as with the true ones: what systems score there shows that they hear recordings "
        "and groups again, and does not show that they recognise the labels."
    )


def _as_good(run: MeasuredRun, dealt: MeasuredRun) -> bool:
    true, other = run.evaluation.metrics, dealt.evaluation.metrics
    return all(other[name].value >= true[name].value for name in SHOWN)
