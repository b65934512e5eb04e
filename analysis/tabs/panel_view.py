"""A panel as a Gradio sub-tab: selectors above, a place for each exhibit below."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import gradio as gr
from gradio.blocks import Block
from gradio.components import Component

from analysis.panels.base import NOTHING, PROTOCOL_TITLES, CellKey, Exhibit, Panel, Selector
from analysis.panels.markup import FORMATS, SAVE_FIGURE, csv_link, table_html
from analysis.stats.paired import ComparisonError
from analysis.stats.recordings import ResultsError
from analysis.stats.runs import PROTOCOLS, FoundRuns
from cry_model.records import dataset_title

# Without the queue, whose places may be taken by recordings; of quick clicks the last one counts.
EVENT: dict[str, Any] = {
    "queue": False,
    "show_progress": "hidden",
    "trigger_mode": "always_last",
    "api_visibility": "private",
}


@dataclass(frozen=True)
class Place:
    """Where an exhibit stands: what :func:`filled` gives values to, in this order."""

    column: gr.Column
    heading: gr.Markdown
    figure: gr.Plot
    table: gr.Dataframe | gr.HTML
    note: gr.Markdown
    images: gr.Row
    link: gr.HTML

    @property
    def blocks(self) -> list[Block]:
        """All of them."""
        return list(vars(self).values())


@dataclass(frozen=True)
class Wired:
    """A panel on the page, for what is added to it.

    Attributes:
        panel: which.
        dataset, protocol: the choice of the cell.
        selectors: those of the panel, in its order.
        problem: where a sentence stands if nothing can be drawn.
        places: one for each exhibit.
    """

    panel: Panel
    dataset: gr.Dropdown
    protocol: gr.Dropdown
    selectors: tuple[Component, ...]
    problem: gr.HTML
    places: tuple[Place, ...]

    @property
    def chosen(self) -> list[Component]:
        """The values that say what to draw."""
        return [self.dataset, self.protocol, *self.selectors]

    @property
    def outputs(self) -> list[Block]:
        """What a choice changes."""
        blocks = [block for place in self.places for block in place.blocks]
        return [*self.chosen, self.problem, *blocks]


@dataclass(frozen=True)
class Below:
    """What stands below the exhibits of a panel and changes with them.

    Attributes:
        blocks: what changes.
        fill: (cell, choices) -> a value for each of these, after the exhibits were drawn anew.
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
    """Lays a panel out in the current block and connects it.

    Args:
        panel: what to show.
        found: of which runs.
        tabs: the panel is drawn when one of these is chosen.
        shared: the cell that was last chosen in any panel, or None.
        below: lays out more, below the exhibits.
    """
    wired = _lay_out(panel, found)
    more = below(wired)

    def draw(cell: CellKey, chosen: Sequence[Any]) -> tuple[Any, ...]:
        cell = settled(panel.cells(found) or [cell], cell)
        choices = chosen_in(panel, found, cell, chosen)
        return (*values(panel, found, cell, chosen), *more.fill(cell, choices))

    def choose(dataset: str, protocol: str, *chosen: Any) -> tuple[Any, ...]:
        cell = CellKey(dataset, protocol)
        return (cell, *draw(cell, chosen))

    def arrive(cell: CellKey | None, dataset: str, protocol: str, *chosen: Any) -> tuple[Any, ...]:
        return draw(CellKey(*cell or (dataset, protocol)), chosen)

    inputs, outputs = wired.chosen, [*wired.outputs, *more.blocks]
    # Of a dropdown Gradio reports an input twice and a selection once.
    chosen = [c.input if isinstance(c, gr.Checkbox) else c.select for c in inputs]
    gr.on(chosen, choose, inputs, [shared, *outputs], **EVENT)
    # Gradio reports some choices of a tab twice; the second would draw the same again.
    once = {**EVENT, "trigger_mode": "once"}
    gr.on([tab.select for tab in tabs], arrive, [shared, *inputs], outputs, **once)
    return wired


def values(panel: Panel, found: FoundRuns, cell: CellKey, chosen: Sequence[Any]) -> tuple[Any, ...]:
    """For :attr:`Wired.outputs`: a panel, or the sentence that says why there is none."""
    cells = panel.cells(found)
    if not cells:
        same = [gr.skip()] * (2 + len(panel.selectors))
        return (*same, _problem(NOTHING), *_filled(panel, ()))
    cell = settled(cells, cell)
    choices = chosen_in(panel, found, cell, chosen)
    try:
        exhibits, problem = panel.exhibits(found, cell, choices), ""
    except (ResultsError, ComparisonError) as error:
        exhibits, problem = (), str(error)
    return (
        gr.Dropdown(_datasets(cells), value=cell.dataset),
        gr.Dropdown(_protocols(cells, cell), value=cell.protocol),
        *(_selected(selector, found, cell, choices[selector.name]) for selector in panel.selectors),
        _problem(problem),
        *_filled(panel, exhibits),
    )


