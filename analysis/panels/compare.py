"""Two runs of a cell: how far one is ahead, whether by chance, and on which recordings."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from analysis.figures.intervals import Dot, difference_figure
from analysis.figures.theme import PALETTE, TEXT
from analysis.findings_tables import signed
from analysis.panels.base import (
    CellKey,
    Exhibit,
    Option,
    Panel,
    Selector,
    cells_with,
    system_title,
    systems_there,
)
from analysis.points import p_text, points, span
from analysis.split_words import kept_apart
from analysis.stats.claims import LEVEL
from analysis.stats.comparison import DRAWS, Comparison, compare_all
from analysis.stats.paired import ComparisonError, McNemar, answers, flipped_of, mcnemar_of
from analysis.stats.runs import FoundRuns, MeasuredRun
from cry_model.metrics import METRICS
from cry_model.records import words

LESS_IS_BETTER = "expected_calibration_error"


def metric_name(metric: str) -> str:
    """Short enough for an axis, and which way is better where it is not the usual one."""
    return "calibration error (less is better)" if metric == LESS_IS_BETTER else words(metric)


def difference_finding(c: Comparison) -> str:
    """Who is ahead by one metric, if anybody is."""
    one, other, name = system_title(c.one), system_title(c.other), words(c.metric)
    d = c.difference
    if d.low <= 0 <= d.high:
        return (
            f"By {name} the {one} and the {other} cannot be told apart: they differ by "
            f"{points(d.value, 1, True)} ({span(d.low, d.high, 1, True)})"
        )
    if (d.value > 0) == (c.metric == LESS_IS_BETTER):
        one, other = other, one
    near, far = sorted((abs(d.low), abs(d.high)))
    finding = (
        f"The {one} is ahead of the {other} by {points(abs(d.value), 1)} of {name} "
        f"({span(near, far, 1)})"
    )
    if c.p_value > LEVEL:
        finding += f", but answers swapped at random often are as far apart ({p_text(c.p_value)})"
    return finding


def difference_note(c: Comparison, runs: Sequence[MeasuredRun]) -> str:
    """How the differences were measured, and what they do not say."""
    groups = kept_apart(c.dataset, "baby")
    lines = [
        f"Run A: {system_title(c.one)}; run B: {system_title(c.other)}. Scored per recording on "
        f"the same {c.recordings} recordings and folds. A point is a hundredth of a metric. The "
        f"95 % intervals draw the {c.groups} {groups} anew, the same for both; p is the share of "
        "random swaps of both runs’ answers within a group that set them at least as far apart, "
        "not corrected for looking at several metrics.",
        _seeds(c),
    ]
    if not any(run.evaluation.better_than_chance for run in runs):
        lines.append("Neither is better than guessing here, so who is ahead says little.")
    return " ".join(lines)


def _seeds(c: Comparison) -> str:
    if len(c.by_seed) == 1:
        return "One seed of each: how another would differ is not in the intervals."
    return f"{len(c.by_seed)} seeds of each, pooled; open circles are one seed alone."


def mcnemar_finding(tests: Sequence[McNemar], run_a: str, run_b: str) -> str:
    """Whether the recordings that only one got right are divided as by chance."""
    a, b = system_title(run_a), system_title(run_b)
    sure = [test for test in tests if test.p_value <= LEVEL]
    if len(tests) > 1:
        return (
            f"McNemar’s test tells the {a} and the {b} apart in {len(sure)} of {len(tests)} seeds"
        )
    (test,) = tests
    counts = f"only A is right {test.only_one} times, only B {test.only_other} times"
    verdict = "tells the runs apart" if sure else "does not tell the runs apart"
    return f"McNemar’s test {verdict} ({p_text(test.p_value)}): {counts}"


def mcnemar_note(c: Comparison) -> str:
    """The caveat."""
    return (
        "The exact test (McNemar 1947): if either run were as likely to be the only one that is "
        "right, how often would the division be at least as uneven? It takes the "
        f"{c.recordings} recordings as independent; they come from {c.groups} "
        f"{kept_apart(c.dataset, 'baby')}, so its p may be too small. The p of the swaps above "
        "knows the groups."
    )


def flip_finding(tests: Sequence[McNemar], flips: int, run_a: str, run_b: str) -> str:
    """How many answers changed, and who alone was right."""
    total = sum(t.both + t.only_one + t.only_other + t.neither for t in tests)
    only_a, only_b = (sum(getattr(t, name) for t in tests) for name in ("only_one", "only_other"))
    what = "recordings" if len(tests) == 1 else f"answers of {len(tests)} seeds"
    return (
        f"{flips} of {total} {what} flipped: {only_a} are right only with the "
        f"{system_title(run_a)}, {only_b} only with the {system_title(run_b)}, "
        f"{flips - only_a - only_b} with neither"
    )


def flip_note(run_a: str, run_b: str) -> str:
    """What the columns are."""
    return (
        f"Every recording whose most probable label differs between run A "
        f"({system_title(run_a)}) and run B ({system_title(run_b)}); “right” is which of them gave "
        "the label that the recording has."
    )


def difference_data(compared: Sequence[Comparison]) -> pd.DataFrame:
    """A row for each metric over all seeds, then for each metric and seed."""
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
    """A row for each metric; of several seeds, in how many the difference has its sign."""
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
    columns = ["metric", "run A", "run B", "A minus B", "p (swaps)", "seeds"]
    table = pd.DataFrame(rows, columns=columns)
    return table if len(compared[0].by_seed) > 1 else table.drop(columns="seeds")


def mcnemar_data(tests: Sequence[McNemar]) -> pd.DataFrame:
    """A row for each seed."""
    rows = [(t.seed, t.both, t.only_one, t.only_other, t.neither, t.p_value) for t in tests]
    columns = ["seed", "both_right", "only_a_right", "only_b_right", "neither_right", "p_mcnemar"]
    return pd.DataFrame(rows, columns=columns)


def mcnemar_table(tests: Sequence[McNemar], run_a: str, run_b: str) -> pd.DataFrame:
    """Right and wrong of one system by right and wrong of the other, for each seed."""
    rows = [
        row
        for t in tests
        for row in (
            (t.seed, "right", t.both, t.only_one, p_text(t.p_value)),
            (t.seed, "wrong", t.only_other, t.neither, ""),
        )
    ]
    title, other = f"A: {system_title(run_a)}", f"B: {system_title(run_b)}"
    columns = ["seed", title, f"{other} right", f"{other} wrong", "McNemar"]
    table = pd.DataFrame(rows, columns=columns)
    return table if len(tests) > 1 else table.drop(columns="seed")


def flip_data(flips: pd.DataFrame) -> pd.DataFrame:
    """The same as :func:`flip_table` with the names of the files."""
    right = flips["right"].replace({"one": "run_a", "other": "run_b"})
    return flips.assign(right=right).rename(columns={"one": "run_a", "other": "run_b"})


def flip_table(flips: pd.DataFrame) -> pd.DataFrame:
    """A row for each recording and seed; those that only one run got right first."""
    who = {"one": "A", "other": "B", "neither": "neither"}
    table = pd.DataFrame(
        {
            "right": flips["right"].map(who),
            "label": flips["label"].map(words),
            "run A": flips["one"].map(words),
            "run B": flips["other"].map(words),
            "recording": flips["recording"],
            "group": flips["group"],
            "seed": flips["seed"],
        }
    ).sort_values(["right", "label", "recording", "seed"], ignore_index=True)
    return table if flips["seed"].nunique() > 1 else table.drop(columns="seed")


def two_runs(
    found: FoundRuns, cell: CellKey, run_a: str, run_b: str, metric: str
) -> tuple[Exhibit, ...]:
    """The differences by every metric, McNemar's test, and the recordings that flipped.

    Raises:
        ComparisonError: if both are the same, or cannot be set against each other.
        ResultsError: if the predictions of one cannot be read.
    """
    if run_a == run_b:
        title = system_title(run_a)
        raise ComparisonError(f"Run A and run B are both the {title}; choose another for one.")
    runs = found.of(*cell)
    one, other = runs[run_a], runs[run_b]
    seeds = sorted(set(one.seeds) & set(other.seeds))
    compared = compare_all(one, other, tuple(METRICS), seeds, DRAWS)
    told = {seed: answers(one, other, seed) for seed in seeds}
    tests = [mcnemar_of(table, seed) for seed, table in told.items()]
    flips = pd.concat([flipped_of(table).assign(seed=seed) for seed, table in told.items()])
    end = "-".join((*cell, run_a, run_b)).replace("_", "-")
    return (
        Exhibit(
            f"difference-{end}",
            difference_finding(next(c for c in compared if c.metric == metric)),
            difference_data(compared),
            difference_figure(_dots(compared, metric), "A minus B (points)"),
            difference_table(compared),
            difference_note(compared[0], (one, other)),
        ),
        Exhibit(
            f"mcnemar-{end}",
            mcnemar_finding(tests, run_a, run_b),
            mcnemar_data(tests),
            table=mcnemar_table(tests, run_a, run_b),
            note=mcnemar_note(compared[0]),
        ),
        Exhibit(
            f"flips-{end}",
            flip_finding(tests, len(flips), run_a, run_b),
            flip_data(flips),
            table=flip_table(flips),
            note=flip_note(run_a, run_b),
        ),
    )


def _dots(compared: Sequence[Comparison], metric: str) -> list[Dot]:
    """One for each metric; where there are several seeds, one for each of the chosen metric."""
    dots = []
    for c in compared:
        value, *span = (100 * x for x in (c.difference.value, c.difference.low, c.difference.high))
        chosen, name = c.metric == metric, metric_name(c.metric)
        colour = PALETTE[-1] if chosen else TEXT
        name = name.replace(" (", "<br>(")
        dots.append(Dot(f"<b>{name}</b>" if chosen else name, value, tuple(span), colour))
        if chosen and len(c.by_seed) > 1:
            dots += [Dot(f"seed {s}", 100 * v, None, colour) for s, v in c.by_seed.items()]
    return dots


COMPARE = Panel(
    name="compare",
    title="Compare",
    lead="Compare two runs on the same recordings: by how much one is ahead, whether chance would "
    "do as much, and which recordings they answer differently.",
    draw=two_runs,
    cells=lambda found: cells_with(found, lambda runs: len(runs) > 1),
    places=3,
    selectors=(
        Selector("run_a", "Run A", systems_there),
        Selector("run_b", "Run B", systems_there, first=1),
        Selector(
            "metric",
            "Metric",
            lambda *_: [Option(metric_name(metric), metric) for metric in METRICS],
            first=list(METRICS).index("balanced_accuracy"),
        ),
    ),
)
