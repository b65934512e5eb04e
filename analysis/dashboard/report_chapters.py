"""What the report shows: every panel for every cell, as it is at the beginning."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from analysis.dashboard.exhibit import Exhibit
from analysis.dashboard.panel import CellKey, Panel
from analysis.pairing import ComparisonError
from analysis.run_tables import ResultsError
from analysis.runs import FoundRuns


@dataclass(frozen=True)
class Part:
    """One panel for one cell, with the choices of the beginning.

    Attributes:
        cell: which.
        choices: what was chosen, in words: "Metric: balanced accuracy".
        exhibits: what it shows; none if it cannot.
        problem: why it cannot; else empty.
    """

    cell: CellKey
    choices: tuple[str, ...]
    exhibits: tuple[Exhibit, ...] = ()
    problem: str = ""


@dataclass(frozen=True)
class Chapter:
    """A panel for all cells for which it has something to show."""

    panel: Panel
    parts: tuple[Part, ...]


def chapters(found: FoundRuns, panels: Sequence[Panel]) -> tuple[Chapter, ...]:
    """What all panels show for all of their cells; what cannot be drawn leaves a sentence."""
    return tuple(
        Chapter(panel, tuple(_part(panel, found, cell) for cell in panel.cells(found)))
        for panel in panels
    )


def _part(panel: Panel, found: FoundRuns, cell: CellKey) -> Part:
    choices = _choices(panel, found, cell)
    try:
        return Part(cell, choices, panel.exhibits(found, cell))
    except (ResultsError, ComparisonError) as error:
        return Part(cell, choices, problem=str(error))


def _choices(panel: Panel, found: FoundRuns, cell: CellKey) -> tuple[str, ...]:
    words = []
    for selector in panel.selectors:
        value = selector.settle(found, cell)
        if selector.kind == "switch":
            words.append(f"{selector.label}: {'on' if value else 'off'}")
        else:
            titles = {option.value: option.title for option in selector.offered(found, cell)}
            words.append(f"{selector.label}: {titles.get(value, 'none')}")
    return tuple(words)
