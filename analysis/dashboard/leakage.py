"""The same systems under every split: what a number owes to what was heard in training."""

from __future__ import annotations

from functools import partial

from analysis.dashboard.exhibit import Exhibit
from analysis.dashboard.leakage_notes import loss_note, score_note
from analysis.dashboard.leakage_tables import loss_data, loss_table, score_data, score_table
from analysis.dashboard.leakage_words import finding, loss_finding
from analysis.dashboard.panel import CellKey, Option, Panel, Selector, cells_with
from analysis.dealt_runs import without_truth
from analysis.difference_figure import Dot, broken, difference_figure
from analysis.guessing import SCORES
from analysis.leak import Leak, leak, under_two_splits
from analysis.leakage_figure import leakage_figure
from analysis.measured_run import MeasuredRun
from analysis.paper import FULL
from analysis.run_tables import ResultsError
from analysis.runs import FoundRuns
from analysis.style import SYSTEM_COLOURS
from analysis.yardsticks import Yardstick, yardsticks
from cry_model.records import words
from cry_model.registry import get_system, list_models


def leakage(found: FoundRuns, cell: CellKey, metric: str) -> tuple[Exhibit, ...]:
    """One metric of every system under each protocol, and what is lost between them."""
    runs = _of_dataset(found, cell.dataset)
    pairs = under_two_splits(runs)
    leaks = [leak(*pair, metric) for pair in pairs.values()]
    told = FULL if FULL in pairs else next(iter(pairs))
    lost = next(leak.lost for leak in leaks if leak.system == told)
    beside, problems = _beside(runs, metric)
    end = f"{cell.dataset}-{metric}".replace("_", "-")
    return (
        Exhibit(
            f"leakage-{end}",
            finding(*pairs[told], metric, lost),
            score_data(runs, metric, beside),
            leakage_figure(runs, metric, beside),
            score_table(runs, metric, beside),
            " ".join([score_note(runs, beside), *problems]),
        ),
        Exhibit(
            f"leakage-lost-{end}",
            loss_finding(leaks, metric),
            loss_data(leaks, metric),
            difference_figure([_dot(leak) for leak in leaks], "points lost"),
            loss_table(leaks, metric),
            loss_note(leaks, cell.dataset),
        ),
    )


def _beside(runs: list[MeasuredRun], metric: str) -> tuple[list[Yardstick], list[str]]:
    """What stands beside the runs, and a sentence for what cannot be read of it."""
    found, problems = [], []
    for read in (*(partial(yardsticks, run) for run in runs), partial(without_truth, runs)):
        try:
            found += read(metric)
        except ResultsError as error:
            problems.append(str(error))
    return found, problems


def leakage_cells(found: FoundRuns) -> tuple[CellKey, ...]:
    """A cell for each dataset on which a system was measured under two splits or more."""
    first: dict[str, CellKey] = {}
    for cell in cells_with(found):
        if under_two_splits(_of_dataset(found, cell.dataset)):
            first.setdefault(cell.dataset, cell)
    return tuple(first.values())


def _of_dataset(found: FoundRuns, dataset: str) -> list[MeasuredRun]:
    known = list_models()
    return [run for run in found.runs if run.dataset == dataset and run.system in known]


def _dot(leak: Leak) -> Dot:
    span = (100 * leak.lost.low, 100 * leak.lost.high)
    name = broken(get_system(leak.system).title)
    return Dot(name, 100 * leak.lost.value, span, SYSTEM_COLOURS[leak.system])


LEAKAGE = Panel(
    name="leakage",
    title="Leakage",
    lead="How much of a score is owed to what a split lets through: the same systems, tested on "
    "pieces of recordings that they know, on new recordings, and on new babies.",
    draw=leakage,
    cells=leakage_cells,
    places=2,
    selectors=(
        Selector("metric", "Metric", lambda *_: [Option(words(m), m) for m in SCORES], first=1),
    ),
    by_protocol=False,
)
