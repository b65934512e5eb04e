"""Draw the paper's Table 1: the improved model, and what it loses without each of its modules."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import astuple
from textwrap import wrap

import pandas as pd

from analysis.figures.intervals import ablation_figure, scores_figure
from analysis.panels import base
from analysis.stats.comparison import DRAWS, ComparisonError, holm, pair, scores_by
from analysis.stats.paper import FULL, LIKE_ACCURACY, MODULES, WITHOUT, read_paper
from analysis.stats.runs import METRIC_TITLES, SPLITS, FoundRuns, MeasuredRun, chance_level
from cry_model.networks.registry import HYBRID
from cry_model.records import Estimate, dataset_title

NAMES = {FULL: "all modules", HYBRID: "hybrid", **WITHOUT}
SCORES_NOTE = (
    "Each row is the model with all modules, without one, or with one more. "
    "Squares: all folds and seeds pooled, with 95% intervals from 1,000 bootstrap resamplings "
    "of whole groups (babies or source recordings). Dots: all folds of one seed, where there are "
    "several."
)
DIAMONDS = (
    "Diamonds: the paper's accuracy, measured on other recordings or another split; compare the "
    "order, not the level."
)
DROPS_NOTE = (
    "A bar above zero means that the model is worse without that module. Each bar is the model "
    "with all modules minus the model without one, on the same recordings and folds. A lower "
    "calibration error is better, so there a bar below zero means worse. Intervals: 95%, from "
    f"{DRAWS:,} resamplings of whole groups, the same for both models. p: how often equal models "
    f"would differ this much by chance (permutation test: {DRAWS:,} random swaps of the "
    "predictions for whole groups); p (Holm): corrected for the number of modules. Neither "
    "includes the variation between seeds. The paper gives no intervals."
)


DROPS = ["source", "without", "metric", "all_modules", "left_out", "difference", "low", "high"]
DROPS += ["p_value", "p_holm", "seeds"]
"""Columns of the losses, which are fractions."""


def ablation_scores(runs: Mapping[str, MeasuredRun], metric: str) -> pd.DataFrame:
    """Tabulate everything in the figure of scores, a row for each mark.

    Columns are mark ("measured", "seed", "paper" or "chance"), system (for "chance", its name),
    seed, value, low and high; the last three 0 to 1. Raise ResultsError if the predictions of a run
    cannot be read.
    """
    rows, stated = [], read_paper().accuracy if metric == "accuracy" else {}
    for system, run in runs.items():
        rows.append(("measured", system, None, *astuple(run.evaluation.metrics[metric])))
        if len(run.seeds) > 1:
            for own in scores_by(run, metric, "seed").itertuples():
                rows.append(("seed", system, own.seed, own.value, None, None))
        if system in stated:
            rows.append(("paper", system, None, stated[system], None, None))
    level = chance_level(runs[FULL].evaluation, metric)
    if level is not None:
        rows.append(("chance", level.name, None, level.value, None, None))
    columns = ["mark", "system", "seed", "value", "low", "high"]
    return pd.DataFrame(rows, columns=columns).astype({"seed": "Int64"})


def drops_of(runs: Mapping[str, MeasuredRun], metric: str) -> tuple[pd.DataFrame, list[str]]:
    """Compare the improved model with each ablation that was run: a row for each comparable one, in
    registry order, a sentence for each other. Raise ResultsError if predictions cannot be read."""
    full, rows, reasons = runs[FULL], [], []
    for system in (name for name in WITHOUT if name in runs):
        try:
            found = pair(full, runs[system]).compare(metric)
        except ComparisonError as error:
            reasons.append(str(error))
            continue
        scores = found.value_one, found.value_other, *astuple(found.difference)
        seeds = " ".join(map(str, found.by_seed))
        rows.append(("measured", MODULES[system], metric, *scores, found.p_value, None, seeds))
    drops = pd.DataFrame(rows, columns=DROPS)
    return drops.assign(p_holm=holm(drops["p_value"])), reasons


def paper_rows() -> pd.DataFrame:
    """Tabulate the paper's loss without each module, in the first of :data:`DROPS`."""
    paper = read_paper()
    full, without = paper.accuracy[FULL], paper.accuracy
    rows = [
        ("paper", module, "accuracy", full, without[system], paper.drop(system))
        for system, module in MODULES.items()
    ]
    return pd.DataFrame(rows, columns=DROPS[:6])


