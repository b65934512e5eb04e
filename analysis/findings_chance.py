"""What the findings say of labels that were dealt out anew: how much of a score is knowledge."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from analysis.cells import MAIN, Cell, listed
from analysis.chance_level import ChanceLevel, read_chance
from analysis.claims import LEVEL
from analysis.findings_tables import table
from cry_model.evaluation import words
from cry_model.registry import get_system

SHOWN = (MAIN, "macro_auc")


class Asked(NamedTuple):
    """A cell, and what its protocol gives where labels say nothing."""

    cell: Cell
    chance: ChanceLevel


def chance_lines(cells: Sequence[Cell]) -> list[str]:
    """Lines for the section on what a split lets through; none where it was not asked."""
    asked = asked_of(cells)
    if not asked:
        return []
    shuffles = ", ".join(dict.fromkeys(str(one.chance.shuffles) for one in asked))
    rows = [_row(one, metric) for one in asked for metric in SHOWN]
    heads = ["linear classifier, per recording", "true labels", "labels dealt out anew", "p"]
    return [
        f"What each split gives where there is nothing to learn: labels are dealt out anew among "
        f"groups with as many recordings, {shuffles} times, and a linear classifier on the mean "
        "and the deviation of each band is fitted each time (`python -m train chance`; mean and "
        "middle 95 %). What it scores above guessing then comes from knowing recordings or babies "
        "again. p: how often dealt labels score at least as well as the true ones.",
        "",
        *table(heads, rows),
        "",
        *filter(None, (_unproven(asked), _within(asked))),
    ]


def asked_of(cells: Sequence[Cell]) -> list[Asked]:
    """The cells whose protocol was asked.

    Raises:
        ResultsError: if a file is malformed.
    """
    read = ((c, read_chance(next(iter(c.runs.values())).folder.parent)) for c in cells)
    return [Asked(cell, level) for cell, level in read if level is not None]


def _row(one: Asked, metric: str) -> list[str]:
    level = one.chance.scores[metric]
    name = f"{one.cell.title}, {words(metric)}"
    return [name, f"{level.value:.3f}", str(level.dealt), f"{level.p:.3f}"]


def _unproven(asked: Sequence[Asked]) -> str:
    """Where true labels are learnt no better than dealt ones."""
    where = [one.cell for one in asked if all(one.chance.scores[m].p > LEVEL for m in SHOWN)]
    if not where:
        return ""
    return (
        f"- On {listed(where)} the linear classifier does no better with the true labels than with "
        "dealt ones (neither p is below 0.05): what it scores there need not have anything to do "
        "with them."
    )


def _within(asked: Sequence[Asked]) -> str:
    """Whose every score lies where those of dealt labels do."""
    said = []
    for one in asked:
        names = [
            get_system(system).title
            for system, run in one.cell.runs.items()
            if all(
                run.evaluation.metrics[m].value <= one.chance.scores[m].dealt.high for m in SHOWN
            )
        ]
        if names:
            which = "all systems" if len(names) == len(one.cell.runs) else ", ".join(names)
            ranges = " and ".join(
                f"{words(m)} {one.chance.scores[m].dealt.low:.3f} to "
                f"{one.chance.scores[m].dealt.high:.3f}"
                for m in SHOWN
            )
            said.append(f"on {one.cell.title} of {which} ({ranges})")
    if not said:
        return ""
    return (
        f"- No higher than dealt labels reach with the linear classifier are the scores "
        f"{'; '.join(said)}. A network may reach more with dealt labels than that classifier does."
    )
