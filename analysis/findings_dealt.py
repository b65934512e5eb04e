"""What the findings say of systems that were fitted to labels dealt out anew."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import combinations

from analysis.findings_tables import table
from analysis.stats.claims import MAIN, Cell
from analysis.stats.comparison import score_of_seeds
from analysis.stats.runs import MeasuredRun
from analysis.stats.side_results import dealt_runs
from cry_model.records import words
from cry_model.registry import get_system

SHOWN = (MAIN, "macro_auc")
"""In which scores dealt labels are compared with the true ones."""


def dealt_lines(cells: Sequence[Cell]) -> list[str]:
    """A table of them beside themselves with the true labels, and what it means; often nothing."""
    rows = [
        [
            f"{cell.title}, {get_system(run.system).title}, {words(metric)}",
            ", ".join(
                f"{score_of_seeds(run, metric, [seed]):.3f} {_under([seed])}" for seed in run.seeds
            ),
            ", ".join(
                f"{dealt.evaluation.metrics[metric]} {_under(dealt.seeds)}" for dealt in found
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
    """What one system scores more than another with the true labels and with the same dealings."""
    said = []
    for cell in cells:
        found = [(run, dealt) for run in cell.runs.values() if (dealt := dealt_runs(run))]
        for (one, mine), (other, theirs) in combinations(found, 2):
            if dealt := _dealt_leads(mine, theirs):
                said.append(
                    f"- {words(MAIN).capitalize()} of {get_system(one.system).title} less that of "
                    f"{get_system(other.system).title} on {cell.title}: "
                    f"{', '.join(_true_leads(one, other))} with the true labels, "
                    f"{', '.join(dealt)} with dealt ones. As far as dealt labels give a lead too, "
                    "it is no sign that labels are recognised better."
                )
    return said


def _true_leads(one: MeasuredRun, other: MeasuredRun) -> list[str]:
    """For each seed that both have, as a dealing is of some of them."""
    return [_lead(one, other, [seed]) for seed in sorted(set(one.seeds) & set(other.seeds))]


def _dealt_leads(mine: Sequence[MeasuredRun], theirs: Sequence[MeasuredRun]) -> list[str]:
    """For each dealing that both were fitted to under the same seeds.

    The name of its folder says which it is.
    """
    of = {run.folder.name: run for run in theirs}
    pairs = [(run, of[run.folder.name]) for run in mine if run.folder.name in of]
    return [_lead(a, b, a.seeds) for a, b in pairs if a.seeds == b.seeds]


def _lead(one: MeasuredRun, other: MeasuredRun, seeds: Collection[int]) -> str:
    lead = score_of_seeds(one, MAIN, seeds) - score_of_seeds(other, MAIN, seeds)
    return f"{lead:+.3f} {_under(seeds)}"


def _under(seeds: Collection[int]) -> str:
    return f"(seed {', '.join(map(str, seeds))})"


def as_good_line(cells: Sequence[Cell]) -> str:
    """Where systems score as much with dealt labels; empty where none does."""
    said = []
    for cell in cells:
        runs = cell.runs.values()
        found = [_as_good(run, dealt) for run in runs for dealt in dealt_runs(run)]
        if any(found):
            said.append(f"{cell.title} ({sum(found)} of {len(found)} such fits)")
    if not said:
        return ""
    return (
        f"On {', '.join(said)} systems that were fitted to labels dealt out anew among groups "
        "score no less than with the true ones: scores of that size can come from hearing "
        "recordings and groups again, and do not show that labels are recognised; so few dealings "
        "cannot exclude that they add something."
    )


def _as_good(run: MeasuredRun, dealt: MeasuredRun) -> bool:
    """Over the seeds that both have."""
    seeds = set(run.seeds) & set(dealt.seeds)
    return bool(seeds) and all(
        score_of_seeds(dealt, name, seeds) >= score_of_seeds(run, name, seeds) for name in SHOWN
    )
