"""Two runs of a cell: how far one is ahead, whether by chance, and on which recordings."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from analysis.comparison import Comparison, compare_all
from analysis.dashboard.exhibit import Exhibit
from analysis.dashboard.panel import CellKey, Option, Panel, Selector, cells_with
from analysis.dashboard.systems import system_title, systems_there
from analysis.dashboard.two_runs_tables import (
    difference_data,
    difference_table,
    flip_data,
    flip_table,
    mcnemar_data,
    mcnemar_table,
)
from analysis.dashboard.two_runs_words import (
    difference_finding,
    difference_note,
    flip_finding,
    flip_note,
    mcnemar_finding,
    mcnemar_note,
    metric_name,
)
from analysis.difference_figure import Dot, difference_figure
from analysis.flips import answers, flipped_of, mcnemar_of
from analysis.pairing import ComparisonError
from analysis.runs import FoundRuns
from analysis.style import PALETTE, TEXT
from analysis.weightings import COMPARED

DRAWS = 1000


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
    compared = compare_all(one, other, COMPARED, seeds, DRAWS)
    told = {seed: answers(one, other, seed) for seed in seeds}
    tests = [mcnemar_of(table, seed) for seed, table in told.items()]
    flips = pd.concat([flipped_of(table).assign(seed=seed) for seed, table in told.items()])
    end = "-".join((*cell, run_a, run_b))
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
            lambda *_: [Option(metric_name(metric), metric) for metric in COMPARED],
            first=COMPARED.index("balanced_accuracy"),
        ),
    ),
)
