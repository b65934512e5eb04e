"""The paper's Table 2: what each system scores and what it costs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from analysis.panels.base import CellKey, Exhibit, Option, Panel, Selector, cells_with
from analysis.panels.scores import metric_selector, paper_conditions, scored_on, seeds_of
from analysis.panels.systems_rows import COST_AXES, shown_table, system_rows, tidy
from analysis.panels.systems_scatter import plotted, systems_scatter
from analysis.panels.systems_words import cost_title, table_title
from analysis.shipped import shipped_checkpoint
from analysis.stats.paper import Paper, read_paper
from analysis.stats.recordings import ResultsError
from analysis.stats.runs import FoundRuns, MeasuredRun
from analysis.stats.side_results import BENCHMARK, Costs, read_costs

UNITS = (
    "Param (MB): the count over 2^20, as the paper has it. Multiply-adds: for 5 s as each system "
    "was fitted to hear them (of Feature MLP without its features); the paper's are FLOPs for "
    "inputs that it does not state. On disk: four bytes a parameter."
)


HOLLOW = "Hollow points are the paper's; bars are the intervals."


def systems(
    found: FoundRuns, cell: CellKey, metric: str, cost: str, benchmark: Path = BENCHMARK
) -> tuple[Exhibit, ...]:
    """A table of all systems, and a figure of their scores against one of their costs."""
    runs, paper = found.of(*cell), read_paper()
    try:
        costs, problem = read_costs(benchmark), ""
    except ResultsError as error:
        costs, problem = None, f"No times: {error}"
    rows = system_rows(runs, metric, paper, costs)
    name = f"{cell.dataset}-{cell.protocol}-{metric}".replace("_", "-")
    conditions = _conditions(runs, paper)
    table = Exhibit(
        name=f"systems-{name}",
        title=table_title(rows, runs, metric, paper),
        data=tidy(rows, metric),
        table=shown_table(rows, metric, _threads(costs)),
        note=" ".join(filter(None, [*conditions, UNITS, *_shipped(runs), _times(costs), problem])),
    )
    axis = COST_AXES[cost]
    shown = plotted(rows, axis)
    if not any(not row.stated for row in shown):
        return (table,)
    scatter = Exhibit(
        name=f"systems-{cost.replace('_', '-')}-{name}",
        title=cost_title(rows, runs, metric, axis),
        data=tidy(shown, metric),
        figure=systems_scatter(shown, metric, axis),
        note=f"{' '.join(conditions)} {HOLLOW}",
    )
    return (table, scatter)


def _conditions(runs: Mapping[str, MeasuredRun], paper: Paper) -> list[str]:
    every = list(runs.values())
    return [scored_on(every[0]), seeds_of(every), paper_conditions(paper, every[0].dataset)]


def _threads(costs: Costs | None) -> tuple[int, ...]:
    """One and all."""
    return tuple(sorted({costs.threads[0], costs.threads[-1]})) if costs else ()


def _shipped(runs: Mapping[str, MeasuredRun]) -> list[str]:
    found = filter(None, map(shipped_checkpoint, runs.values()))
    return [
        f"The shipped checkpoint `{own.name}` is a file of {own.mebibytes:.2f} MiB "
        f"({own.stored_as})."
        for own in found
    ]


def _times(costs: Costs | None) -> str:
    if costs is None:
        return ""
    return (
        f"Times: a file ({costs.clip}) to its answer, medians on one machine ({costs.machine}, "
        f"torch {costs.torch}), each system with its usual front end and settings; clips one "
        "after the other."
    )


def _cost_options(found: FoundRuns, cell: CellKey) -> list[Option]:
    return [Option(axis.axis, name) for name, axis in COST_AXES.items()]


SYSTEMS = Panel(
    name="systems",
    title="Systems",
    lead="The paper's Table 2: what each system scores, and what it costs in weights, "
    "multiplications and time. The menu in the head of a column sorts by it.",
    grids=True,
    draw=systems,
    cells=cells_with,
    places=2,
    selectors=(metric_selector(), Selector("cost", "Cost", _cost_options)),
)
