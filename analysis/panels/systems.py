"""Draw the paper's Table 2: the score and the cost of each model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from math import nan
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.figures.intervals import cost_figure
from analysis.panels import base
from analysis.stats.paper import WITHOUT, read_paper
from analysis.stats.runs import METRIC_TITLES, FoundRuns, MeasuredRun, ResultsError
from analysis.stats.side_results import BENCHMARK, Costs, read_costs, read_pruning
from cry_model.networks.registry import MEBI, list_models
from cry_model.records import Estimate, PruningEffect

FLOAT32 = 4  # bytes
TABLE_NOTE = (
    "Columns with “paper” are the paper's, measured on other recordings or another split: compare "
    "their order, not their level. Ablations are in Table 1 and in the data. Brackets: 95% "
    "intervals from 1,000 bootstrap resamplings of whole groups (babies or source recordings); "
    "seeds are pooled. Param (MB): parameters / 2^20, as in the paper. Multiply-adds: for 5 s "
    "of sound with each model's own front end, without the features of Feature MLP. The paper "
    "gives FLOPs for inputs that it does not describe."
)
SCATTER_NOTE = (
    "A good model is {} and to the left: it scores well and costs little. Bars: 95% intervals over "
    "whole groups."
)
OPEN_MARKERS = (
    " Open markers: values published in the paper, measured on other recordings or another split."
)
TIMES_NOTE = "Times: from file ({}) to answer, median on one machine ({}, torch {}), clip by clip."


TIME = "ms_per_clip_1_threads"
COST_AXES: Mapping[str, tuple[str, float, str]] = {
    "parameters": ("parameters", 1e6, "parameters (millions)"),
    "multiply_adds": ("multiply_adds_5s", 1e9, "multiply-adds for 5 s (billions)"),
    "milliseconds": (TIME, 1, "ms per clip of 5 s, one thread"),
}
"""Cost -> its column in :func:`score_rows`, the size of a unit, and the axis title."""


def score_rows(runs: Mapping[str, MeasuredRun], metric: str, costs: Costs | None) -> pd.DataFrame:
    """Tabulate each model that was run or is in the paper's Table 2; ours above the paper's.

    Scores are fractions; without ``costs`` there are no columns ``ms_per_clip_<n>_threads``.
    """
    paper, rows = read_paper(), []
    for system in dict.fromkeys([*list_models(), *runs]):
        if system in runs:
            rows.append(_measured(runs[system], metric))
        if system in paper.accuracy and (system in runs or system in paper.parameters_mebi):
            rows.append(_stated(system, metric))
    table = pd.DataFrame(rows).astype({"parameters": float, "multiply_adds_5s": float})
    ours = table["system"].where(table["source"] == "measured")
    for threads in costs.milliseconds if costs else ():
        table[f"ms_per_clip_{threads}_threads"] = ours.map(costs.milliseconds[threads])
    return table


RANKED = ("macro_auc", "expected_calibration_error")  # they need probabilities


def _measured(run: MeasuredRun, metric: str) -> dict[str, Any]:
    unknown = metric in RANKED and not run.scored
    score = Estimate(nan, nan, nan) if unknown else run.evaluation.metrics[metric]
    return {
        "system": run.system,
        "source": "measured",
        "accuracy": run.evaluation.metrics["accuracy"].value,
        "metric": metric,
        **asdict(score),
        "parameters": run.parameters,
        "multiply_adds_5s": run.multiply_adds,
        "mebibytes_float32": FLOAT32 * run.parameters / MEBI,
    }


def _stated(system: str, metric: str) -> dict[str, Any]:
    paper = read_paper()
    return {
        "system": system,
        "source": "paper",
        "accuracy": paper.accuracy[system],
        "metric": metric,
        "value": paper.accuracy[system] if metric == "accuracy" else None,
        "parameters": paper.parameters_mebi.get(system, nan) * MEBI,
        "multiply_adds_5s": paper.flops_giga.get(system, nan) * 1e9,
    }


SCORE = "{:.1f} [{:.0f}, {:.0f}]"  # per cent


def shown_table(rows: pd.DataFrame, metric: str, fewer: Mapping[str, str]) -> pd.DataFrame:
    """Return the page's table: a row per model but the ablations of Table 1, with the paper's
    numbers beside ours; ``fewer``: of :func:`base.fewer_seeds`."""
    rows = rows[~rows["system"].isin(list(WITHOUT))]
    systems = rows["system"].unique()
    ours, paper = (
        rows[rows["source"] == source].set_index("system").reindex(systems)
        for source in ("measured", "paper")
    )
    score = base.interval_texts(ours, SCORE, 100).mask(ours["accuracy"].isna(), "not run")
    shown = {
        "model": [base.short_title(name) + fewer.get(name, "") for name in ours.index],
        "accuracy, paper": (100 * paper["accuracy"]).round(2),  # as printed
        "accuracy": (100 * ours["accuracy"]).round(1),
        METRIC_TITLES[metric]: score,
        "Param (MB), paper": (paper["parameters"] / MEBI).round(2),
        "Param (MB)": (ours["parameters"] / MEBI).round(2),
        "FLOPs (G), paper": (1e-9 * paper["multiply_adds_5s"]).round(2),
        "multiply-adds (G)": (1e-9 * ours["multiply_adds_5s"]).round(2),
    }
    if TIME in ours:
        shown["ms per clip"] = ours[TIME].astype(float).round(1)
    return pd.DataFrame(shown).reset_index(drop=True)


def systems(
    found: FoundRuns, cell: base.CellKey, metric: str, cost: str, benchmark: Path = BENCHMARK
) -> tuple[base.Exhibit, ...]:
    """Draw a table of all models, their scores against one of their costs if known, and the effect
    of pruning if measured."""
    runs = found.of(*cell)
    try:
        costs = read_costs(benchmark)
        times = TIMES_NOTE.format(costs.clip, costs.machine, costs.torch)
    except ResultsError as error:
        problem = str(error).replace(str(benchmark), benchmark.name)
        costs, times = None, f"No times: {problem}"
    rows = score_rows(runs, metric, costs)
    name = f"{cell.dataset}-{cell.protocol}-{metric}".replace("_", "-")
    table = base.Exhibit(
        name=f"systems-{name}",
        title="Scores and costs of the models",
        data=rows,
        table=shown_table(rows, metric, base.fewer_seeds(runs)),
        note=f"{_best(rows, runs, metric)}\n\n{base.meaning_text(metric)} {TABLE_NOTE} {times}",
    )
    small = pruning(runs, cell, metric, cost)
    column, unit, title = COST_AXES[cost]
    if column not in rows:
        return (table, *small)
    plotted = rows.dropna(subset=["value", column])
    measured = plotted[plotted["source"] == "measured"]
    if measured.empty:
        return (table, *small)
    is_open, titles = plotted["source"] == "paper", plotted["system"].map(base.short_title)
    titles = titles.mask(is_open, titles + " (paper)")
    units = plotted.assign(cost=plotted[column] / unit, title=titles, name=titles, open=is_open)
    ends = [
        "{0.cost:.3g} ({0.title})".format(units.loc[measured[column].agg(which)])
        for which in ("idxmin", "idxmax")
    ]
    scatter = base.Exhibit(
        name=f"systems-{cost.replace('_', '-')}-{name}",
        title="Score against cost",
        data=plotted,
        figure=cost_figure(units, title, f"{METRIC_TITLES[metric]} per recording (%)"),
        note=f"{title}: {' to '.join(ends)}\n\n"
        + SCATTER_NOTE.format("low" if metric in base.LOWER_IS_BETTER else "high")
        + (OPEN_MARKERS if metric == "accuracy" else ""),  # the paper prints it
    )
    return (table, scatter, *small)


def _best(rows: pd.DataFrame, runs: Mapping[str, MeasuredRun], metric: str) -> str:
    fewer = base.fewer_seeds(runs)
    alike = ~rows["system"].isin(list(fewer))  # models with fewer seeds are not comparable
    values = rows.loc[(rows["source"] == "measured") & alike, "value"]
    if values.isna().all():
        return base.sample_text(list(runs.values()))
    row = rows.loc[values.idxmin() if metric in base.LOWER_IS_BETTER else values.idxmax()]
    score = base.percent_text(Estimate(row["value"], row["low"], row["high"]))
    among = " of the models with all seeds" if fewer else ""
    return (
        f"Best {METRIC_TITLES[metric]}{among}: {base.short_title(row['system'])}, {score}; "
        f"{base.chance_text(runs[row['system']], metric)}; {base.sample_text(list(runs.values()))}"
    )


SYSTEMS = base.Panel(
    name="systems",
    title="Table 2",
    lead="The paper's Table 2: the score and cost of each model, the paper's next to ours.",
    draw=systems,
    cells=base.cells_with,
    selectors=(
        base.metric_selector(),
        base.Selector(
            "cost", "Cost", lambda *_: [base.Option(a[2], key) for key, a in COST_AXES.items()]
        ),
    ),
)


# Scores after channels are removed and weights are quantised to int8.

PRUNING_NOTE = (
    "Each fold lost its least important channels (first-order Taylor importance, Molchanov et al. "
    "2019) and was fitted again for a third of the epochs, with the full model as teacher; no test "
    "recording of the fold was used. Bars: 95% intervals over whole groups; int8 is drawn a little "
    "to the right. Multiply-adds: for 5 s of sound, without the front end. File: the graph for "
    "onnxruntime, front end included. Other models: as in the table above, with all seeds."
)
COSTS = ("parameters", "multiply_adds")  # measured for pruned models


def pruning(
    runs: Mapping[str, MeasuredRun], cell: base.CellKey, metric: str, cost: str
) -> tuple[base.Exhibit, ...]:
    """Draw the pruned models of a cell against their cost, if any were measured; metrics not
    measured for them become balanced accuracy, and costs multiply-adds."""
    found = {name: effect for name, run in runs.items() if (effect := read_pruning(run.folder))}
    if not found:
        return ()
    known = set.intersection(*({*one.scores} for e in found.values() for one in e.variants))
    metric = metric if metric in known else "balanced_accuracy"
    cost = cost if cost in COSTS else "multiply_adds"
    _, unit, axis = COST_AXES[cost]
    rows = pd.DataFrame(
        [
            *(row for name, effect in found.items() for row in _pruned(name, effect, metric)),
            *(_whole(run, metric) for name, run in runs.items() if name in base.COMPARED[1:]),
        ]
    ).dropna(subset=["value", cost])
    title, name = METRIC_TITLES[metric], f"{cell.dataset}-{cell.protocol}-{metric}-{cost}"
    quantised = rows["precision"] == "int8"
    drawn = rows.assign(
        open=quantised, cost=rows[cost] / unit * quantised.map({False: 1, True: 1.04})
    )
    lines = [
        f"{base.short_title(system)}, {base.seeds_text(effect.seeds)}: {found_text(effect, metric)}"
        for system, effect in found.items()
    ]
    exhibit = base.Exhibit(
        name=f"pruning-{name}".replace("_", "-"),
        title="Score against cost when channels are removed",
        data=rows,
        figure=cost_figure(drawn, axis, f"{title} per recording (%)"),
        table=_pruned_table(rows, title),
        note=f"{'; '.join(lines)}\n\n{PRUNING_NOTE}",
    )
    return (exhibit,)


def found_text(effect: PruningEffect, metric: str) -> str:
    """Describe the change of a score in int8, and with half of the multiply-adds or just fewer."""
    full, quantised, *rest = effect.variants
    parts = [f"by {base.points_text(quantised.difference[metric])} in int8"]
    cheap = [one for one in rest if 2 * one.multiply_adds <= full.multiply_adds]
    most = max((one.multiply_adds for one in cheap), default=0)
    for one in (one for one in cheap if one.multiply_adds == most):
        share = f"with {one.multiply_adds / full.multiply_adds:.0%} of the multiply-adds"
        how = "with both" if one.precision == "int8" else share
        parts.append(f"by {base.points_text(one.difference[metric])} {how}")
    return f"{METRIC_TITLES[metric]} changes {', '.join(parts)}"


def _pruned(system: str, effect: PruningEffect, metric: str) -> list[dict[str, object]]:
    title = base.short_title(system)
    return [
        {
            "system": system,
            "title": f"{title}, {one.precision}",
            "name": f"{title}, {one.channels} channels, {one.precision}",
            **{name: getattr(one, name) for name in ("precision", "ratio", "channels")},
            "metric": metric,
            **vars(one.scores[metric]),
            **{f"difference_{end}": value for end, value in vars(one.difference[metric]).items()},
            **{name: getattr(one, name) for name in ("parameters", "multiply_adds", "bytes")},
            "epochs": one.epochs,
        }
        for one in effect.variants
    ]


def _whole(run: MeasuredRun, metric: str) -> dict[str, object]:
    title = base.short_title(run.system)
    return {
        **{"system": run.system, "title": title, "name": title, "precision": "float32"},
        **{"metric": metric, **vars(run.evaluation.metrics[metric])},
        **{"parameters": run.parameters, "multiply_adds": run.multiply_adds},
    }


def _pruned_table(rows: pd.DataFrame, title: str) -> pd.DataFrame:
    points = "{:+.1f} [{:+.1f}, {:+.1f}]"
    return pd.DataFrame(
        {
            "model": rows["name"],
            title: base.interval_texts(rows, SCORE, 100),
            "difference": base.interval_texts(rows, points, 100, "difference_"),
            "parameters (M)": (rows["parameters"] / 1e6).round(2),
            "multiply-adds (G)": (rows["multiply_adds"] / 1e9).round(3),
            "file (MB)": (rows["bytes"] / 1e6).round(1),
        }
    )
