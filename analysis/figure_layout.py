"""Where the figures stand on the page, and what Gradio is told to put there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gradio as gr
from gradio.components import Component

from analysis.sections import HIDDEN, PLACES, Section

# Plotly's drawings are unnamed to a screen reader; the sentence under each names it.
DESCRIBE_FIGURES = f"""() => {{
  for (const figure of {list(PLACES)}) {{
    const plot = document.getElementById(`${{figure}}-figure`);
    const words = document.getElementById(`${{figure}}-words`);
    if (!plot || !words) continue;
    plot.setAttribute("role", "img");
    plot.setAttribute("aria-label", words.textContent.trim());
  }}
}}"""


def lay_out_figures() -> list[gr.blocks.Block]:
    """The column of all figures, hidden, and what :func:`figure_outputs` fills."""
    with gr.Column(visible=False, elem_id="details") as details:
        parts = [_place(place) for place in PLACES[:-2]]
        with gr.Row():
            parts += [_place(place) for place in PLACES[-2:]]
    return [details, *(block for part in parts for block in part)]


def figure_outputs(sections: Sequence[Section] = ()) -> tuple[Any, ...]:
    """The sections, for what :func:`lay_out_figures` made; without any, all of it is hidden."""
    outputs = [gr.Column(visible=bool(sections))]
    for section in sections or [HIDDEN] * len(PLACES):
        heading = f"### {section.heading}" if section.heading else ""
        visible = gr.Column(visible=section.figure is not None)
        html = gr.HTML(section.html, visible=bool(section.html))
        outputs += [visible, heading, section.figure, section.words, section.note, html]
    return tuple(outputs)


def _place(name: str) -> tuple[gr.Column | Component, ...]:
    with gr.Column(min_width=300, elem_id=f"{name}-section") as column:
        heading = gr.Markdown()
        figure = gr.Plot(show_label=False, elem_id=f"{name}-figure")
        words = gr.Markdown(elem_classes="caption", elem_id=f"{name}-words")
        note = gr.Markdown(elem_classes="caption")
        html = gr.HTML(visible=False, elem_id=f"{name}-html")
    return column, heading, figure, words, note, html
