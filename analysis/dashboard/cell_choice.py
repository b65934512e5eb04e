"""Below the confusion matrices: choosing a cell lists its recordings, choosing one plays it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gradio as gr

from analysis.confusion_matrix import confusion_of
from analysis.dashboard.cell_grid import ON_LOAD, grid_html
from analysis.dashboard.cell_list import MOST, cell_list, list_title
from analysis.dashboard.confusion import display_order
from analysis.dashboard.listening import ClassifyTab, add_listening, waiting
from analysis.dashboard.panel import CellKey
from analysis.dashboard.wiring import EVENT, Below, Wired
from analysis.run_tables import ResultsError
from analysis.runs import FoundRuns

INVITATION = (
    "### Hear what was confused\n\nHow many recordings stand in each cell: true labels down, "
    "answers across. Choose one to list them."
)
TO_THE_LIST = """() => document.getElementById("confusion-list-heading")
  ?.scrollIntoView({ behavior: "smooth", block: "start" })"""


def add_cell_choice(found: FoundRuns, classify: ClassifyTab, wired: Wired) -> Below:
    """Lays it out in the current block and connects it to the panel."""
    gr.Markdown(INVITATION)
    grid = gr.HTML(js_on_load=ON_LOAD, elem_id="confusion-cells")
    heading = gr.Markdown(visible=False, elem_id="confusion-list-heading")
    table = gr.Dataframe(
        interactive=False, show_label=False, visible=False, elem_id="confusion-list"
    )
    listening = add_listening("confusion", wired.dataset, [table], classify)

    def renew(cell: CellKey, choices: Mapping[str, Any]) -> tuple[Any, ...]:
        hidden = gr.Markdown(visible=False), gr.Dataframe(visible=False)
        return _grid(wired, found, cell, choices), *hidden, *listening.fill(cell, choices)

    def choose(dataset: str, protocol: str, event: gr.SelectData) -> tuple[Any, ...]:
        system, label, answer = event.index
        run = found.of(dataset, protocol)[system]
        listed = cell_list(run, label, answer)
        title = f"### {list_title(run, label, answer, len(listed))}"
        shown = gr.Markdown(title, visible=True), gr.Dataframe(listed[:MOST], visible=True)
        return *shown, *waiting()

    outputs = [heading, table, *listening.blocks]
    chosen = grid.select(choose, [wired.dataset, wired.protocol], outputs, **EVENT)
    chosen.then(None, js=TO_THE_LIST, api_visibility="private")
    return Below([grid, *outputs], renew)


def _grid(wired: Wired, found: FoundRuns, cell: CellKey, choices: Mapping[str, Any]) -> str:
    """The tables of what is drawn above; nothing where nothing can be drawn."""
    if cell not in wired.panel.cells(found):
        return ""
    systems = list(dict.fromkeys((choices["system"], choices["beside"])))
    try:
        confusions = [confusion_of(found.of(*cell)[system]) for system in systems]
    except ResultsError:
        return ""  # the panel says why
    return grid_html(systems, confusions, display_order(confusions, choices["by_similarity"]))
