"""The findings and the notes of the confusion matrices."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from analysis.figures.confusion import Cells
from analysis.stats.confusion import Confusion
from analysis.stats.paper import Paper
from analysis.stats.runs import MeasuredRun
from cry_model.records import percent, words


def matrix_title(system: str, confusion: Confusion, in_counts: bool) -> str:
    """The largest confusion of a system, in the unit that is shown."""
    values = np.nan_to_num(confusion.counts.astype(float) if in_counts else confusion.shares)
    np.fill_diagonal(values, 0)
    recordings = int(confusion.support.sum()) // confusion.seeds
    if not values.any():
        return f"{system}: none of {recordings} recordings is mistaken for another class"
    # Of equal shares, that of more recordings.
    true, answer = np.unravel_index(
        np.lexsort((confusion.counts.ravel(), values.ravel()))[-1], values.shape
    )
    count, support = int(confusion.counts[true, answer]), int(confusion.support[true])
    share = percent(count / support)
    pair = f"{words(confusion.labels[true])} for {words(confusion.labels[answer])}"
    if confusion.seeds == 1:
        return f"{system}: most often mistaken is {pair}, {share} of {support} recordings ({count})"
    return (
        f"{system}: most often mistaken is {pair}, {share} of {support // confusion.seeds} "
        f"recordings over {confusion.seeds} seeds ({count} of {support})"
    )


def difference_title(systems: Sequence[str], one: Cells, other: Cells) -> str:
    """The cell that differs most, and what it is for either."""
    size = np.nan_to_num(np.abs(one.values - other.values))
    if not size.any():
        return f"{systems[0]} and {systems[1]} have the same number in every cell"
    true, answer = np.unravel_index(size.argmax(), size.shape)
    name = words(one.labels[true])
    what = (
        f"{name} answered rightly"
        if true == answer
        else f"{name} taken for {words(one.labels[answer])}"
    )
    first, second = (
        f"{cells.values[true, answer]:.0f}{'' if cells.in_counts else ' %'}"
        for cells in (one, other)
    )
    return f"They differ most in {what}: {first} ({systems[0]}), {second} ({systems[1]})"


def matrix_note(run: MeasuredRun, confusion: Confusion) -> str:
    """How the answers were counted."""
    pooled = "of one seed: how far another fit of the same would differ, it does not say"
    if confusion.seeds > 1:
        pooled = (
            f"pooled over {confusion.seeds} seeds, so each recording counts {confusion.seeds} times"
        )
    absent = [words(label) for label, n in zip(run.labels, confusion.support, strict=True) if not n]
    missing = f" No recording here is labelled {' or '.join(absent)}." if absent else ""
    return (
        f"Rows are true labels, columns the most probable label of each recording (the mean of its "
        f"pieces); an empty cell is none. Counts are {pooled}.{missing}"
    )


def difference_note(systems: Sequence[str], seeds: Sequence[int], in_counts: bool) -> str:
    """How to read the colours, and what a difference is not."""
    unit = "recordings" if in_counts else "points of the true label's recordings"
    over = "one seed" if len(seeds) == 1 else f"the {len(seeds)} seeds that both have"
    return (
        f"In {unit}, over {over}: with a plus and in blue what {systems[0]} answers more "
        f"often, with a minus and in red what {systems[1]} does. Of so many cells some always "
        "differ, and a few recordings are soon chance; whether one system is better is tested "
        "under Compare."
    )


def paper_note(confusion: Confusion, paper: Paper) -> str:
    """What the paper prints of its own matrices, with ours beside it where the labels are its."""
    same = set(confusion.labels) == set(paper.labels)
    parts = []
    for stated in paper.confusions:
        a, b = stated.labels
        ours = f"; here {_both_ways(confusion, a, b)}" if same else ""
        parts.append(f"{words(a)} and {words(b)} {100 * stated.value:.4g} % ({stated.note}{ours})")
    where = " and ".join(dict.fromkeys(stated.where for stated in paper.confusions))
    other = "" if same else " These are other classes than those above."
    return (
        f"The paper prints of its improved system, under a {paper.protocol}: {', '.join(parts)} "
        f"({where}).{other}"
    )


def _both_ways(confusion: Confusion, a: str, b: str) -> str:
    place = confusion.labels.index
    return ", ".join(
        f"{words(true)} for {words(answer)} {percent(confusion.shares[place(true), place(answer)])}"
        for true, answer in ((a, b), (b, a))
    )
