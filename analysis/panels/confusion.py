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
from analysis.stats.comparison import PairedRuns, pair
from analysis.stats.paper import read_paper
from analysis.stats.runs import FoundRuns
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
    counts = [count_confusions(run.with_errors, "answer", run.labels) for run in runs]
    labels = runs[0].labels
    if by_similarity and all(run.labels == labels for run in runs):
        labels = similar_order(counts)
    exhibits = []
    for run, own in zip(runs, counts, strict=True):
        data = matrix_data(own, labels, unit, zero_diagonal)
        of = data.groupby("true")["count"].transform("sum")
        exhibits.append(
            Exhibit(
                f"confusion-{cell.dataset}-{cell.protocol}-{run.system}-{unit}",
                f"Confusion matrix: {system_title(run.system)}",
                data.assign(system=run.system)[["system", *data]],
                confusion_figure(data.assign(of=of), "drawn", ("count", "of"), UNITS[unit]),
                note=f"{_largest(data, len(run.seeds))}\n\n{MATRIX}",
            )
        )
    if set(labels) == set(read_paper().labels):
        exhibits[0] = replace(exhibits[0], note=f"{exhibits[0].note} {PAPER}")
    if len(runs) == 2:
        exhibits.append(_difference(pair(*runs), cell, labels, unit, zero_diagonal))
    return tuple(exhibits)


def count_confusions(table: pd.DataFrame, answer: str, labels: Sequence[str]) -> pd.DataFrame:
    """Count how often each label (rows) is taken for which (columns).

    Args:
        table: a row per seed and recording, with the true one under ``label``.
        answer: the column of what was answered.
        labels: of the rows and the columns.
    """
    counts = pd.crosstab(table["label"], table[answer])
    return counts.reindex(index=labels, columns=labels, fill_value=0)


def similar_order(counts: Sequence[pd.DataFrame]) -> tuple[str, ...]:
    """Order the labels such that those that are taken for each other stand together.

    Average linkage on how rarely two labels are confused, in either direction and by all models
    together, with the leaves in their optimal order (Bar-Joseph et al. 2001).

    Args:
        counts: of one or several models with the same labels.
    """
    from scipy.cluster.hierarchy import leaves_list, linkage  # half a second, once
    from scipy.spatial.distance import squareform

    labels = tuple(counts[0])
    if len(labels) < 3:
        return labels
    share = np.mean([row_shares(own).fillna(0) for own in counts], axis=0)
    distance = 1 - (share + share.T) / 2
    np.fill_diagonal(distance, 0)
    tree = linkage(squareform(distance, checks=False), "average", optimal_ordering=True)
    return tuple(labels[place] for place in leaves_list(tree))


def row_shares(counts: pd.DataFrame) -> pd.DataFrame:
    """Return counts over those of the true label, 0 to 1; NaN where it does not occur."""
    return counts.div(counts.sum(axis=1), axis=0)


def matrix_data(
    counts: pd.DataFrame, labels: Sequence[str], unit: str, zero_diagonal: bool
) -> pd.DataFrame:
    """Return a row per cell: labels, count, share of the true label (0 to 1) and what is drawn.

    Args:
        counts: of :func:`count_confusions`.
        labels: from the first row to the last.
        unit: :data:`SHARES` or :data:`COUNTS`.
        zero_diagonal: whether right answers are drawn as none.
    """
    counts = counts.loc[list(labels), list(labels)]
    shares = row_shares(counts)
    drawn = np.array(counts if unit == COUNTS else 100 * shares, dtype=float)
    if zero_diagonal:
        np.fill_diagonal(drawn, 0)
    return pd.DataFrame(
        {
            "true": np.repeat(labels, len(labels)),
            "answer": np.tile(labels, len(labels)),
            "count": counts.to_numpy().ravel(),
            "share": shares.to_numpy().ravel(),
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
    runs: PairedRuns, cell: CellKey, labels: Sequence[str], unit: str, zero_diagonal: bool
) -> Exhibit:
    """Draw the first minus the second, over the seeds that both have."""
    first, second = runs.one, runs.other
    one, other = (
        matrix_data(count_confusions(runs.answers, answer, labels), labels, unit, zero_diagonal)
        for answer in ("run_a", "run_b")
    )
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
        note=f"Seeds: {len(runs.seeds)}. Largest difference: {words(top['true'])} classified as "
        f"{words(top['answer'])}, {top[first]:.0f}{sign} against {top[second]:.0f}{sign}."
        f"\n\n{DIFFERENCE}",
    )


CONFUSION = Panel(
    name="confusion",
    title="Figures 5-7",
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
