"""Write a panel as HTML: the bar of choices, then cards with figure, table and text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

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
"""Most options, and total letters of them, that are shown as buttons rather than a menu."""
CORPUS, SPLIT = "corpus", "split"
GONE = "These results are no longer here; load the file again under Your results."
MOST_ROWS = 100
DIGITS = 4  # maximum number of decimals


class Field(NamedTuple):
    """Store one choice: its name in the address, label, kind, (title, value) options, and value."""

    name: str
    label: str
    kind: Literal["buttons", "menu", "switch"]
    options: Sequence[tuple[str, str]]
    value: str


@dataclass(frozen=True)
class View:
    """Store what a panel shows for a cell."""

    panel: Panel
    cell: CellKey  # corpus and split
    fields: tuple[Field, ...]  # what can be chosen
    exhibits: tuple[Exhibit, ...] = ()  # its cards; empty if they cannot be drawn
    problem: str = ""  # the reason; else empty


def view_of(panel: Panel, found: FoundRuns, asked: Mapping[str, str]) -> View:
    """Draw a panel as an address requests it, replacing what does not exist by the nearest choice;
    ``asked``: name of a choice -> value as text."""
    cells = list(panel.cells(found))
    if not cells:
        return View(panel, CellKey("", ""), (), problem=NOTHING)
    wanted = CellKey(asked.get(CORPUS, cells[0].dataset), asked.get(SPLIT, ""))
    cell = nearest(cells, wanted)
    fields = _cell_fields(cells, cell, panel.by_protocol)
    if wanted.protocol == OWN and wanted not in found.cells:
        return View(panel, cell, fields, problem=GONE)
    choices = panel.settle(found, cell, asked)
    fields += tuple(_field(own, found, cell, choices[own.name]) for own in panel.selectors)
    try:
        return View(panel, cell, fields, panel.exhibits(found, cell, choices))
    except ResultsError as error:
        return View(panel, cell, fields, problem=str(error))


def nearest(cells: Sequence[CellKey], wanted: CellKey) -> CellKey:
    """Return the wanted cell, else another split of its dataset, else the first cell."""
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


def columns(table: pd.DataFrame) -> dict[str, Any]:
    """Return the first ``MOST_ROWS`` rows as text, and a sentence if others are left out."""
    shown, less = table.head(MOST_ROWS), f"The first {MOST_ROWS} of {len(table)} rows"
    return {
        "names": [str(name) for name in shown],
        "sides": [Markup(' class="number"') if _is_number(shown[name]) else "" for name in shown],
        "rows": list(zip(*(_cells(shown[name]) for name in shown), strict=True)),
        "less": f"{less}; the data below has all." if len(table) > MOST_ROWS else "",
    }


def _is_number(column: pd.Series) -> bool:
    return is_numeric_dtype(column) and not is_bool_dtype(column)


def _cells(column: pd.Series) -> list[str]:
    """Return cells as text; all numbers get as many decimals as the one that needs most."""
    if not _is_number(column):
        return ["" if pd.isna(value) else str(value) for value in column]
    rounded = column.astype(float).round(DIGITS)
    texts = (np.format_float_positional(value, trim="-") for value in rounded.dropna())
    digits = max((len(text.partition(".")[2]) for text in texts), default=0)
    return ["" if np.isnan(value) else f"{value:,.{digits}f}" for value in column.astype(float)]


def drawing(figure: go.Figure) -> Markup:
    """Return a figure as JSON that cannot close the script element around it."""
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
    """Return the HTML of a view."""
    return str(CARDS.view(view))  # type: ignore[attr-defined]
