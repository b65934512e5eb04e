"""The Analysis tab: a sub-tab for each panel."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import gradio as gr

from analysis.dashboard.analysis_api import offer_analysis
from analysis.dashboard.cell_choice import add_cell_choice
from analysis.dashboard.confusion import CONFUSION
from analysis.dashboard.errors import ERRORS
from analysis.dashboard.listening import ClassifyTab, hear_tables
from analysis.dashboard.panel import Panel
from analysis.dashboard.panels import PANELS
from analysis.dashboard.warming import Warming
from analysis.dashboard.wiring import Below, Wired, build_panel
from analysis.runs import FoundRuns

BELOW: Mapping[str, Callable[[FoundRuns, ClassifyTab, Wired], Below]] = {
    CONFUSION.name: add_cell_choice,
    ERRORS.name: hear_tables,
}
"""Panel -> what lays out more below its exhibits."""


def build_analysis_tab(
    found: FoundRuns,
    tab: gr.Tab,
    panels: Sequence[Panel] = PANELS,
    classify: ClassifyTab | None = None,
) -> None:
    """Lays out the tab inside the current block.

    Args:
        found: the runs to show, and what was wrong with others.
        tab: the tab itself; choosing it draws the first panel.
        panels: a sub-tab for each.
        classify: where a recording of the results is opened; None offers none to listen to.
    """
    if found.problems:
        gr.Markdown("\n".join(f"- {problem}" for problem in found.problems), elem_id="problems")
    shared = gr.State(None)
    with gr.Tabs(elem_id="panels"):
        for number, panel in enumerate(panels):
            with gr.Tab(panel.title, id=panel.name) as own:
                tabs, more = [own] if number else [own, tab], {}
                if classify is not None and panel.name in BELOW:
                    more["below"] = partial(BELOW[panel.name], found, classify)
                build_panel(panel, found, tabs, shared, **more)
    warming = Warming(found, panels)
    tab.select(warming.start, queue=False, show_progress="hidden", api_visibility="private")
    offer_analysis(found, panels)
