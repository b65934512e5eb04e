"""Show which label is taken for which: the confusion matrices of two models, their difference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from analysis.figures.confusion import confusion_figure
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
from analysis.stats.confusion import Confusion, confusion_of, similar_order
from analysis.stats.paired import paired
from analysis.stats.paper import read_paper
from analysis.stats.runs import FoundRuns, MeasuredRun
from cry_model.records import words

SHARES, COUNTS = "shares", "counts"
UNITS = {SHARES: "% of true label", COUNTS: "recordings"}
MATRIX = (
    "Rows are true labels, columns predicted labels: the most probable label of each recording, "
    "from the mean over its segments. An empty cell is zero; a row without colours is a label that "
    "no recording here has. With several seeds each recording counts once per seed."
)
PAPER = (
    "The paper prints three cells of its improved model, under a random 8:2 split (Figure 5): "
    "awake and hungry 12.15%, sleepy and diaper 0%, awake and uncomfortable 0%."
)
DIFFERENCE = (
    "Blue with a plus: the first model predicts this label more often. Red with a minus: the "
    "second does. In percentage points or in recordings, over the seeds that both have. Some cells "
    "always differ by chance; Compare tests whether one model is better."
)


def confusion(
    found: FoundRuns,
    cell: CellKey,
    system: str,
    beside: str,
    unit: str,
    zero_diagonal: bool,
    by_similarity: bool,
) -> tuple[Exhibit, ...]:
    """Draw the matrix of a model, that of another one, and the first minus the second.

    One exhibit alone if both are the same model.
    """
    runs = [found.of(*cell)[name] for name in dict.fromkeys((system, beside))]
    confusions = [confusion_of(run) for run in runs]
    order = display_order(confusions, by_similarity)
    exhibits = []
    for run, counted in zip(runs, confusions, strict=True):
        data = matrix_data(counted, order, unit, zero_diagonal)
        of = data.groupby("true")["count"].transform("sum")
        exhibits.append(
            Exhibit(
                f"confusion-{cell.dataset}-{cell.protocol}-{run.system}-{unit}",
                f"Confusion matrix: {system_title(run.system)}",
                data.assign(system=run.system)[["system", *data]],
                confusion_figure(data.assign(of=of), "drawn", ("count", "of"), UNITS[unit]),
                note=f"{_largest(data, counted.seeds)}\n\n{MATRIX}",
            )
        )
    if set(confusions[0].labels) == set(read_paper().labels):
        exhibits[0] = replace(exhibits[0], note=f"{exhibits[0].note} {PAPER}")
    if len(runs) == 2:
        exhibits.append(_difference(cell, runs, order, unit, zero_diagonal))
    return tuple(exhibits)


def display_order(confusions: Sequence[Confusion], by_similarity: bool) -> list[int]:
    """Return the places of the labels from the first row to the last, the same for all."""
    labels = confusions[0].labels
    same = all(confusion.labels == labels for confusion in confusions)
    return similar_order(confusions) if by_similarity and same else list(range(len(labels)))


def matrix_data(
    confusion: Confusion, order: Sequence[int], unit: str, zero_diagonal: bool
) -> pd.DataFrame:
    """Return a row per cell: labels, count, share of the true label (0 to 1) and what is drawn."""
    grid = np.ix_(order, order)
    counts, shares = confusion.counts[grid], confusion.shares[grid]
    drawn = counts.astype(float) if unit == COUNTS else 100 * shares
    if zero_diagonal:
        np.fill_diagonal(drawn, 0)
    labels = [confusion.labels[place] for place in order]
    return pd.DataFrame(
        {
            "true": np.repeat(labels, len(labels)),
            "answer": np.tile(labels, len(labels)),
            "count": counts.ravel(),
            "share": shares.ravel(),
            "drawn": drawn.ravel(),
        }
    )


def _largest(data: pd.DataFrame, seeds: int) -> str:
    """Name the cell off the diagonal with the largest value; of equal ones that of more answers."""
    wrong = data[data["true"] != data["answer"]]
    top = wrong.sort_values(["drawn", "count"], na_position="first").iloc[-1]
    of = data.loc[data["true"] == top["true"], "count"].sum()
    return (
        f"Recordings: {data['count'].sum() // seeds}. Seeds: {seeds}. Largest confusion: "
        f"{words(top['true'])} classified as {words(top['answer'])}, {top['count']} of {of} "
        f"({top['share']:.0%})."
    )


def _difference(
    cell: CellKey, runs: list[MeasuredRun], order: list[int], unit: str, zero_diagonal: bool
) -> Exhibit:
    """Draw the first minus the second, over the seeds that both have."""
    seeds = sorted(set.intersection(*(set(run.seeds) for run in runs)))
    paired(*runs, seeds)  # or it says why the two cannot be compared
    first, second = (run.system for run in runs)
    one, other = (matrix_data(confusion_of(run, seeds), order, unit, zero_diagonal) for run in runs)
    data = one[["true", "answer"]].assign(**{first: one["drawn"], second: other["drawn"]})
    data["difference"] = data[first] - data[second]
    top = data.iloc[data["difference"].abs().fillna(0).argmax()]
    sign = "%" if unit == SHARES else ""
    return Exhibit(
        f"confusion-{cell.dataset}-{cell.protocol}-{first}-minus-{second}-{unit}",
        f"Difference: {system_title(first)} minus {system_title(second)}",
        data,
        confusion_figure(
            data.round({first: 1, second: 1}), "difference", (first, second), UNITS[unit], True
        ),
        note=f"Seeds: {len(seeds)}. Largest difference: {words(top['true'])} classified as "
        f"{words(top['answer'])}, {top[first]:.0f}{sign} against {top[second]:.0f}{sign}."
        f"\n\n{DIFFERENCE}",
    )


CONFUSION = Panel(
    name="confusion",
    title="Confusion",
    lead="Which label is taken for which, by two models (the paper's Figures 5 to 7). Click a cell "
    "to list its recordings and play them.",
    draw=confusion,
    cells=cells_with,
    places=3,
    abreast=2,
    selectors=(
        Selector("system", "Model", systems_there),
        Selector("beside", "Compare with", systems_there, first=1),
        Selector(
            "unit",
            "Show",
            lambda *_: (Option("% of the true label", SHARES), Option("Recordings", COUNTS)),
        ),
        Selector("zero_diagonal", "Hide the diagonal", kind="switch"),
        Selector("by_similarity", "Order the classes by similarity", kind="switch"),
    ),
)
