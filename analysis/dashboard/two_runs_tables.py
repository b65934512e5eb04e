"""The numbers of the comparison of two runs: as downloaded, and as shown."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from analysis.comparison import Comparison
from analysis.dashboard.systems import system_title
from analysis.dashboard.two_runs_words import metric_name
from analysis.findings_tables import signed
from analysis.flips import McNemar
from analysis.points import p_text
from cry_model.records import words


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
