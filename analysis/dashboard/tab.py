"""The Analysis tab: a sub-tab for each panel."""

from __future__ import annotations

from collections.abc import Sequence

import gradio as gr

from analysis.dashboard.analysis_api import offer_analysis
from analysis.dashboard.panel import Panel
from analysis.dashboard.panels import PANELS
from analysis.dashboard.wiring import build_panel
from analysis.runs import FoundRuns


def build_analysis_tab(found: FoundRuns, tab: gr.Tab, panels: Sequence[Panel] = PANELS) -> None:
    """Lays out the tab inside the current block.

    Args:
        found: the runs to show, and what was wrong with others.
        tab: the tab itself; choosing it draws the first panel.
        panels: a sub-tab for each.
    """
    if found.problems:
        gr.Markdown("\n".join(f"- {problem}" for problem in found.problems), elem_id="problems")
    shared = gr.State(None)
    with gr.Tabs(elem_id="panels"):
        for number, panel in enumerate(panels):
            with gr.Tab(panel.title, id=panel.name) as own:
                build_panel(panel, found, [own] if number else [own, tab], shared)
    offer_analysis(found, panels)
