"""What the findings say of systems that were fitted to labels dealt out anew."""

from __future__ import annotations

from collections.abc import Sequence

from analysis.cells import MAIN, Cell, listed
from analysis.dealt_runs import dealt_runs
from analysis.findings_tables import table
from analysis.fold_scores import score_of_seeds
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
            ", ".join(
                f"{score_of_seeds(run, metric, [seed]):.3f} (seed {seed})" for seed in run.seeds
            ),
            f"{dealt.evaluation.metrics[metric]} (seed {', '.join(map(str, dealt.seeds))})",
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
        f"On {listed(where)} a system that was fitted to one dealing of the labels among groups "
        "scores no less than with the true ones: scores of that size can come from hearing "
        "recordings and groups again, and do not show that labels are recognised; one dealing "
        "cannot exclude that they add something."
    )


def _as_good(run: MeasuredRun, dealt: MeasuredRun) -> bool:
    """Over the seeds that both have."""
    seeds = set(run.seeds) & set(dealt.seeds)
    return bool(seeds) and all(
        score_of_seeds(dealt, name, seeds) >= score_of_seeds(run, name, seeds) for name in SHOWN
    )