def ablation_table(
    runs: Mapping[str, MeasuredRun], metric: str, drops: pd.DataFrame
) -> pd.DataFrame:
    """Return the page's table: a row per model that was run, in per cent and points."""
    score = f"{METRIC_TITLES[metric]} (%)"
    lost = f"{'difference' if metric in base.LOWER_IS_BETTER else 'lost'} (points)"
    rows, fewer, paper = [], base.fewer_seeds(runs), read_paper()
    for system, run in runs.items():
        e = run.evaluation.metrics[metric]
        row = {
            "model": NAMES[system] + fewer.get(system, ""),
            score: round(100 * e.value, 1),
            "95% interval": f"{100 * e.low:.1f} to {100 * e.high:.1f}",
        }
        if system in paper.accuracy:
            row["paper, accuracy (%)"] = round(100 * paper.accuracy[system], 2)
        if system in MODULES:
            row["paper, lost (points)"] = round(100 * paper.drop(system), 2)
        for drop in drops[drops["without"] == MODULES.get(system)].itertuples():
            row |= {
                lost: round(100 * drop.difference, 1),
                "its 95% interval": f"{100 * drop.low:.1f} to {100 * drop.high:.1f}",
                "p": round(drop.p_value, 3),
                "p (Holm)": round(drop.p_holm, 3),
            }
        rows.append(row)
    ours = ["model", score, "95% interval", lost, "its 95% interval", "p", "p (Holm)"]
    return pd.DataFrame(rows, columns=[*ours, "paper, accuracy (%)", "paper, lost (points)"])


def hybrid_text(runs: Mapping[str, MeasuredRun], metric: str) -> str:
    """Compare the hybrid with the improved model on their common seeds; empty without a hybrid."""
    if HYBRID not in runs:
        return ""
    try:
        one = pair(runs[HYBRID], runs[FULL]).compare(metric)
    except ComparisonError as error:
        return str(error)
    return (
        f"Hybrid minus all modules, on the seeds of both: {base.points_text(one.difference)}, "
        f"{base.p_text(one.p_value)}."
    )


def ablation(found: FoundRuns, cell: base.CellKey, metric: str) -> tuple[base.Exhibit, ...]:
    """Draw each model's score, and the paired differences if any can be computed."""
    own = found.of(*cell)
    runs = {system: own[system] for system in NAMES if system in own}
    full, title = runs[FULL], METRIC_TITLES[metric]
    drops, reasons = drops_of(runs, metric)
    name = f"{cell.dataset}-{cell.protocol}-{metric}".replace("_", "-")
    data, fewer = ablation_scores(runs, metric), base.fewer_seeds(runs)
    names = {system: title + fewer.get(system, "") for system, title in NAMES.items()}
    captions = [
        hybrid_text(runs, metric),
        base.meaning_text(metric),
        SCORES_NOTE,
        DIAMONDS if metric == "accuracy" else "",
        full.settings and f"Settings that differ from the paper's: {full.settings_text}.",
        *reasons,
    ]
    levels = base.Exhibit(
        name=f"ablation-{name}",
        title="Score with all modules and without each",
        data=data,
        figure=scores_figure(data, names, f"{title}<br>per recording (%)"),
        note=f"All modules: {title} {base.percent_text(full.evaluation.metrics[metric])}; "
        f"{base.chance_text(full, metric)}; {base.sample_text(list(runs.values()))}\n\n"
        + " ".join(filter(None, captions)),
    )
    return (levels, _drops(name, runs, metric, drops)) if len(drops) else (levels,)


def _drops(
    name: str, runs: Mapping[str, MeasuredRun], metric: str, drops: pd.DataFrame
) -> base.Exhibit:
    lower, full = metric in base.LOWER_IS_BETTER, runs[FULL]
    largest = drops.loc[drops["difference"].agg("idxmin" if lower else "idxmax")]
    difference = Estimate(*largest[["difference", "low", "high"]])
    lost = difference.value < 0 if lower else difference.value > 0
    first = "Largest loss" if lost else "No loss; the closest to one"
    data = pd.concat([drops, paper_rows()]) if metric in LIKE_ACCURACY else drops
    here = "<br>".join([*wrap(dataset_title(full.dataset), 16), SPLITS[full.protocol]])
    where = data["source"].map({"measured": here, "paper": "the paper<br>(accuracy)"})
    systems = {module: system for system, module in MODULES.items()}
    bars = data.assign(
        where=where, system=data["without"].map(systems), name="without " + data["without"]
    )
    bars = bars.sort_values("source", ascending=False, kind="stable")  # the paper's first
    axis = f"{METRIC_TITLES[metric]}<br>{'difference' if lower else 'lost'} (points)"
    return base.Exhibit(
        name=f"ablation-drops-{name}",
        title="Loss without each module",
        data=data,
        figure=ablation_figure(bars, axis),
        table=ablation_table(runs, metric, drops),
        note=f"{first}: without {largest['without']}, {base.points_text(difference)}, "
        f"{base.p_text(largest['p_holm'])} (Holm)\n\n{DROPS_NOTE}",
    )


ABLATION = base.Panel(
    name="ablation",
    title="Table 1",
    lead="The paper's Table 1: what multi-scale channel attention (MCA), residual "
    "squeeze-and-excitation (RSE) and differential attention add to the improved ECAPA-TDNN. The "
    "hybrid has all three, plus attention over bands and time, which the paper leaves to future "
    "work.",
    draw=ablation,
    cells=lambda found: base.cells_with(
        found, lambda runs: FULL in runs and not runs.keys().isdisjoint(WITHOUT)
    ),
    selectors=(base.metric_selector(),),
)
