"""Which class is taken for which: the matrices of two systems, and their difference."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from analysis.figures.confusion import Cells, difference_figure, matrix_figure
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
from analysis.panels.confusion_words import (
    difference_note,
    difference_title,
    matrix_note,
    matrix_title,
    paper_note,
)
from analysis.stats.confusion import Confusion, confusion_of, similar_order
from analysis.stats.paired import paired
from analysis.stats.paper import read_paper
from analysis.stats.runs import FoundRuns, MeasuredRun

SHARES, COUNTS = "shares", "counts"


def confusion(
    found: FoundRuns,
    cell: CellKey,
    system: str,
    beside: str,
    unit: str,
    zero_diagonal: bool,
    by_similarity: bool,
) -> tuple[Exhibit, ...]:
    """The matrix of a system, that of another one, and the first minus the second.

    One exhibit alone if both are the same system.
    """
    runs = [found.of(*cell)[name] for name in dict.fromkeys((system, beside))]
    confusions = [confusion_of(run) for run in runs]
    order = display_order(confusions, by_similarity)
    exhibits = []
    for run, counted in zip(runs, confusions, strict=True):
        cells = displayed(counted, order, unit == COUNTS, zero_diagonal)
        note = matrix_note(run, counted)
        if not exhibits:
            note += " " + paper_note(counted, read_paper())
        exhibits.append(
            Exhibit(
                f"confusion-{cell.dataset}-{cell.protocol}-{run.system}-{unit}",
                matrix_title(system_title(run.system), counted, unit == COUNTS),
                matrix_data(run.system, counted, cells),
                matrix_figure(cells),
                note=note,
            )
        )
    if len(runs) == 2:
        exhibits.append(_difference(cell, runs, order, unit, zero_diagonal))
    return tuple(exhibits)


def display_order(confusions: Sequence[Confusion], by_similarity: bool) -> list[int]:
    """Places of the labels from the first row to the last; the same for all of the matrices."""
    labels = confusions[0].labels
    same = all(confusion.labels == labels for confusion in confusions)
    return similar_order(confusions) if by_similarity and same else list(range(len(labels)))


def displayed(confusion: Confusion, order: list[int], counts: bool, zero_diagonal: bool) -> Cells:
    """What stands in the cells: counts, or per cent of the true label."""
    values = confusion.counts.astype(float) if counts else 100 * confusion.shares
    if zero_diagonal:
        np.fill_diagonal(values, 0)
    grid = np.ix_(order, order)
    return Cells(
        tuple(confusion.labels[place] for place in order),
        values[grid],
        confusion.counts[grid],
        confusion.support[order],
        counts,
        zero_diagonal,
    )


def matrix_data(system: str, confusion: Confusion, cells: Cells) -> pd.DataFrame:
    """A row per cell: count, share of the true label (0 to 1), and the value that is drawn."""
    place = [confusion.labels.index(label) for label in cells.labels]
    size = len(place)
    return pd.DataFrame(
        {
            "system": system,
            "true": np.repeat(cells.labels, size),
            "answer": np.tile(cells.labels, size),
            "count": cells.counts.ravel(),
            "share": confusion.shares[np.ix_(place, place)].ravel(),
            "drawn": cells.values.ravel(),
        }
    )


def _difference(
    cell: CellKey, runs: list[MeasuredRun], order: list[int], unit: str, zero_diagonal: bool
) -> Exhibit:
    """The first minus the second, over the seeds that both have."""
    seeds = sorted(set.intersection(*(set(run.seeds) for run in runs)))
    paired(*runs, seeds)  # or it says why the two cannot be set against each other
    one, other = (
        displayed(confusion_of(run, seeds), order, unit == COUNTS, zero_diagonal) for run in runs
    )
    titles = tuple(system_title(run.system) for run in runs)
    difference = one.values - other.values
    size = len(one.labels)
    data = pd.DataFrame(
        {
            "true": np.repeat(one.labels, size),
            "answer": np.tile(one.labels, size),
            runs[0].system: one.values.ravel(),
            runs[1].system: other.values.ravel(),
            "difference": difference.ravel(),
        }
    )
    return Exhibit(
        f"confusion-{cell.dataset}-{cell.protocol}-{runs[0].system}-minus-{runs[1].system}-{unit}",
        difference_title(titles, one, other),
        data,
        difference_figure(one, other),
        note=difference_note(titles, seeds, unit == COUNTS),
    )


CONFUSION = Panel(
    name="confusion",
    title="Confusion",
    lead="Which class is taken for which, by two systems (the paper's Figures 5 to 7). Choose a "
    "cell to list its recordings and to hear them.",
    draw=confusion,
    cells=cells_with,
    places=3,
    abreast=2,
    selectors=(
        Selector("system", "System", systems_there),
        Selector("beside", "Beside it", systems_there, first=1),
        Selector(
            "unit",
            "In each cell",
            lambda *_: (
                Option("% of the true class", SHARES),
                Option("Recordings", COUNTS),
            ),
        ),
        Selector("zero_diagonal", "Zero the diagonal", kind="switch"),
        Selector("by_similarity", "Order the classes by similarity", kind="switch"),
    ),
)
