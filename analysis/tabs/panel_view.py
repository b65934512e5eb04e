"""Show a panel as a Gradio sub-tab: selectors above, its cards below."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any, NamedTuple

import gradio as gr
from gradio.blocks import Block
from gradio.components import Component

from analysis.panels.base import (
    FORMATS,
    NOTHING,
    SAVE_FIGURE,
    CellKey,
    Exhibit,
    Panel,
    Selector,
    csv_link,
    table_html,
)
from analysis.stats.comparison import ComparisonError
from analysis.stats.runs import PROTOCOLS, SPLITS, FoundRuns, ResultsError
from cry_model.records import dataset_title

# Without the queue, whose places may be taken by recordings; of quick clicks the last one counts.
EVENT: dict[str, Any] = {
    "queue": False,
    "show_progress": "hidden",
    "trigger_mode": "always_last",
    "api_visibility": "private",
}


# The address says what is shown, so that it can be passed on.
ADDRESS = """(...values) => {{
  if (!window.addressRead) return; // Gradio reports the first tab as chosen, too
  const address = new URL(location.href), names = {names}, fixed = {fixed};
  names.forEach((name, i) => address.searchParams.set(name, fixed[i] ?? values[i]));
  if (names[0] === "tab" && fixed[0] !== "analysis")
    ["view", "corpus", "split"].forEach((name) => address.searchParams.delete(name));
  history.replaceState(history.state, "", address);
}}"""


def name_in_address(tab: gr.Tab, parameter: str) -> None:
    """Have the page's address name a tab when it is chosen."""
    script = ADDRESS.format(names=[parameter], fixed=[tab.id])
    tab.select(None, js=script, api_visibility="private")


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
    tab: gr.Tab,
    shared: gr.State,
    below: Callable[[Wired], Below] = lambda _: Below(),
) -> Wired:
    """Lay out a panel in the current block and bind its events.

    Args:
        panel: what to show.
        found: of which runs; their predictions are read with the first event.
        tab: its own; the panel is drawn when it is chosen.
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
    # Not select, which Gradio does not report of a dropdown that is used by the keyboard.
    gr.on([c.input for c in inputs], choose, inputs, [shared, *outputs], **EVENT)
    # Gradio reports some choices of a tab twice; the second would draw the same again.
    once = {**EVENT, "trigger_mode": "once"}
    tab.select(arrive, [shared, *inputs], outputs, **once)
    cell, script = (
        [wired.dataset, wired.protocol],
        ADDRESS.format(names=["corpus", "split"], fixed=[]),
    )
    gr.on([c.input for c in cell], None, cell, js=script, api_visibility="private")
    name_in_address(tab, "view")
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
    protocols = [(SPLITS[name], name) for name in PROTOCOLS if name in own]
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
