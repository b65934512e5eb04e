"""Write a panel as HTML: the bar of choices, then cards of figure, table and words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import plotly.io
from markdown_it import MarkdownIt
from markupsafe import Markup
from pandas.api.types import is_bool_dtype, is_numeric_dtype

from analysis.downloads import data_address
from analysis.panels.base import NOTHING, CellKey, Exhibit, Panel, Selector
from analysis.stats.runs import OWN, SPLITS, FoundRuns, ResultsError
from analysis.templates import environment
from cry_model.records import dataset_title

HERE = Path(__file__).parent
FIGURE_SCRIPT = HERE / "figure.js"
"""Draws and saves figures in a browser that has Plotly."""
MARKDOWN = MarkdownIt("commonmark", {"html": False}).enable("table").disable("image")
BUTTONS, LETTERS = 4, 48
"""Most options, and letters of them together, that are buttons rather than a menu."""
CORPUS, SPLIT = "corpus", "split"
GONE = "These results are no longer here; load the file again under Your results."
MOST_ROWS = 100
DIGITS = 4  # after the point, at most


class Field(NamedTuple):
    """Offer one choice: its name in the address, its label, and titles with their values."""

    name: str
    label: str
    kind: Literal["buttons", "menu", "switch"]
    options: Sequence[tuple[str, str]]
    value: str


@dataclass(frozen=True)
class View:
    """Hold what a panel shows for a cell."""

    panel: Panel  # which
    cell: CellKey  # the corpus and the split
    fields: tuple[Field, ...]  # what can be chosen
    exhibits: tuple[Exhibit, ...] = ()  # its cards; none if it cannot draw them
    problem: str = ""  # why it cannot; else empty


def view_of(panel: Panel, found: FoundRuns, asked: Mapping[str, str]) -> View:
    """Draw a panel as an address asks for it; what cannot be had gives way to the nearest.

    ``panel``: which; ``found``: the runs; ``asked``: name of a choice -> value as text; of the bar
    and of the panel's own.
    """
    cells = list(panel.cells(found))
    if not cells:
        return View(panel, CellKey("", ""), (), problem=NOTHING)
    wanted = CellKey(asked.get(CORPUS, cells[0].dataset), asked.get(SPLIT, ""))
    cell = nearest(cells, wanted)
    if wanted.protocol == OWN and wanted not in found.cells:
        return View(panel, cell, _cell_fields(cells, cell, panel.by_protocol), problem=GONE)
    choices = panel.settle(found, cell, asked)
    fields = (
        *_cell_fields(cells, cell, panel.by_protocol),
        *(_field(selector, found, cell, choices[selector.name]) for selector in panel.selectors),
    )
    try:
        return View(panel, cell, fields, panel.exhibits(found, cell, choices))
    except ResultsError as error:
        return View(panel, cell, fields, problem=str(error))


def nearest(cells: Sequence[CellKey], wanted: CellKey) -> CellKey:
    """Return the wanted cell; else another split of its dataset; else the first."""
    if wanted in cells:
        return wanted
    return next((cell for cell in cells if cell.dataset == wanted.dataset), cells[0])


def _cell_fields(cells: Sequence[CellKey], cell: CellKey, by_protocol: bool) -> tuple[Field, ...]:
    own = {known.protocol for known in cells if known.dataset == cell.dataset}
    datasets = [(dataset_title(name), name) for name in dict.fromkeys(c.dataset for c in cells)]
    fields = [Field(CORPUS, "Corpus", _kind(datasets), datasets, cell.dataset)]
    if by_protocol:
        splits = [(title, name) for name, title in SPLITS.items() if name in own]
        fields.append(Field(SPLIT, "Tested on", "buttons", splits, cell.protocol))
    return tuple(fields)


def _field(selector: Selector, found: FoundRuns, cell: CellKey, value: object) -> Field:
    options = [(title, str(own)) for title, own in selector.offered(found, cell)]
    kind = "switch" if isinstance(value, bool) else _kind(options)
    return Field(selector.name, selector.label, kind, options, str(value))


def _kind(options: Sequence[tuple[str, str]]) -> Literal["buttons", "menu"]:
    few = len(options) <= BUTTONS and sum(len(title) for title, _ in options) <= LETTERS
    return "buttons" if few else "menu"


class Columns(NamedTuple):
    """Hold a table for reading: names, classes and cells, and how much of it is left out."""

    names: list[str]
    sides: list[Markup | str]
    rows: list[tuple[str, ...]]
    less: str


def columns(table: pd.DataFrame) -> Columns:
    """Return a table as text, of more than ``MOST_ROWS`` rows the first."""
    shown, cut = table.head(MOST_ROWS), len(table) > MOST_ROWS
    return Columns(
        names=[str(name) for name in shown],
        sides=[Markup(' class="number"') if _is_number(shown[name]) else "" for name in shown],
        rows=list(zip(*(_cells(shown[name]) for name in shown), strict=True)),
        less=f"The first {MOST_ROWS} of {len(table)} rows; the data below has all." if cut else "",
    )


def _is_number(column: pd.Series) -> bool:
    return is_numeric_dtype(column) and not is_bool_dtype(column)


def _cells(column: pd.Series) -> list[str]:
    """Return cells as text, numbers with as many digits as the one that needs most."""
    if not _is_number(column):
        return ["" if pd.isna(value) else str(value) for value in column]
    rounded = column.astype(float).round(DIGITS)
    texts = (np.format_float_positional(value, trim="-") for value in rounded.dropna())
    digits = max((len(text.partition(".")[2]) for text in texts), default=0)
    return ["" if np.isnan(value) else f"{value:,.{digits}f}" for value in column.astype(float)]


def drawing(figure: go.Figure) -> Markup:
    """Return a figure as JSON in which nothing ends the script around it."""
    text = plotly.io.to_json(figure, validate=False, engine="json")
    return Markup(text.replace("<", "\\u003c"))


TEMPLATES = environment(
    {
        "markdown": lambda text: Markup(MARKDOWN.render(text)),
        "drawing": drawing,
        "columns": columns,
        "data_address": data_address,
    },
    keep_trailing_newline=True,
)
CARDS = TEMPLATES.get_template("panels/panel.html.j2").module


def view_html(view: View) -> str:
    """Return the bar of choices and the cards."""
    return str(CARDS.view(view))  # type: ignore[attr-defined]


def table_html(exhibit: Exhibit) -> str:
    """Return the table of an exhibit, which scrolls in its own box, its head in sight."""
    return str(CARDS.table(exhibit))  # type: ignore[attr-defined]
