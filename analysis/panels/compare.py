"""Draw two models of a cell: how far one is ahead, whether by chance, and on which recordings."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from analysis.figures.intervals import difference_figure
from analysis.figures.theme import PALETTE, TEXT, signed
from analysis.panels.base import (
    LOWER_IS_BETTER,
    CellKey,
    Exhibit,
    Panel,
    Selector,
    cells_with,
    metric_selector,
    p_text,
    points_text,
    short_title,
    system_title,
    systems_there,
)
from analysis.stats.comparison import DRAWS, Comparison, compare_all
from analysis.stats.paired import ComparisonError, McNemar, answers, flipped_of, mcnemar_of
from analysis.stats.recordings import METRIC_TITLES
from analysis.stats.runs import FoundRuns
from cry_model.metrics import METRICS
from cry_model.records import words

DIFFERENCE_NOTE = (
    "A dot to the right of the line means that model A has the higher value. Both are "
    "scored per recording on the same recordings and folds; a point is a hundredth of a metric. "
    f"Intervals: 95%, from {DRAWS:,} resamplings of whole groups (babies or source recordings), "
    "the same for both models. p: paired permutation test, the predictions of both swapped at "
    f"random within groups {DRAWS:,} times; not corrected for the number of metrics. Several seeds "
    "are pooled, and open circles are one seed alone; how far another seed would differ is not in "
    "the intervals. Where neither model is better than the chance level, a difference says little."
)
MCNEMAR_NOTE = (
    "If both models were equally good, each would be the only right one about as often as the "
    "other. McNemar's exact test gives the probability of a split at least as uneven. It takes the "
    "recordings as independent, but they come in groups, so its p may be too small; the p of the "
    "permutation test above respects the groups."
)
FLIPS_NOTE = (
    "The table lists every recording that the two models label differently. Columns A and B: the "
    "most probable label of each model; right: whose label is the true one."
)


def metric_name(metric: str) -> str:
    """Write a metric for an axis, and that lower is better where it is."""
    return METRIC_TITLES[metric] + " (lower is better)" * (metric in LOWER_IS_BETTER)


def difference_data(compared: Sequence[Comparison]) -> pd.DataFrame:
    """Tabulate each metric over all seeds, then, of several seeds, each metric and seed."""
    rows: list[tuple[object, ...]] = []
    for c in compared:
        d = c.difference
        values = (c.value_one, c.value_other, d.value, d.low, d.high, c.p_value)
        rows.append((c.metric, None, *values))
    rows += [
        (c.metric, seed, None, None, value, None, None, None)
        for c in compared
        for seed, value in c.by_seed.items()
        if len(c.by_seed) > 1
    ]
    columns = ["metric", "seed", "run_a", "run_b", "a_minus_b", "low", "high", "p_swaps"]
    return pd.DataFrame(rows, columns=columns).astype({"seed": "Int64"})


def difference_table(compared: Sequence[Comparison]) -> pd.DataFrame:
    """Write a row for each metric; of several seeds, in how many the difference has its sign."""
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
    """List what the figure shows: each metric, below the chosen one its seeds, if there are more.

    Args:
        data: of :func:`difference_data`.
        metric: the chosen one.
    """
    chosen = data["metric"] == metric
    rows = data[data["seed"].isna() | chosen].rename(columns={"a_minus_b": "value"})
    rows = rows.sort_values("metric", key=lambda name: name.map(list(METRICS).index), kind="stable")
    names = rows["metric"].map(lambda name: metric_name(name).replace(" (", "<br>("))
    names = names.mask(rows["metric"] == metric, "<b>" + names + "</b>")
    return rows.assign(
        name=names.mask(rows["seed"].notna(), "seed " + rows["seed"].astype(str)),
        colour=(rows["metric"] == metric).map({True: PALETTE[-1], False: TEXT}),
    )


def mcnemar_data(tests: Sequence[McNemar]) -> pd.DataFrame:
    """Tabulate the counts and the p-value of each seed."""
    rows = [(t.seed, t.both, t.only_one, t.only_other, t.neither, t.p_value) for t in tests]
    columns = ["seed", "both_right", "only_a_right", "only_b_right", "neither_right", "p_mcnemar"]
    return pd.DataFrame(rows, columns=columns)


def mcnemar_table(tests: Sequence[McNemar]) -> pd.DataFrame:
    """Write right and wrong of one model by right and wrong of the other, for each seed."""
    rows = [
        row
        for t in tests
        for row in (
            (t.seed, "right", t.both, t.only_one, p_text(t.p_value)),
            (t.seed, "wrong", t.only_other, t.neither, ""),
        )
    ]
    columns = ["seed", "A", "B right", "B wrong", "McNemar"]
    table = pd.DataFrame(rows, columns=columns)
    return table if len(tests) > 1 else table.drop(columns="seed")


def flip_data(disagreements: pd.DataFrame) -> pd.DataFrame:
    """Tabulate the disagreements for the download."""
    right = disagreements["right"].replace({"one": "run_a", "other": "run_b"})
    return disagreements.assign(right=right).rename(columns={"one": "run_a", "other": "run_b"})


def flip_table(disagreements: pd.DataFrame) -> pd.DataFrame:
    """Write a row for each recording and seed; those that only one model got right come first."""
    table = pd.DataFrame(
        {
            "right": disagreements["right"].map({"one": "A", "other": "B", "neither": "neither"}),
            "label": disagreements["label"].map(words),
            "A": disagreements["one"].map(words),
            "B": disagreements["other"].map(words),
            "recording": disagreements["recording"],
            "group": disagreements["group"],
            "seed": disagreements["seed"],
        }
    ).sort_values(["right", "label", "recording", "seed"], ignore_index=True)
    return table if disagreements["seed"].nunique() > 1 else table.drop(columns="seed")


def two_runs(
    found: FoundRuns, cell: CellKey, run_a: str, run_b: str, metric: str
) -> tuple[Exhibit, ...]:
    """Draw the differences by every metric, McNemar's test, and the disagreements.

    Raises:
        ComparisonError: if both are the same, or cannot be set against each other.
        ResultsError: if the predictions of one cannot be read.
    """
    if run_a == run_b:
        raise ComparisonError(f"Both models are the {system_title(run_a)}; choose another for one.")
    one, other = (found.of(*cell)[name] for name in (run_a, run_b))
    names = f"A ({short_title(run_a)}) and B ({short_title(run_b)})"
    seeds = sorted(set(one.seeds) & set(other.seeds))
    compared = compare_all(one, other, tuple(METRICS), seeds, DRAWS)
    chosen = next(c for c in compared if c.metric == metric)
    told = {seed: answers(one, other, seed) for seed in seeds}
    tests = [mcnemar_of(table, seed) for seed, table in told.items()]
    disagreements = pd.concat([flipped_of(table).assign(seed=seed) for seed, table in told.items()])
    data, counts = difference_data(compared), disagreements["right"].value_counts()
    end = "-".join((*cell, run_a, run_b)).replace("_", "-")
    return (
        Exhibit(
            f"difference-{end}",
            f"Difference of {names}",
            data,
            difference_figure(difference_rows(data, metric), "A minus B (points)"),
            difference_table(compared),
            f"{METRIC_TITLES[metric].capitalize()}: {points_text(chosen.difference)}, "
            f"{p_text(chosen.p_value)}; {chosen.recordings} recordings, {chosen.groups} groups, "
            f"seeds {', '.join(map(str, seeds))}\n\n{DIFFERENCE_NOTE}",
        ),
        Exhibit(
            f"mcnemar-{end}",
            "McNemar's test",
            mcnemar_data(tests),
            table=mcnemar_table(tests),
            note=f"Only A right: {sum(t.only_one for t in tests)}; only B right: "
            f"{sum(t.only_other for t in tests)}; {', '.join(p_text(t.p_value) for t in tests)}"
            f"\n\n{MCNEMAR_NOTE}",
        ),
        Exhibit(
            f"flips-{end}",
            "Recordings with different predictions",
            flip_data(disagreements),
            table=flip_table(disagreements),
            note=f"{len(disagreements)} of {chosen.recordings * len(seeds)} predictions differ; "
            f"only A right: {counts.get('one', 0)}, only B right: {counts.get('other', 0)}, "
            f"neither: {counts.get('neither', 0)}\n\n{FLIPS_NOTE}",
        ),
    )


COMPARE = Panel(
    name="compare",
    title="Compare",
    lead="Compare two models on the same recordings: how far one is ahead, whether chance could do "
    "as much, and which recordings they label differently.",
    draw=two_runs,
    cells=lambda found: cells_with(found, lambda runs: len(runs) > 1),
    places=3,
    selectors=(
        Selector("run_a", "Model (A)", systems_there),
        Selector("run_b", "Compare with (B)", systems_there, first=1),
        metric_selector("balanced_accuracy"),
    ),
)
