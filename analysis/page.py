"""The page out of its tabs."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from analysis.about_tab import build_about_tab
from analysis.classify_tab import EXAMPLE_NAMES, EXAMPLES, build_classify_tab, classify
from cry_model.classifier import CryClassifier
from cry_model.evaluation import dataset_title
from cry_model.registry import get_system

CSS = Path(__file__).with_name("page.css")
TITLE = "Infant cry classifier"
SWITCH_THEME = "() => { document.body.classList.toggle('dark'); }"
# A screen reader speaks what changes inside a live region, if the region was there before.
ANNOUNCE_ANSWERS = """() => {
  document.getElementById("answer").setAttribute("aria-live", "polite");
}"""
SYSTEM_FONT = ["system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif"]
HOUR = 3600  # s; what a visitor left without an answer goes after one


def build_page(classifier: CryClassifier, note: str = "") -> gr.Blocks:
    """Header and tabs; the queue holds 32 visitors and answers two at a time.

    Args:
        classifier: the model that answers.
        note: a sentence for the header, on where that model comes from.
    """
    # Once through everything: librosa compiles on first use, and no visitor should wait for it.
    classify(classifier, str(EXAMPLES / next(iter(EXAMPLE_NAMES))))
    with gr.Blocks(title=TITLE, delete_cache=(HOUR // 4, HOUR), analytics_enabled=False) as page:
        with gr.Row(elem_id="header"):
            gr.HTML(header(classifier, note))
            theme = gr.Button("Light / dark", size="sm", min_width=110, scale=0, elem_id="theme")
        with gr.Tab("Classify", id="classify"):
            build_classify_tab(classifier)
        with gr.Tab("About", id="about"):
            build_about_tab(classifier)
        page.load(None, js=ANNOUNCE_ANSWERS, api_visibility="private")
        theme.click(None, js=SWITCH_THEME, api_visibility="private")
    return page.queue(max_size=32, default_concurrency_limit=2)


def header(classifier: CryClassifier, note: str = "") -> str:
    """Title, the name of the model that answers, and the note if there is one."""
    config = classifier.config
    system, dataset = get_system(config.system).title, config.training.get("dataset")
    model = f"{system}, trained on {dataset_title(str(dataset))}" if dataset else system
    lines = [f"{model}.", note] if note else [model]
    return f"<h1>{TITLE}</h1>" + "".join(f"<p>{escape(line)}</p>" for line in lines)


def launch_options() -> dict[str, Any]:
    """Theme and limits for ``launch``: local fonts, uploads up to 200 MB."""
    return {
        "theme": gr.themes.Soft(
            primary_hue="teal",
            font=SYSTEM_FONT,
        ),
        "css_paths": CSS,
        "max_file_size": "200mb",
        "footer_links": ["api"],
    }
