"""The same systems under every split: what a number owes to babies that were heard in training."""

from __future__ import annotations

import pandas as pd

from analysis.dashboard.exhibit import Exhibit
from analysis.dashboard.panel import CellKey, Option, Panel, Selector, cells_with
from analysis.leakage_figure import leakage_figure
from analysis.runs import FoundRuns
from cry_model.evaluation import dataset_title, words
from cry_model.metrics import METRICS


def leakage(found: FoundRuns, cell: CellKey, metric: str) -> tuple[Exhibit, ...]:
    """One metric of every system on a dataset, under each protocol that was measured."""
    runs = [run for run in found.runs if run.dataset == cell.dataset]
    rows = [
        (run.protocol, run.system, e.value, e.low, e.high)
        for run in runs
        for e in [run.evaluation.metrics[metric]]
    ]
    data = pd.DataFrame(rows, columns=["protocol", "system", metric, "low", "high"])
    figure = leakage_figure(runs, metric, chance=metric == "balanced_accuracy")
    title = f"{words(metric).capitalize()} on {dataset_title(cell.dataset)} under each split"
    return (Exhibit(f"leakage-{cell.dataset}-{metric}", title, data, figure),)


def leakage_cells(found: FoundRuns) -> tuple[CellKey, ...]:
    """A cell for each dataset."""
    first: dict[str, CellKey] = {}
    for cell in cells_with(found):
        first.setdefault(cell.dataset, cell)
    return tuple(first.values())


LEAKAGE = Panel(
    name="leakage",
    title="Leakage",
    lead="How much of a score is owed to what a split lets through.",
    draw=leakage,
    cells=leakage_cells,
    selectors=(
        Selector("metric", "Metric", lambda *_: [Option(words(m), m) for m in METRICS], first=1),
    ),
    by_protocol=False,
)
