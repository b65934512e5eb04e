"""What the findings say of systems that were fitted to labels dealt out anew."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

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
            ", ".join(
                f"{dealt.evaluation.metrics[metric]} (seed {', '.join(map(str, dealt.seeds))})"
                for dealt in found
            ),
        ]
        for cell in cells
        for run in cell.runs.values()
        if (found := dealt_runs(run))
        for metric in SHOWN
    ]
    if not rows:
        return []
    return [
        "",
        "Systems that were fitted to such dealings in the place of the true labels, by the same "
        "recipe (`python -m train fit --shuffle-labels`; each dealing with its 95 % interval over "
        "groups):",
        "",
        *table(["system, per recording", "true labels", "labels dealt out anew"], rows),
        "",
        *filter(None, [as_good_line(cells), *lead_lines(cells)]),
    ]


def lead_lines(cells: Sequence[Cell]) -> list[str]:
    """How far one system is ahead of another with the true labels and with the same dealings."""
    said = []
    for cell in cells:
        found = [(run, dealt) for run in cell.runs.values() if (dealt := dealt_runs(run))]
        for (one, mine), (other, theirs) in combinations(found, 2):
            seeds = set(one.seeds) & set(other.seeds)
            true = score_of_seeds(one, MAIN, seeds) - score_of_seeds(other, MAIN, seeds)
            leads = _leads(mine, theirs)
            if not leads:
                continue
            said.append(
                f"- On {cell.title} the {get_system(one.system).title} is ahead of the "
                f"{get_system(other.system).title} by {true:+.3f} with the true labels and by "
                f"{', '.join(f'{lead:+.3f}' for lead in leads)} with dealt ones. As far as dealt "
                "labels give a lead too, it is no sign that labels are recognised better."
            )
    return said


def _leads(mine: Sequence[MeasuredRun], theirs: Sequence[MeasuredRun]) -> list[float]:
    """For each dealing that both were fitted to; its folder's name says which it is."""
    one, other = (
        {run.folder.name: run.evaluation.metrics[MAIN] for run in runs} for runs in (mine, theirs)
    )
    return [one[name].value - other[name].value for name in one if name in other]


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
