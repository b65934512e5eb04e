"""The tables of the findings, in Markdown."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from analysis.stats.claims import Cell, Finding, Verdict
from analysis.stats.comparison import Comparison
from analysis.stats.paper import Paper
from analysis.stats.runs import MeasuredRun
from cry_model.records import Estimate, words
from cry_model.registry import get_system, list_models

MEASURED = ("accuracy", "balanced_accuracy", "macro_auc")
GUESSING = "°"
"""Marks a verdict on systems none of which is better than guessing."""


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Lines of a table; numbers stand in all columns but the first."""
    rule = ["---", *["---:"] * (len(heads) - 1)]
    return [f"| {' | '.join(row)} |" for row in (heads, rule, *rows)]


def verdict_table(cells: Sequence[Cell], metric: str) -> list[str]:
    """A row for each claim, a column for each cell."""
    claims = [finding.claim for finding in cells[0].findings[metric]]
    rows = [
        [claim.name, *(verdict_text(cell, cell.findings[metric][i]) for cell in cells)]
        for i, claim in enumerate(claims)
    ]
    return table([words(metric), *(cell.title for cell in cells)], rows)


def verdict_text(cell: Cell, finding: Finding) -> str:
    """Verdict, differences with intervals, corrected p-value, and in how many seeds it is so."""
    if finding.verdict is Verdict.ABSENT:
        return finding.verdict.value
    systems = [cell.runs[system].evaluation for system in finding.claim.systems]
    mark = "" if any(e.better_than_chance for e in systems) else GUESSING
    parts = "; ".join(_difference(part) for part in finding.comparisons)
    return f"**{finding.verdict.value}**{mark} {parts}, p = {finding.corrected:.3f}"


def measured_table(cell: Cell) -> list[str]:
    """A row for each system, and what always giving the most frequent label scores."""
    e = cell.evaluation
    rows = [
        [
            get_system(run.system).title,
            ", ".join(map(str, run.seeds)),
            *(str(run.evaluation.metrics[name]) for name in MEASURED),
            f"{run.parameters / 1e6:.2f} M",
        ]
        for run in cell.runs.values()
    ]
    always = [f"{e.majority_accuracy:.3f}", f"{e.chance:.3f}", "0.500"]
    rows.append([f'always "{words(e.majority_label)}"', "", *always, ""])
    heads = ["per recording", "seeds", *map(words, MEASURED), "parameters"]
    return table(heads, rows)


def fitting_table(cells: Sequence[Cell], paper: Paper) -> list[str]:
    """How each cell was fitted: a row for all systems that were fitted alike."""
    rows = []
    for cell in cells:
        alike = defaultdict(list)
        for run in cell.runs.values():
            alike[_fitting(run), json.dumps(run.preset, sort_keys=True)].append(run)
        for (fitting, _), runs in alike.items():
            hours = sum(run.wall_seconds for run in runs) / 3600
            rows.append([cell.title, _systems(runs, cell), *fitting, f"{hours:.1f}"])
    heads = ["cell", "systems", "preset", f"epochs (paper: {paper.epochs})", "batch", "front end"]
    return table([*heads, "folds", "seeds", "device", "precision", "hours"], rows)


def settings_text(run: MeasuredRun) -> str:
    """How the system differs from the registry's: "deviations=True"; empty if it does not."""
    return ", ".join(f"{name}={value}" for name, value in run.settings.items())


def signed(estimate: Estimate) -> str:
    """+0.024 [-0.010, +0.060]"""
    return f"{estimate.value:+.3f} [{estimate.low:+.3f}, {estimate.high:+.3f}]"


def _difference(part: Comparison) -> str:
    return f"{signed(part.difference)} ({part.seeds_agree}/{len(part.by_seed)})"


def _fitting(run: MeasuredRun) -> tuple[str, ...]:
    """What the table shows of it."""
    front_end: Mapping[str, Any] = run.preset.get("front_end", {})
    heard = f"{front_end.get('num_bands', '')} {front_end.get('kind', '')}".strip()
    preset = ", ".join(filter(None, [str(run.preset.get("name", "")), settings_text(run)]))
    epochs, batch = (str(run.preset.get(name, "")) for name in ("epochs", "batch"))
    if run.preset.get("draws"):  # else an epoch is as many as there are recordings
        epochs += f" of {run.preset['draws']} pieces"
    seeds = ", ".join(map(str, run.seeds))
    environment = map(run.fitted_with, ("device", "precision"))
    return (preset, epochs, batch, heard, str(run.folds), seeds, *environment)


def _systems(runs: Sequence[MeasuredRun], cell: Cell) -> str:
    if len(runs) == len(cell.runs) > 1:
        return "all"
    order = list_models()
    names = sorted((run.system for run in runs), key=order.index)
    return ", ".join(get_system(name).title for name in names)