def chosen_in(
    panel: Panel, found: FoundRuns, cell: CellKey, chosen: Sequence[Any]
) -> dict[str, Any]:
    """What the panel's selectors have, in its order, by name, as far as the cell offers it."""
    names = [selector.name for selector in panel.selectors]
    return panel.settle(found, cell, dict(zip(names, chosen, strict=True)))


def settled(cells: Sequence[CellKey], wanted: CellKey) -> CellKey:
    """The wanted cell; else another protocol of its dataset; else the first."""
    if wanted in cells:
        return wanted
    return next((cell for cell in cells if cell.dataset == wanted.dataset), cells[0])


def _lay_out(panel: Panel, found: FoundRuns) -> Wired:
    cells = panel.cells(found)
    first = cells[0] if cells else CellKey("", "")
    gr.Markdown(panel.lead)
    with gr.Row(elem_id=f"{panel.name}-choices", visible=bool(cells)):
        dataset = gr.Dropdown(
            _datasets(cells),
            value=first.dataset or None,
            label="Corpus",
            elem_id=f"{panel.name}-dataset",
        )
        protocol = gr.Dropdown(
            _protocols(cells, first),
            value=first.protocol or None,
            label="What is split",
            visible=panel.by_protocol,
            elem_id=f"{panel.name}-protocol",
        )
        selectors = tuple(_component(panel, selector, found, first) for selector in panel.selectors)
    problem = gr.HTML(visible=False, elem_id=f"{panel.name}-problem")
    names = [f"{panel.name}-{number}" for number in range(panel.places)]
    with gr.Row(equal_height=False):
        abreast = [_place(name, panel.grids) for name in names[: panel.abreast]]
    places = (*abreast, *(_place(name, panel.grids) for name in names[panel.abreast :]))
    return Wired(panel, dataset, protocol, selectors, problem, places)


def _place(name: str, grid: bool) -> Place:
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
    return Place(column, heading, figure, table, note, images, link)


def _filled(panel: Panel, exhibits: Sequence[Exhibit]) -> list[Any]:
    """Values for the places of a panel; those without an exhibit are hidden."""
    shown = [value for exhibit in exhibits for value in filled(exhibit, panel.grids)]
    hidden = [gr.Column(visible=False), *[gr.skip()] * 6]
    return shown + hidden * (panel.places - len(exhibits))


def filled(exhibit: Exhibit, grid: bool) -> list[Any]:
    """Values for :attr:`Place.blocks`."""
    pictured = exhibit.figure is not None
    return [
        gr.Column(visible=True),
        f"### {escape(exhibit.title, quote=False)}",
        gr.Plot(exhibit.figure, visible=pictured),
        _table(exhibit, grid),
        exhibit.note,
        gr.Row(visible=pictured),
        csv_link(exhibit),
    ]


def _table(exhibit: Exhibit, grid: bool) -> gr.Dataframe | gr.HTML:
    if grid:
        return gr.Dataframe(exhibit.table, visible=exhibit.table is not None)
    if exhibit.table is None:
        return gr.HTML(visible=False)
    return gr.HTML(table_html(exhibit.table, exhibit.title), visible=True)


def _problem(sentence: str) -> gr.HTML:
    html = f'<div class="answer problem"><p>{escape(sentence)}</p></div>'
    return gr.HTML(html, visible=bool(sentence))


def _datasets(cells: Sequence[CellKey]) -> list[tuple[str, str]]:
    return [(dataset_title(name), name) for name in dict.fromkeys(c.dataset for c in cells)]


def _protocols(cells: Sequence[CellKey], cell: CellKey) -> list[tuple[str, str]]:
    own = {known.protocol for known in cells if known.dataset == cell.dataset}
    return [(PROTOCOL_TITLES[name], name) for name in PROTOCOLS if name in own]


def _component(panel: Panel, selector: Selector, found: FoundRuns, cell: CellKey) -> Component:
    elem_id, value = f"{panel.name}-{selector.name}", selector.settle(found, cell)
    if selector.kind == "switch":
        return gr.Checkbox(value, label=selector.label, elem_id=elem_id)
    options = selector.offered(found, cell)
    return gr.Dropdown(options, value=value, label=selector.label, elem_id=elem_id)


def _selected(selector: Selector, found: FoundRuns, cell: CellKey, value: object) -> Component:
    if selector.kind == "switch":
        return gr.Checkbox(value)
    return gr.Dropdown([tuple(o) for o in selector.offered(found, cell)], value=value)
