"""Build the page out of its tabs."""

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
from analysis.server import PLOTLY, NoCopies, OnlyOpenRoutes, UploadLimit
from analysis.session import classify_all
from analysis.stats.runs import NO_RUNS, FoundRuns
from analysis.tabs.about import build_about_tab
from analysis.tabs.analysis import EVENT, build_analysis_tab
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
# The theme is remembered once it was chosen.
SWITCH_THEME = """() => {
  const dark = document.body.classList.toggle("dark");
  try { localStorage.setItem("theme", dark ? "dark" : "light"); } catch { /* not kept */ }
}"""
# A screen reader speaks what changes inside a live region, if the region was there before.
# Gradio gives each radio button a name of its own, so the browser sees no group to move about in.
ON_LOAD = """() => {
  let theme = null;
  try { theme = localStorage.getItem("theme"); } catch { /* not kept */ }
  if (theme) document.body.classList.toggle("dark", theme === "dark");
  document.getElementById("answer").setAttribute("aria-live", "polite");
  document.addEventListener("focusin", ({ target }) => {
    const group = target.closest?.("#model");
    group?.setAttribute("role", "radiogroup");
    group?.setAttribute("aria-label", "Model");
  });
  document.addEventListener("keydown", (event) => {
    const step = {ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1}[event.key];
    const group = event.target.closest?.("#model");
    if (!step || !group) return;
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
# The address says what is shown, so that it can be passed on, and Back goes back.
NAME_TAB = """() => {{
  // Gradio reports the first tab as chosen, too, before the address was read.
  if ("{tab}" === "listen" && !window.addressRead) return;
  window.addressRead = true;
  const address = new URL(location.href);
  if (address.searchParams.get("tab") === "{tab}") return;
  address.search = "?tab={tab}";
  history.pushState(history.state, "", address);
}}"""
FOLLOW_BACK = """() => {
  window.addressRead = true;
  addEventListener("popstate", () => {
    const tab = new URLSearchParams(location.search).get("tab") || "listen";
    document.querySelector(`#tabs > .tab-wrapper [data-tab-id="${tab}"]`)?.click();
  });
}"""
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
            gr.HTML(header(note))
            theme = gr.Button("\u25d0", size="sm", min_width=44, scale=0, elem_id="theme")
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
        page.load(None, js=ON_LOAD, api_visibility="private")
        names = [tab.id for tab in tabs.children]

        def asked_tab(request: gr.Request) -> gr.Tabs:
            """Choose the tab that the address asks for by ``?tab=``."""
            wanted = request.query_params.get("tab", "").lower()
            return gr.Tabs(selected=wanted) if wanted in names else gr.skip()

        asked = page.load(asked_tab, None, tabs, **EVENT)
        asked.then(None, js=FOLLOW_BACK, api_visibility="private")
        for tab in tabs.children:
            tab.select(None, js=NAME_TAB.format(tab=tab.id), api_visibility="private")
        theme.click(None, js=SWITCH_THEME, api_visibility="private")
    # Open, the API would let programs skip the queue.
    return page.queue(max_size=32, default_concurrency_limit=2, api_open=False)


def warm_up(models: Sequence[Model], detector: CryDetector | None, found: FoundRuns) -> None:
    """Classify an example and read all predictions, in the background.

    Libraries load and compile on first use, and no visitor should wait for that.
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
    """Set theme, limits and memory for ``launch``: local fonts, uploads up to 200 MB.

    Gradio's own workers, which would take uploads past our limit, stay off.
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
        "ssr_mode": False,  # one server only: another would have routes that are not listed
        "num_workers": 0,
        "app_kwargs": {
            "lifespan": retention,
            "routes": [PLOTLY],
            "middleware": [
                Middleware(OnlyOpenRoutes),
                Middleware(NoCopies),
                Middleware(UploadLimit),
            ],
        },
    }
