"""Compare two models of a cell: their difference, its significance, and where they disagree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple

import pandas as pd

from analysis.figures.intervals import difference_figure
from analysis.figures.theme import PALETTE, TEXT, signed
from analysis.panels import base
from analysis.stats.comparison import (
    DRAWS,
    Comparison,
    ComparisonError,
    disagreements,
    mcnemar_tests,
    pair,
)
from analysis.stats.runs import METRIC_TITLES, FoundRuns
from cry_model.metrics import METRICS
from cry_model.records import counted, words

DIFFERENCE_NOTE = (
    "A dot to the right of the line means that model A has the higher value. Both are scored "
    "per recording on the same recordings and folds; a point is a hundredth of a metric. "
    f"Intervals: 95%, from {DRAWS:,} resamplings of whole groups (babies or source recordings), "
    "the same for both models. p: how often equal models would differ this much by chance "
    f"(permutation test: {DRAWS:,} random swaps of the predictions for whole groups); not "
    "corrected for the number of metrics. Several seeds are pooled; open circles are one seed "
    "alone. The intervals do not include the variation between seeds. Where neither model is "
    "better than chance, a difference says little."
)
MCNEMAR_NOTE = (
    "If both models were equally good, each would be the only right one about as often as the "
    "other. McNemar's exact test gives the probability of a split at least as uneven. It treats "
    "the recordings as independent, but they come in groups, so its p may be too small. The "
    "permutation test above accounts for the groups."
)
OTHER_WAY = (
    "This count and the difference above point in opposite directions: here each recording counts "
    "equally, so frequent labels decide; balanced accuracy weights all labels equally. "
)
FLIPS_NOTE = (
    "The table lists every recording that the two models label differently. Columns A and B: the "
    "most probable label of each model; right: whose label is the true one."
)


def metric_name(metric: str) -> str:
    """Return a metric's axis title, which says if lower is better."""
    return METRIC_TITLES[metric] + " (lower is better)" * (metric in base.LOWER_IS_BETTER)


def difference_data(compared: Sequence[Comparison]) -> pd.DataFrame:
    """Tabulate each metric over all seeds; with several seeds, also each metric and seed."""
    rows: list[tuple[object, ...]] = [
        (c.metric, None, c.value_one, c.value_other, *astuple(c.difference), c.p_value)
        for c in compared
    ]
    rows += [
        (c.metric, seed, None, None, value, None, None, None)
        for c in compared
        for seed, value in c.by_seed.items()
        if len(c.by_seed) > 1
    ]
    columns = ["metric", "seed", "run_a", "run_b", "a_minus_b", "low", "high", "p_swaps"]
    return pd.DataFrame(rows, columns=columns).astype({"seed": "Int64"})


def difference_table(compared: Sequence[Comparison]) -> pd.DataFrame:
    """Return a row per metric; with several seeds, also in how many the difference has its sign."""
    rows = [
        (
            metric_name(c.metric),
            round(c.value_one, 3),
            round(c.value_other, 3),
            signed(c.difference),
            round(c.p_value, 3),
            f"{c.seeds_agree} of {len(c.by_seed)}",
        )
        for c in compared
    ]
    columns = ["metric", "A", "B", "A minus B [95% interval]", "p", "seeds of the same sign"]
    table = pd.DataFrame(rows, columns=columns)
    return table if len(compared[0].by_seed) > 1 else table.drop(columns=columns[-1])


