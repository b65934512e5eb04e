"""A panel of the dashboard, without Gradio: what can be chosen and what is drawn for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Literal, NamedTuple

import pandas as pd
import plotly.graph_objects as go

from analysis.stats.paper import FULL
from analysis.stats.recordings import ResultsError
from analysis.stats.runs import FoundRuns, MeasuredRun
from cry_model.records import group_name
from cry_model.registry import get_system, list_models


@dataclass(frozen=True)
class Exhibit:
    """One figure, one table, or both of the same.

    Attributes:
        name: what its downloads are called, without an ending: letters, digits and hyphens.
        title: what it shows, as a finding where there is one; plain text.
        data: all that the figure or the table was drawn from, a row for each mark.
        figure: None for a table alone.
        table: what is shown in rows; None for a figure alone.
        note: how it was measured and what it does not say; Markdown.
    """

    name: str
    title: str
    data: pd.DataFrame
    figure: go.Figure | None = None
    table: pd.DataFrame | None = None
    note: str = ""

    @property
    def csv(self) -> str:
        """The data as the download has it."""
        return self.data.to_csv(index=False)


NOTHING = "There is nothing to show yet: no finished run of the results folder fits."
"""Of a panel without cells."""
PROTOCOL_TITLES = {
    "clip": "clip: pieces at random, as published numbers do",
    "recording": "recording: whole recordings",
    "baby": "baby: babies never heard before",
}


class CellKey(NamedTuple):
    """A dataset under a protocol, by their names in the results folder."""

    dataset: str
    protocol: str


def cells_with(
    found: FoundRuns, fits: Callable[[Mapping[str, MeasuredRun]], bool] = bool
) -> tuple[CellKey, ...]:
    """The cells whose runs, by system, fit; those with most systems first."""
    cells = [CellKey(*cell) for cell in found.cells if fits(found.of(*cell))]
    return tuple(sorted(cells, key=lambda cell: -len(found.of(*cell))))  # keeps the order of equals


class Option(NamedTuple):
    """What a selector offers: its title for a reader, and its value."""

    title: str
    value: str


@dataclass(frozen=True)
class Selector:
    """Something to choose beside dataset and protocol.

    Attributes:
        name: the keyword under which ``draw`` is given the choice.
        label: what it is called on the page.
        options: (runs, cell) -> what can be chosen there; unused by a switch.
        first: which of the options is chosen at the beginning, if there are as many.
        kind: "dropdown" chooses one of the options, "switch" True or False.
    """

    name: str
    label: str
    options: Callable[[FoundRuns, CellKey], Sequence[Option]] = lambda *_: ()
    first: int = 0
    kind: Literal["dropdown", "switch"] = "dropdown"

    def offered(self, found: FoundRuns, cell: CellKey) -> list[Option]:
        """What can be chosen there; nothing where a run cannot be read, which drawing it says."""
        try:
            return list(_options(self, found, cell))
        except ResultsError:
            return []

    def settle(self, found: FoundRuns, cell: CellKey, value: object = None) -> Any:
        """The value if it can be chosen in this cell, else what is chosen at the beginning."""
        if self.kind == "switch":
            return bool(value)
        values = [option.value for option in self.offered(found, cell)]
        if value in values:
            return value
        return values[min(self.first, len(values) - 1)] if values else None


@lru_cache(maxsize=512)  # asked for several times a choice, and some look through all answers
def _options(selector: Selector, found: FoundRuns, cell: CellKey) -> tuple[Option, ...]:
    return tuple(selector.options(found, cell))


@dataclass(frozen=True)
class Panel:
    """One sub-tab of the Analysis tab, one chapter of the report.

    Attributes:
        name: letters and hyphens; its id on the page.
        title: of the sub-tab.
        lead: a sentence or two on what question it answers; Markdown.
        draw: (runs, cell, **choices) -> as many exhibits as ``places``.
        cells: runs -> the datasets and protocols for which it has something to show.
        places: how many exhibits it has.
        selectors: what else can be chosen.
        by_protocol: False if it shows all protocols of a dataset at once; the protocol of the
            cell is then the first that the dataset has.
        abreast: how many of the first exhibits stand side by side where the page is wide.
        grids: whether its tables sort and their rows can be chosen; such ones are slow to draw.
    """

    name: str
    title: str
    lead: str
    draw: Callable[..., tuple[Exhibit, ...]]
    cells: Callable[[FoundRuns], Sequence[CellKey]]
    places: int = 1
    selectors: tuple[Selector, ...] = field(default=())
    by_protocol: bool = True
    abreast: int = 1
    grids: bool = False

    def settle(
        self, found: FoundRuns, cell: CellKey, choices: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """For each selector what is chosen; what is not, or cannot be, is as at the beginning."""
        given = choices or {}
        return {s.name: s.settle(found, cell, given.get(s.name)) for s in self.selectors}

    def exhibits(
        self, found: FoundRuns, cell: CellKey, choices: Mapping[str, Any] | None = None
    ) -> tuple[Exhibit, ...]:
        """What it shows for a cell, with the choices that :meth:`settle` makes of the given ones.

        Raises:
            ResultsError: if the predictions of a run cannot be read.
            ComparisonError: if two runs cannot be set against each other.
        """
        return _drawn(self, found, cell, tuple(self.settle(found, cell, choices).items()))


@lru_cache(maxsize=512)  # some 100 kB each
def _drawn(
    panel: Panel, found: FoundRuns, cell: CellKey, choices: tuple[tuple[str, Any], ...]
) -> tuple[Exhibit, ...]:
    return panel.draw(found, cell, **dict(choices))


COMPARED = (FULL, "ecapa-tdnn", "resnet18")
"""The systems whose matrices the paper shows, in its order."""


def system_title(name: str) -> str:
    """A system as a reader knows it; one that the registry lacks by its name."""
    return get_system(name).title if name in list_models() else name


def systems_there(found: FoundRuns, cell: CellKey) -> tuple[Option, ...]:
    """Those that were measured in a cell, the paper's comparison first."""
    there = list(found.of(*cell))
    there.sort(key=lambda name: COMPARED.index(name) if name in COMPARED else len(COMPARED))
    return tuple(Option(system_title(name), name) for name in there)


SYSTEM = Selector("system", "System", systems_there)


def scored_on(run: MeasuredRun) -> str:
    """On what a run was scored and what its intervals resample, in two sentences."""
    e, group = run.evaluation, group_name(run.dataset)
    each = "" if group.startswith("group") else f", each one {group}"
    seeds = "one seed" if len(e.seeds) == 1 else f"{len(e.seeds)} seeds, whose rows are pooled"
    return (
        f"{e.recordings} recordings, `{run.protocol}` protocol, {e.split}, {seeds}. "
        f"Intervals: 95 %, of 1,000 resamplings of the {e.groups} groups{each}."
    )
