"""Draw the paper's Table 2: what each model scores and what it costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from math import nan
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from analysis.figures.intervals import cost_figure
from analysis.panels.base import (
    LOWER_IS_BETTER,
    CellKey,
    Exhibit,
    Option,
    Panel,
    Selector,
    cells_with,
    chance_text,
    meaning_text,
    metric_selector,
    percent_text,
    sample_text,
    short_title,
)
from analysis.stats.paper import Paper, read_paper
from analysis.stats.runs import METRIC_TITLES, FoundRuns, MeasuredRun, ResultsError
from analysis.stats.side_results import BENCHMARK, Costs, read_costs
from cry_model.records import Estimate
from cry_model.registry import MEBI, list_models

FLOAT32 = 4  # bytes
TABLE_NOTE = (
    "The table shows how often each model is right, and how large and how slow it is. Intervals: "
    "95%, from 1,000 bootstrap resamplings of whole groups (babies or source recordings); seeds "
    "are pooled. Param (MB): parameters over 2^20, as in the paper. Multiply-adds: for 5 s of "
    "sound with each model's own front end, without the features of Feature MLP; the paper gives "
    "FLOPs for inputs it does not describe. On disk: 4 bytes per parameter. Rows marked (paper) "
    "were measured on other recordings or another split: compare their order, not their level."
)
SCATTER_NOTE = (
    "A good model stands high and to the left: it is right often and costs little. Bars: 95% "
    "intervals over whole groups."
)
OPEN_MARKERS = (
    " Open markers: values published in the paper, measured on other recordings or another split."
)
TIMES_NOTE = "Times: a file ({}) to its answer, median on one machine ({}, torch {}), clip by clip."


class CostAxis(NamedTuple):
    """Name a column of :func:`score_rows`, how much of it is one unit, and the axis in units."""

    column: str
    unit: float
    title: str


COST_AXES: Mapping[str, CostAxis] = {
    "parameters": CostAxis("parameters", 1e6, "parameters (millions)"),
    "multiply_adds": CostAxis("multiply_adds_5s", 1e9, "multiply-adds for 5 s (billions)"),
    "milliseconds": CostAxis("ms_per_clip_1_threads", 1, "ms per clip of 5 s, one thread"),
}


def score_rows(
    runs: Mapping[str, MeasuredRun], metric: str, paper: Paper, costs: Costs | None
) -> pd.DataFrame:
    """Tabulate each model that was run or stands in the paper's Table 2; ours above the paper's.

    Args:
        runs: model -> its run, all of one cell.
        metric: of :data:`cry_model.metrics.METRICS`.
        paper: its printed numbers.
        costs: None if the times of a clip are not known.

    Returns:
        Columns system, source ("measured" or "paper"), accuracy, metric, value, low, high (shares
        of one), parameters, multiply_adds_5s, mebibytes_float32 and ``ms_per_clip_<n>_threads``.
    """
    rows = []
    for system in dict.fromkeys([*list_models(), *runs]):
        if system in runs:
            rows.append(_measured(runs[system], metric))
        if system in paper.accuracy and (system in runs or system in paper.parameters_mebi):
            rows.append(_stated(system, metric, paper))
    table = pd.DataFrame(rows).astype({"parameters": float, "multiply_adds_5s": float})
    ours = table["system"].where(table["source"] == "measured")
    for threads in costs.milliseconds if costs else ():
        table[f"ms_per_clip_{threads}_threads"] = ours.map(costs.milliseconds[threads])
    return table


def _measured(run: MeasuredRun, metric: str) -> dict[str, Any]:
    return {
        "system": run.system,
        "source": "measured",
        "accuracy": run.evaluation.metrics["accuracy"].value,
        "metric": metric,
        **asdict(run.evaluation.metrics[metric]),
        "parameters": run.parameters,
        "multiply_adds_5s": run.multiply_adds,
        "mebibytes_float32": FLOAT32 * run.parameters / MEBI,
    }


def _stated(system: str, metric: str, paper: Paper) -> dict[str, Any]:
    return {
        "system": system,
        "source": "paper",
        "accuracy": paper.accuracy[system],
        "metric": metric,
        "value": paper.accuracy[system] if metric == "accuracy" else None,
        "parameters": paper.parameters_mebi.get(system, nan) * MEBI,
        "multiply_adds_5s": paper.flops_giga.get(system, nan) * 1e9,
    }


def shown_table(rows: pd.DataFrame, metric: str, threads: Sequence[int]) -> pd.DataFrame:
    """Write :func:`score_rows` for the page; numbers stay numbers, so that columns can be sorted.

    Args:
        rows: of :func:`score_rows`.
        metric: the same.
        threads: for which the times are shown.
    """
    stated = rows["source"] == "paper"
    percent = 100 * rows["accuracy"]
    shown = pd.DataFrame(
        {
            "model": _titles(rows),
            "accuracy (%)": percent.round(1).mask(stated, percent.round(2)),  # as it prints them
        }
    )
    if metric != "accuracy":
        shown[f"{METRIC_TITLES[metric]} (%)"] = (100 * rows["value"]).round(1)
    shown["95% interval"] = [
        "" if row.source == "paper" else f"{100 * row.low:.1f} to {100 * row.high:.1f}"
        for row in rows.itertuples()
    ]
    parameters, multiply_adds = rows["parameters"], 1e-9 * rows["multiply_adds_5s"]
    shown["parameters (M)"] = (1e-6 * parameters).round(2)
    shown["Param (MB)"] = (parameters / MEBI).round(2)
    shown["multiply-adds (G)"] = [float(f"{value:.4g}") for value in multiply_adds]
    shown["on disk (MiB)"] = rows["mebibytes_float32"].round(2)
    for number in threads:
        milliseconds = rows[f"ms_per_clip_{number}_threads"].astype(float)
        which = f", {number} thread{'s' * (number > 1)}"
        shown[f"ms per clip{which}"] = milliseconds.round(1)
        shown[f"clips/s{which}"] = (1000 / milliseconds).round(1)
    return shown


def _titles(rows: pd.DataFrame) -> list[str]:
    return [short_title(r.system) + " (paper)" * (r.source == "paper") for r in rows.itertuples()]


def systems(
    found: FoundRuns, cell: CellKey, metric: str, cost: str, benchmark: Path = BENCHMARK
) -> tuple[Exhibit, ...]:
    """Draw a table of all models, and their scores against one of their costs if any is known."""
    runs, paper = found.of(*cell), read_paper()
    try:
        costs = read_costs(benchmark)
        times = TIMES_NOTE.format(costs.clip, costs.machine, costs.torch)
        threads = sorted({*costs.milliseconds})[:: max(1, costs.milliseconds.shape[1] - 1)]
    except ResultsError as error:
        problem = str(error).replace(str(benchmark), benchmark.name)
        costs, times, threads = None, f"No times: {problem}", []
    rows = score_rows(runs, metric, paper, costs)
    name = f"{cell.dataset}-{cell.protocol}-{metric}".replace("_", "-")
    table = Exhibit(
        name=f"systems-{name}",
        title="Scores and costs of the models",
        data=rows,
        table=shown_table(rows, metric, threads),
        note=f"{_best(rows, runs, metric)}\n\n{meaning_text(metric)} {TABLE_NOTE} {times}",
    )
    column, unit, title = COST_AXES[cost]
    if column not in rows:
        return (table,)
    plotted = rows.dropna(subset=["value", column])
    measured = plotted[plotted["source"] == "measured"]
    if measured.empty:
        return (table,)
    units = plotted.assign(cost=plotted[column] / unit, title=_titles(plotted))
    ends = [
        "{0.cost:.3g} ({0.title})".format(units.loc[measured[column].agg(which)])
        for which in ("idxmin", "idxmax")
    ]
    scatter = Exhibit(
        name=f"systems-{cost.replace('_', '-')}-{name}",
        title="Score against cost",
        data=plotted,
        figure=cost_figure(units, title, f"{METRIC_TITLES[metric]} per recording (%)"),
        note=f"{title}: {' to '.join(ends)}\n\n{SCATTER_NOTE}"
        + (OPEN_MARKERS if metric == "accuracy" else ""),  # what it prints
    )
    return (table, scatter)


def _best(rows: pd.DataFrame, runs: Mapping[str, MeasuredRun], metric: str) -> str:
    values = rows.loc[rows["source"] == "measured", "value"]
    row = rows.loc[values.idxmin() if metric in LOWER_IS_BETTER else values.idxmax()]
    score = percent_text(Estimate(row["value"], row["low"], row["high"]))
    return (
        f"Best {METRIC_TITLES[metric]}: {short_title(row['system'])}, {score}; "
        f"{chance_text(runs[row['system']], metric)}; {sample_text(list(runs.values()))}"
    )


SYSTEMS = Panel(
    name="systems",
    title="Table 2",
    lead="The paper's Table 2: what each model scores, and what it costs in parameters, "
    "multiplications and time. The menu in the head of a column sorts by it.",
    grids=True,
    draw=systems,
    cells=cells_with,
    places=2,
    selectors=(
        metric_selector(),
        Selector("cost", "Cost", lambda *_: [Option(a.title, key) for key, a in COST_AXES.items()]),
    ),
)
