"""The Analysis tab: a sub-tab for each panel."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import gradio as gr

from analysis.dashboard.analysis_api import offer_analysis
from analysis.dashboard.cell_choice import add_cell_choice
from analysis.dashboard.confusion import CONFUSION
from analysis.dashboard.leakage import LEAKAGE
from analysis.dashboard.listening import ClassifyTab
from analysis.dashboard.panel import Panel
from analysis.dashboard.wiring import Wired, build_panel
from analysis.runs import FoundRuns

PANELS: tuple[Panel, ...] = (CONFUSION, LEAKAGE)
BELOW: Mapping[str, Callable[[Wired, FoundRuns, ClassifyTab], None]] = {
    CONFUSION.name: add_cell_choice,
}
"""Panel -> what lays out more below its exhibits, and connects it."""


def build_analysis_tab(
    found: FoundRuns, tab: gr.Tab, classify: ClassifyTab, panels: Sequence[Panel] = PANELS
) -> None:
    """Lays out the tab inside the current block.

    Args:
        found: the runs to show, and what was wrong with others.
        tab: the tab itself; choosing it draws the first panel.
        classify: where a recording of the results is opened.
        panels: a sub-tab for each.
    """
    if found.problems:
        gr.Markdown("\n".join(f"- {problem}" for problem in found.problems), elem_id="problems")
    shared = gr.State(None)
    with gr.Tabs(elem_id="panels"):
        for number, panel in enumerate(panels):
            with gr.Tab(panel.title, id=panel.name) as own:
                wired = build_panel(panel, found, [own] if number else [own, tab], shared)
                if panel.name in BELOW:
                    BELOW[panel.name](wired, found, classify)
    offer_analysis(found, panels)
