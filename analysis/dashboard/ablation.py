"""The paper's Table 1: the improved system, and what it loses without each of its modules."""

from __future__ import annotations

from collections.abc import Mapping

from analysis.ablation_figure import WITHOUT, ablation_figure
from analysis.cells import METRICS as LIKE_ACCURACY
from analysis.dashboard.ablation_scores import NAMES, ablation_scores, ablation_scores_figure
from analysis.dashboard.ablation_table import ablation_table, drop_rows
from analysis.dashboard.ablation_words import drop_title, holm_line, level_title, paper_line
from analysis.dashboard.drops import DRAWS, Drops, drops_of
from analysis.dashboard.exhibit import Exhibit
from analysis.dashboard.panel import CellKey, Panel, cells_with
from analysis.dashboard.scores import (
    LOWER_IS_BETTER,
    metric_selector,
    metric_words,
    paper_conditions,
    scored_on,
    seeds_of,
)
from analysis.findings_tables import settings_text
from analysis.measured_run import MeasuredRun
from analysis.paper import FULL, Paper, read_paper
from analysis.runs import FoundRuns


def ablation(found: FoundRuns, cell: CellKey, metric: str) -> tuple[Exhibit, ...]:
    """What each system scores, and the paired differences; without these if none can be had."""
    own, paper = found.of(*cell), read_paper()
    runs = {system: own[system] for system in NAMES if system in own}
    drops = drops_of(runs, metric)
    name = f"{cell.dataset}-{cell.protocol}-{metric}".replace("_", "-")
    levels = _levels(name, runs, metric, paper, drops)
    return (levels, _drops(name, runs, metric, paper, drops)) if drops.found else (levels,)


def _levels(
    name: str, runs: Mapping[str, MeasuredRun], metric: str, paper: Paper, drops: Drops
) -> Exhibit:
    data = ablation_scores(runs, metric, paper if metric == "accuracy" else None)
    full = runs[FULL]
    missing = [WITHOUT[system] for system in WITHOUT if system not in runs]
    settings = settings_text(full)
    note = [
        scored_on(full),
        seeds_of(list(runs.values())),
        "A fold is scored on what was tested in it; under `clip` these may be some pieces of a "
        "recording."
        if full.protocol == "clip"
        else "",
        f"Not run: {', '.join(missing)}." if missing else "",
        f"The improved system is a variant of the paper's ({settings})." if settings else "",
        paper_conditions(paper, full.dataset),
        *drops.reasons,
    ]
    return Exhibit(
        name=f"ablation-{name}",
        title=level_title(runs, metric),
        data=data,
        figure=ablation_scores_figure(data, metric),
        note=" ".join(filter(None, note)),
    )


def _drops(
    name: str, runs: Mapping[str, MeasuredRun], metric: str, paper: Paper, drops: Drops
) -> Exhibit:
    found = drops.found
    beside = paper if metric in LIKE_ACCURACY else None
    note = [
        "All modules minus one left out, on the same recordings of the same folds. Intervals: "
        f"{DRAWS} draws of whole groups, the same for both; p: both systems' answers swapped at "
        f"random within groups, {DRAWS} times. Neither knows how far another seed would differ.",
        holm_line(found),
        paper_line(paper),
    ]
    figure = ablation_figure([drop.comparison for drop in found], beside)
    if metric in LOWER_IS_BETTER:
        figure.layout.yaxis.title.text = f"{metric_words(metric)}, difference (points)"
    return Exhibit(
        name=f"ablation-drops-{name}",
        title=drop_title(found, metric),
        data=drop_rows(found, metric, beside),
        figure=figure,
        table=ablation_table(runs, metric, paper, found),
        note=" ".join(filter(None, note)),
    )


def ablation_cells(found: FoundRuns) -> tuple[CellKey, ...]:
    """Those with the improved system and at least one ablation."""
    return cells_with(found, lambda runs: FULL in runs and any(name in runs for name in WITHOUT))


ABLATION = Panel(
    name="ablation",
    title="Ablation",
    lead="The paper's Table 1: what the improved ECAPA-TDNN owes to multi-scale channel attention "
    "(MCA), residual squeeze-and-excitation (RSE) and differential attention.",
    draw=ablation,
    cells=ablation_cells,
    places=2,
    selectors=(metric_selector(),),
)
