"""Build the page from its tabs."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr
from starlette.middleware import Middleware

from analysis.live.tab import build_live_tab, make_functions
from analysis.models import EXAMPLE_NAMES, EXAMPLES, Model
from analysis.server import PLOTLY, OnlyOpenRoutes, UploadLimit
from analysis.session import classify_all
from analysis.stats.runs import NO_RUNS, FoundRuns
from analysis.tabs import scripts
from analysis.tabs.about import build_about_tab
from analysis.tabs.analysis import AT_ONCE, build_analysis_tab
from analysis.tabs.diary import build_diary_tab
from analysis.tabs.listen import I18N, build_listen_tab, offer_predict
from analysis.uploads import retention
from analysis.words import ENGLISH
from cry_model.detector import CryDetector

CSS = [Path(__file__).parent / f"{name}.css" for name in ("page", "panels/panel", "overview")]
ICON = Path(__file__).parents[1] / "assets" / "icon.png"
TITLE = ENGLISH("title")
DESCRIPTION = f"{ENGLISH('question')} {ENGLISH('modest')}"
HEAD = f"""<meta name="description" content="{DESCRIPTION}">
<meta property="og:title" content="{TITLE}">
<meta property="og:description" content="{DESCRIPTION}">
<meta name="theme-color" content="#0f766e">
<style>footer .divider {{ display: none; }}</style>"""
# Used where the theme's own teal has too little contrast with white.
READABLE = {
    "background_fill_primary": "*neutral_50",  # the theme's default, which set() would drop
    "block_label_text_color": "*primary_800",
    "block_title_text_color": "*primary_800",
    "block_label_background_fill_dark": "*primary_800",
    "block_title_background_fill_dark": "*primary_800",
    "checkbox_label_background_fill_selected": "*primary_700",
    "checkbox_label_background_fill_selected_dark": "*primary_700",
}
# The address names the current tab, so that it can be shared and Back works.
NAME_TAB = """() => {{
  // Gradio reports the first tab as chosen, too, before the address was read.
  if ("{tab}" === "listen" && !window.addressRead) return;
  window.addressRead = true;
  const address = new URL(location.href);
  if (address.searchParams.get("tab") === "{tab}") return;
  address.search = "?tab={tab}";
  history.pushState(history.state, "", address);
}}"""
SYSTEM_FONT = ["system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif"]
SESSIONS = 1000  # kept at a time; more would not be worth the memory


def build_page(
    models: Sequence[Model],
    note: str = "",
    detector: CryDetector | None = None,
    found: FoundRuns = NO_RUNS,
) -> gr.Blocks:
    """Build the page with header and tabs; the queue holds 32 requests and runs two at a time.

    Args:
        models: the models to choose from, the default first.
        note: a sentence for the header on where the first model comes from.
        detector: the cry detector; without it every sound is classified and Live is left out.
        found: the runs that the Analysis tab shows.
    """
    with gr.Blocks(title=TITLE, analytics_enabled=False) as page:
        with gr.Row(elem_id="header"):
            gr.HTML(header(note))
            gr.Button("\u25d0", size="sm", min_width=44, scale=0, elem_id="theme")
        offer_predict(models, detector)
        live_functions = [] if detector is None else make_functions(detector, models[0])
        with gr.Tabs(elem_id="tabs") as tabs:
            with gr.Tab(I18N("tab.listen"), id="listen"):
                build_listen_tab(models, detector, live_functions)
            if detector is not None:
                with gr.Tab(I18N("tab.live"), id="live"):
                    build_live_tab(detector, models[0], live_functions)
            with gr.Tab(I18N("tab.diary"), id="diary"):
                build_diary_tab()
            with gr.Tab(I18N("tab.analysis"), id="analysis"):
                build_analysis_tab(found)
            with gr.Tab(I18N("tab.about"), id="about"):
                build_about_tab(models, detector)
        page.load(None, js=scripts("page.js"), api_visibility="private")
        names = [tab.id for tab in tabs.children]

        def asked_tab(request: gr.Request) -> gr.Tabs:
            """Select the tab named by ``?tab=`` in the address."""
            wanted = request.query_params.get("tab", "").lower()
            return gr.Tabs(selected=wanted) if wanted in names else gr.skip()

        asked = page.load(asked_tab, None, tabs, **AT_ONCE)
        asked.then(None, js="() => { window.addressRead = true; }", api_visibility="private")
        for tab in tabs.children:
            tab.select(None, js=NAME_TAB.format(tab=tab.id), api_visibility="private")
    # With an open API, programs could bypass the queue.
    return page.queue(max_size=32, default_concurrency_limit=2, api_open=False)


def warm_up(models: Sequence[Model], detector: CryDetector | None, found: FoundRuns) -> None:
    """Classify an example and read all predictions, in a background thread.

    Libraries load and compile on first use; no visitor should wait for that.
    """

    def work() -> None:
        classify_all(models, str(EXAMPLES / next(iter(EXAMPLE_NAMES))), detector)
        _ = found.readable

    threading.Thread(target=work, name="warm-up", daemon=True).start()


def header(note: str = "") -> str:
    """Write the title, and the note if there is one."""
    told = f"<p>{escape(note)}</p>" if note else ""
    return f'<h1 data-word="title">{TITLE}</h1>{told}'


def launch_options() -> dict[str, Any]:
    """Return the options of ``launch``: theme, limits, local fonts, uploads up to 200 MiB.

    Gradio's own workers stay off, since they would accept uploads beyond our limit.
    """
    return {
        "theme": gr.themes.Soft(primary_hue="teal", font=SYSTEM_FONT).set(**READABLE),
        "css_paths": CSS,
        "head": HEAD,
        "i18n": I18N,
        "pwa": True,
        "favicon_path": ICON,
        "max_file_size": "200mb",
        "footer_links": ["api"],
        "state_session_capacity": SESSIONS,
        "run_history": False,
        "enable_monitoring": False,
        "ssr_mode": False,  # a second server would have routes that are not listed
        "num_workers": 0,
        "app_kwargs": {
            "lifespan": retention,
            "routes": [PLOTLY],
            "middleware": [Middleware(OnlyOpenRoutes), Middleware(UploadLimit)],
        },
    }