def difference_rows(data: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Return the rows of the figure: each metric, below the chosen one its seeds, if several."""
    chosen = data["metric"] == metric
    rows = data[data["seed"].isna() | chosen].rename(columns={"a_minus_b": "value"})
    rows = rows.sort_values("metric", key=lambda name: name.map(list(METRICS).index), kind="stable")
    names = rows["metric"].map(lambda name: metric_name(name).replace(" (", "<br>("))
    names = names.mask(rows["metric"] == metric, "<b>" + names + "</b>")
    return rows.assign(
        name=names.mask(rows["seed"].notna(), "seed " + rows["seed"].astype(str)),
        colour=(rows["metric"] == metric).map({True: PALETTE[-1], False: TEXT}),
    )


def mcnemar_table(tests: pd.DataFrame) -> pd.DataFrame:
    """Cross-tabulate right and wrong answers of both models, for each seed."""
    rows = [
        row
        for t in tests.itertuples()
        for row in (
            (t.seed, "right", t.both_right, t.only_a_right, base.p_text(t.p_mcnemar)),
            (t.seed, "wrong", t.only_b_right, t.neither_right, ""),
        )
    ]
    columns = ["seed", "A", "B right", "B wrong", "McNemar"]
    table = pd.DataFrame(rows, columns=columns)
    return table if len(tests) > 1 else table.drop(columns="seed")


def flip_table(flips: pd.DataFrame) -> pd.DataFrame:
    """Return a row per recording and seed, first those that only one model got right."""
    table = pd.DataFrame(
        {
            "recording": flips["recording"],
            "right": flips["right"].replace({"run_a": "A", "run_b": "B"}),
            "label": flips["label"].map(words),
            "A": flips["run_a"].map(words),
            "B": flips["run_b"].map(words),
            "group": flips["group"],
            "seed": flips["seed"],
        }
    ).sort_values(["right", "label", "recording", "seed"], ignore_index=True)
    return table if flips["seed"].nunique() > 1 else table.drop(columns="seed")


def two_runs(
    found: FoundRuns, cell: base.CellKey, run_a: str, run_b: str, metric: str
) -> tuple[base.Exhibit, ...]:
    """Draw the differences by every metric, McNemar's test, and the disagreements; raise
    ComparisonError if both models are the same or cannot be compared."""
    if run_a == run_b:
        raise ComparisonError(
            f"Both models are the {base.system_title(run_a)}; choose two different ones."
        )
    runs = found.of(*cell)
    both = pair(runs[run_a], runs[run_b], draws=DRAWS)
    compared = [both.compare(name) for name in METRICS]
    chosen = compared[list(METRICS).index(metric)]
    tests, flips = mcnemar_tests(both.answers), disagreements(both.answers)
    only_a, only_b, neither = (
        (flips["right"] == right).sum() for right in ("run_a", "run_b", "neither")
    )
    opposed = metric == "balanced_accuracy" and (only_a - only_b) * chosen.difference.value < 0
    data, end = difference_data(compared), "-".join((*cell, run_a, run_b)).replace("_", "-")
    drawn = difference_rows(data[~data["metric"].isin(base.LOWER_IS_BETTER)], metric)
    return (
        base.Exhibit(
            f"difference-{end}",
            f"Difference between A ({base.short_title(run_a)}) and B ({base.short_title(run_b)})",
            data,
            difference_figure(drawn, "A minus B (points)"),
            difference_table(compared),
            f"{METRIC_TITLES[metric].capitalize()}: {base.points_text(chosen.difference)}, "
            f"{base.p_text(chosen.p_value)}; {counted(both.recordings, 'recording')}, "
            f"{counted(both.groups, 'group')}, {base.seeds_text(both.seeds)}\n\n"
            f"{base.meaning_text(metric)} {DIFFERENCE_NOTE}",
        ),
        base.Exhibit(
            f"mcnemar-{end}",
            "McNemar's test",
            tests,
            table=mcnemar_table(tests),
            note=f"Only A right: {only_a}; only B right: {only_b}; "
            f"{', '.join(map(base.p_text, tests['p_mcnemar']))}\n\n"
            f"{OTHER_WAY * bool(opposed)}{MCNEMAR_NOTE}",
        ),
        base.Exhibit(
            f"flips-{end}",
            "Recordings with different predictions",
            flips,
            table=flip_table(flips),
            note=f"{len(flips)} of {len(both.table)} predictions differ; only A right: {only_a}, "
            f"only B right: {only_b}, neither: {neither}\n\n{FLIPS_NOTE}",
            plays=base.played(cell),
        ),
    )


COMPARE = base.Panel(
    name="compare",
    title="Compare",
    lead="Compare two models on the same recordings: how far one is ahead, whether that could be "
    "chance, and which recordings they label differently.",
    draw=two_runs,
    cells=lambda found: base.cells_with(found, lambda runs: len(runs) > 1),
    selectors=(
        base.Selector("run_a", "Model (A)", base.systems_there),
        base.Selector("run_b", "Compare with (B)", base.systems_there, first=1),
        base.metric_selector(),
    ),
)
