"""Build the page out of its tabs."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr
import plotly.graph_objects as go
from starlette.middleware import Middleware

from analysis.live.tab import build_live_tab
from analysis.models import EXAMPLE_NAMES, EXAMPLES, Model
from analysis.server import NoCopies, OnlyOpenRoutes, UploadLimit
from analysis.stats.runs import NO_RUNS, FoundRuns
from analysis.tabs.about import build_about_tab
from analysis.tabs.analysis import build_analysis_tab
from analysis.tabs.classify import build_classify_tab, classify
from analysis.tabs.recordings import ClassifyTab
from analysis.uploads import retention
from cry_model.audio import SUFFIXES
from cry_model.detector import CryDetector

CSS = Path(__file__).with_name("page.css")
RECORDING = Path(__file__).with_name("recording.js")
TITLE = "Infant cry classifier"
SWITCH_THEME = "() => { document.body.classList.toggle('dark'); }"
# A screen reader speaks what changes inside a live region, if the region was there before.
# Gradio gives each radio button a name of its own, so the browser sees no group to move about in.
ON_LOAD = """() => {
  document.getElementById("answer").setAttribute("aria-live", "polite");
  const group = document.getElementById("model");
  group.setAttribute("role", "radiogroup");
  group.setAttribute("aria-label", "Model");
  group.addEventListener("keydown", (event) => {
    const step = {ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1}[event.key];
    if (!step) return;
    event.preventDefault();
    const choices = [...group.querySelectorAll("input")];
    const next = choices.at((choices.indexOf(document.activeElement) + step) % choices.length);
    next.focus();
    next.click();
  });
}"""
# Where the theme's own teal is too pale to be read against white, or white against it.
READABLE = {
    "background_fill_primary": "*neutral_50",  # the theme's own, which any set() takes away
    "block_label_text_color": "*primary_800",
    "block_title_text_color": "*primary_800",
    "block_label_background_fill_dark": "*primary_800",
    "block_title_background_fill_dark": "*primary_800",
    "checkbox_label_background_fill_selected": "*primary_700",
    "checkbox_label_background_fill_selected_dark": "*primary_700",
}
SYSTEM_FONT = ["system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif"]
SESSIONS = 1000  # at a time; the memory of more is not worth having


def build_page(
    models: Sequence[Model],
    note: str = "",
    detector: CryDetector | None = None,
    found: FoundRuns = NO_RUNS,
) -> gr.Blocks:
    """Lay out header and tabs; the queue holds 32 visitors and answers two at a time.

    Args:
        models: what visitors can choose from, the default first.
        note: a sentence for the header, on where the first comes from.
        detector: without one, every sound is answered for, and there is no Live tab.
        found: what the Analysis tab shows.
    """
    with gr.Blocks(title=TITLE, analytics_enabled=False) as page:
        with gr.Row(elem_id="header"):
            gr.HTML(header(models, note))
            theme = gr.Button("Light / dark", size="sm", min_width=110, scale=0, elem_id="theme")
        with gr.Tabs() as tabs:
            with gr.Tab("Classify", id="classify"):
                classify_tab = ClassifyTab(build_classify_tab(models, detector), tabs)
            if detector is not None:
                with gr.Tab("Live", id="live"):
                    build_live_tab(detector, models[0])
            with gr.Tab("Analysis", id="analysis") as analysis:
                build_analysis_tab(found, analysis, classify=classify_tab)
            with gr.Tab("About", id="about"):
                build_about_tab(models, detector)
        # Gradio fetches Plotly with the first figure; none of the visitor's should wait for that.
        ahead = gr.Plot(show_label=False, elem_id="ahead")
        page.load(None, js=recording_script(), api_visibility="private")
        page.load(None, js=ON_LOAD, api_visibility="private").then(
            go.Figure, None, ahead, queue=False, show_progress="hidden", api_visibility="private"
        )
        theme.click(None, js=SWITCH_THEME, api_visibility="private")
    # Open, the API would let programs skip the queue.
    return page.queue(max_size=32, default_concurrency_limit=2, api_open=False)


def warm_up(
    models: Sequence[Model], detector: CryDetector | None, found: FoundRuns
) -> threading.Thread:
    """Classify an example and read all predictions, in the background.

    Libraries load and compile on first use, and no visitor should wait for that.
    """

    def work() -> None:
        classify(models, str(EXAMPLES / next(iter(EXAMPLE_NAMES))), detector=detector)
        _ = found.readable

    thread = threading.Thread(target=work, name="warm-up", daemon=True)
    thread.start()
    return thread


def recording_script() -> str:
    """Return the script that takes every file with sound and leaves a microphone's sound alone."""
    accepted = ("audio/*", "video/*", *SUFFIXES)
    return RECORDING.read_text(encoding="utf-8").replace("ACCEPTED", ",".join(accepted))


def header(models: Sequence[Model], note: str = "") -> str:
    """Write the title, which labels can be asked for, and the note if there is one."""
    families = list(dict.fromkeys(model.family.title for model in models if model.family))
    lines = [f"Answers in the {' or the '.join(families)}.", note] if families else [note]
    return f"<h1>{TITLE}</h1>" + "".join(f"<p>{escape(line)}</p>" for line in lines if line)


def launch_options() -> dict[str, Any]:
    """Set theme, limits and memory for ``launch``: local fonts, uploads up to 200 MB.

    Nothing is kept in the browser. Gradio's own workers, which would take uploads past our limit,
    stay off.
    """
    return {
        "theme": gr.themes.Soft(primary_hue="teal", font=SYSTEM_FONT).set(**READABLE),
        "css_paths": CSS,
        "max_file_size": "200mb",
        "footer_links": ["api"],
        "state_session_capacity": SESSIONS,
        "run_history": False,
        "enable_monitoring": False,
        "ssr_mode": False,  # one server only: another would have routes that are not listed
        "num_workers": 0,
        "app_kwargs": {
            "lifespan": retention,
            "middleware": [
                Middleware(OnlyOpenRoutes),
                Middleware(NoCopies),
                Middleware(UploadLimit),
            ],
        },
    }
