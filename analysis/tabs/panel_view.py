"""Show a panel as a Gradio sub-tab: selectors above, its cards below."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any, NamedTuple

import gradio as gr
import numpy as np
import pandas as pd
from gradio.blocks import Block
from gradio.components import Component
from pandas.api.types import is_bool_dtype, is_numeric_dtype

from analysis.panels.base import NOTHING, PROTOCOL_TITLES, CellKey, Exhibit, Panel, Selector
from analysis.stats.paired import ComparisonError
from analysis.stats.recordings import ResultsError
from analysis.stats.runs import PROTOCOLS, FoundRuns
from analysis.tabs.answer import data_link
from cry_model.records import dataset_title

FORMATS = ("svg", "png")
# Plotly keeps what its camera button saves in the element itself. Dark words on white, with the
# finding above them, for the length of the click: the file must be readable anywhere.
SAVE_FIGURE = """(place, format) => {
  const plot = document.querySelector(`#${place} .js-plotly-plot`);
  const button = plot?.querySelector("[data-attr='toImage'], .modebar-btn");
  if (!button) return;
  const link = document.querySelector(`#${place} a.download`);
  const heading = document.querySelector(`#${place}-heading`)?.textContent.trim() ?? "";
  const lines = (heading.match(/.{1,90}(\\s|$)/g) ?? []).map((line) => line.trim());
  const { layout } = plot;
  const kept = { ...layout };
  layout.paper_bgcolor = layout.plot_bgcolor = "white";
  layout.font = { ...layout.font, color: "#222222" };
  layout.title = { text: lines.join("<br>"), x: 0.01, xanchor: "left", y: 0.98, yanchor: "top",
                   font: { size: 14 } };
  layout.margin = { ...layout.margin, t: (layout.margin?.t ?? 36) + 20 * lines.length + 12 };
  layout.height = plot.clientHeight + 20 * lines.length + 12;
  Object.assign(plot._context.toImageButtonOptions, {
    format, filename: link ? link.download.replace(/\\.csv$/, "") : place,
    width: plot.clientWidth, height: layout.height, scale: format === "png" ? 2 : 1 });
  button.click();
  for (const name of Object.keys(layout)) delete layout[name];
  Object.assign(layout, kept);
}"""


def csv_link(exhibit: Exhibit) -> str:
    """Write the link to the data, whose file is in the link itself."""
    if exhibit.data.empty:
        return ""
    link = data_link("Data (CSV)", f"{exhibit.name}.csv", "text/csv", exhibit.csv)
    return f'<p class="downloads">{link}</p>'


MOST_ROWS = 100
DIGITS = 4  # after the point, at most


def table_html(table: pd.DataFrame, caption: str) -> str:
    """Write a table that scrolls in its own box, its head in sight.

    Args:
        table: of more than ``MOST_ROWS`` rows, the first are shown.
        caption: what it shows; plain text.
    """
    shown, cut = table.head(MOST_ROWS), len(table) > MOST_ROWS
    less = f" (the first {MOST_ROWS} of {len(table)} rows; the data below has all)" if cut else ""
    sides = [' class="number"' if _is_number(shown[name]) else "" for name in shown]
    head = "".join(
        f'<th scope="col"{side}>{escape(str(name))}</th>'
        for name, side in zip(shown, sides, strict=True)
    )
    rows = []
    for first, *others in zip(*(_texts(shown[name]) for name in shown), strict=True):
        cells = zip(others, sides[1:], strict=True)
        rows.append(
            f'<tr><th scope="row"{sides[0]}>{escape(first)}</th>'
            + "".join(f"<td{side}>{escape(cell)}</td>" for cell, side in cells)
            + "</tr>"
        )
    return (
        f'<div class="table{" cut" if cut else ""}" tabindex="0" role="region" '
        f'aria-label="{escape(caption + less)}"><table>'
        f"<caption><span>{escape(caption)}</span>{less}</caption><thead><tr>{head}</tr></thead>"
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _is_number(column: pd.Series) -> bool:
    return is_numeric_dtype(column) and not is_bool_dtype(column)


def _texts(column: pd.Series) -> list[str]:
    """Write the values, numbers with as many digits as the one that needs most."""
    if not _is_number(column):
        return ["" if pd.isna(value) else str(value) for value in column]
    values = [None if pd.isna(value) else float(value) for value in column]
    digits = max((_digits(value) for value in values if value is not None), default=0)
    return ["" if value is None else f"{value:,.{digits}f}" for value in values]


def _digits(value: float) -> int:
    text = np.format_float_positional(round(value, DIGITS), trim="-")
    return len(text.partition(".")[2])


# Without the queue, whose places may be taken by recordings; of quick clicks the last one counts.
EVENT: dict[str, Any] = {
    "queue": False,
    "show_progress": "hidden",
    "trigger_mode": "always_last",
    "api_visibility": "private",
}


class CardBlocks(NamedTuple):
    """Hold the blocks of a card, in the order of the values of :func:`_card_values`."""

    column: gr.Column
    heading: gr.Markdown
    figure: gr.Plot
    table: gr.Dataframe | gr.HTML
    note: gr.Markdown
    images: gr.Row
    link: gr.HTML


@dataclass(frozen=True)
class Wired:
    """Hold a panel on the page, for what is added to it.

    Attributes:
        panel: which.
        dataset, protocol: the choice of the cell.
        selectors: those of the panel, in its order.
        problem: where a sentence stands if nothing can be drawn.
        places: one for each card.
    """

    panel: Panel
    dataset: gr.Dropdown
    protocol: gr.Dropdown
    selectors: tuple[Component, ...]
    problem: gr.HTML
    places: tuple[CardBlocks, ...]

    @property
    def chosen(self) -> list[Component]:
        """Return the components that say what to draw."""
        return [self.dataset, self.protocol, *self.selectors]


@dataclass(frozen=True)
class Below:
    """Hold what stands below the cards of a panel and changes with them.

    Attributes:
        blocks: what changes.
        fill: (cell, choices) -> a value for each of these, after the cards were drawn anew.
    """

    blocks: Sequence[Block] = ()
    fill: Callable[[CellKey, Mapping[str, Any]], Sequence[Any]] = lambda *_: ()


def build_panel(
    panel: Panel,
    found: FoundRuns,
    tabs: Sequence[gr.Tab],
    shared: gr.State,
    below: Callable[[Wired], Below] = lambda _: Below(),
) -> Wired:
    """Lay out a panel in the current block and bind its events.

    Args:
        panel: what to show.
        found: of which runs; their predictions are read with the first event.
        tabs: the panel is drawn when one of these is chosen.
        shared: the cell that was last chosen in any panel, or None.
        below: lays out more, below the cards.
    """
    wired = _lay_out(panel, found)
    more = below(wired)

    def draw(wanted: CellKey, chosen: Sequence[Any]) -> tuple[Any, ...]:
        cell, choices = resolve(panel, found.readable, wanted, chosen)
        return (*values(panel, found.readable, cell, choices), *more.fill(cell, choices))

    def choose(dataset: str, protocol: str, *chosen: Any) -> tuple[Any, ...]:
        cell = CellKey(dataset, protocol)
        return (cell, *draw(cell, chosen))

    def arrive(cell: CellKey | None, dataset: str, protocol: str, *chosen: Any) -> tuple[Any, ...]:
        return draw(CellKey(*cell or (dataset, protocol)), chosen)

    inputs, cards = wired.chosen, [block for place in wired.places for block in place]
    outputs = [*inputs, wired.problem, *cards, *more.blocks]
    # Of a dropdown Gradio reports an input twice and a selection once.
    chosen = [c.input if isinstance(c, gr.Checkbox) else c.select for c in inputs]
    gr.on(chosen, choose, inputs, [shared, *outputs], **EVENT)
    # Gradio reports some choices of a tab twice; the second would draw the same again.
    once = {**EVENT, "trigger_mode": "once"}
    gr.on([tab.select for tab in tabs], arrive, [shared, *inputs], outputs, **once)
    return wired


def resolve(
    panel: Panel, found: FoundRuns, wanted: CellKey, chosen: Sequence[Any]
) -> tuple[CellKey, dict[str, Any]]:
    """Return the nearest cell that the panel has, and the choices that can be made there.

    Args:
        panel: whose selectors.
        found: the runs.
        wanted: if the panel lacks it, the first cell of its dataset, or of all, is taken.
        chosen: the values of the selectors, in the order of the panel.
    """
    cell = resolve_cell(panel.cells(found) or [wanted], wanted)
    names = [selector.name for selector in panel.selectors]
    return cell, panel.settle(found, cell, dict(zip(names, chosen, strict=True)))


def resolve_cell(cells: Sequence[CellKey], wanted: CellKey) -> CellKey:
    """Return the wanted cell; else another split of its dataset; else the first."""
    if wanted in cells:
        return wanted
    return next((cell for cell in cells if cell.dataset == wanted.dataset), cells[0])


def values(
    panel: Panel, found: FoundRuns, cell: CellKey, choices: Mapping[str, Any]
) -> tuple[Any, ...]:
    """Return the values of the selectors, the problem and the cards, as :func:`resolve` has them.

    What cannot be drawn gives the sentence that says why.
    """
    cells = panel.cells(found)
    exhibits: Sequence[Exhibit] = ()
    problem = "" if cells else NOTHING
    if cells:
        try:
            exhibits = panel.exhibits(found, cell, choices)
        except (ResultsError, ComparisonError) as error:
            problem = str(error)
    html = f'<div class="answer problem"><p>{escape(problem)}</p></div>'
    hidden = [gr.Column(visible=False), *[gr.skip()] * (len(CardBlocks._fields) - 1)]
    return (
        *_cell_selectors(cells, cell),
        *(_selector(selector, found, cell, choices[selector.name]) for selector in panel.selectors),
        gr.HTML(html, visible=bool(problem)),
        *(value for exhibit in exhibits for value in _card_values(exhibit, panel.grids)),
        *hidden * (panel.places - len(exhibits)),
    )


def _card_values(exhibit: Exhibit, grid: bool) -> tuple[Any, ...]:
    """Return the values for :class:`CardBlocks`."""
    pictured, table = exhibit.figure is not None, exhibit.table
    if table is None:
        shown = gr.Dataframe(visible=False) if grid else gr.HTML(visible=False)
    elif grid:
        shown = gr.Dataframe(table, visible=True)
    else:
        shown = gr.HTML(table_html(table, exhibit.title), visible=True)
    return (
        gr.Column(visible=True),
        f"### {escape(exhibit.title, quote=False)}",
        gr.Plot(exhibit.figure, visible=pictured),
        shown,
        exhibit.note,
        gr.Row(visible=pictured),
        csv_link(exhibit),
    )


def _lay_out(panel: Panel, found: FoundRuns) -> Wired:
    cells = panel.cells(found)
    cell = cells[0] if cells else CellKey("", "")
    gr.Markdown(panel.lead)
    with gr.Row(elem_id=f"{panel.name}-choices", visible=bool(cells)):
        dataset, protocol = _cell_selectors(cells, cell, panel)
        selectors = tuple(
            _selector(
                selector,
                found,
                cell,
                selector.settle(found, cell),
                label=selector.label,
                elem_id=f"{panel.name}-{selector.name}",
            )
            for selector in panel.selectors
        )
    problem = gr.HTML(visible=False, elem_id=f"{panel.name}-problem")
    names = [f"{panel.name}-{number}" for number in range(panel.places)]
    with gr.Row(equal_height=False):
        abreast = [_lay_out_card(name, panel.grids) for name in names[: panel.abreast]]
    places = (*abreast, *(_lay_out_card(name, panel.grids) for name in names[panel.abreast :]))
    return Wired(panel, dataset, protocol, selectors, problem, places)


def _lay_out_card(name: str, grid: bool) -> CardBlocks:
    with gr.Column(elem_id=name, elem_classes="exhibit", min_width=320, visible=False) as column:
        heading = gr.Markdown(elem_id=f"{name}-heading")
        figure = gr.Plot(show_label=False, elem_id=f"{name}-figure")
        table: gr.Dataframe | gr.HTML
        if grid:
            table = gr.Dataframe(interactive=False, show_label=False, elem_id=f"{name}-table")
        else:
            table = gr.HTML(elem_id=f"{name}-table")
        note = gr.Markdown(elem_classes="caption", elem_id=f"{name}-words")
        with gr.Row(elem_classes="take-away"):
            link = gr.HTML()
            with gr.Row() as images:
                for kind in FORMATS:
                    text = f"Figure ({kind.upper()})"
                    button = gr.Button(text, size="sm", scale=0, elem_classes="download")
                    save = f"() => ({SAVE_FIGURE})('{name}', '{kind}')"
                    button.click(None, js=save, api_visibility="private")
    return CardBlocks(column, heading, figure, table, note, images, link)


def _cell_selectors(
    cells: Sequence[CellKey], cell: CellKey, panel: Panel | None = None
) -> tuple[gr.Dropdown, gr.Dropdown]:
    """Make the choice of the corpus and of its split; with ``panel`` anew, else as an update."""
    own = {known.protocol for known in cells if known.dataset == cell.dataset}
    datasets = [(dataset_title(name), name) for name in dict.fromkeys(c.dataset for c in cells)]
    protocols = [(PROTOCOL_TITLES[name], name) for name in PROTOCOLS if name in own]
    first: dict[str, Any] = {}
    second: dict[str, Any] = {}
    if panel is not None:
        first = {"label": "Corpus", "elem_id": f"{panel.name}-dataset"}
        second = {"label": "Split", "elem_id": f"{panel.name}-protocol"}
        second["visible"] = panel.by_protocol
    return (
        gr.Dropdown(datasets, value=cell.dataset or None, **first),
        gr.Dropdown(protocols, value=cell.protocol or None, **second),
    )


def _selector(
    selector: Selector, found: FoundRuns, cell: CellKey, value: object, **names: str
) -> Component:
    """Make a selector of a panel; without ``names`` (label, id), an update of one."""
    if selector.kind == "switch":
        return gr.Checkbox(value, **names)
    options = [tuple(option) for option in selector.offered(found, cell)]
    return gr.Dropdown(options, value=value, **names)
