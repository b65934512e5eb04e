"""The Classify tab: recording in, the chosen model's answer and figures out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from analysis.answer import EMPTY, NO_LONGER_KEPT, answer_html, error_html
from analysis.examples import EXAMPLE_NAMES, EXAMPLES
from analysis.figure_layout import DESCRIBE_FIGURES, figure_outputs, lay_out_figures
from analysis.forgetting import HOUR
from analysis.heard import Heard, hear
from analysis.models import Model, find
from analysis.predict_api import offer_predict
from analysis.progress import Report, silent
from analysis.sections import Section, sections
from analysis.uploads import needing
from cry_model.detector import CryGate

BAR = gr.Progress()  # as a default value: Gradio then hands in the visitor's own


@dataclass(frozen=True)
class View:
    """One model's view of one recording: the answer's HTML, and its figures if there are any."""

    answer: str
    sections: tuple[Section, ...] = ()

    def outputs(self) -> tuple[Any, ...]:
        """As Gradio wants them."""
        return (self.answer, *figure_outputs(self.sections))


def show(heard: Heard, model: Model, models: Sequence[Model], gate: CryGate | None = None) -> View:
    """What ``model`` made of a recording, with what the others say to it."""
    answer = heard.answers[model.name]
    if heard.sound is None or isinstance(answer, str):
        return View(error_html(str(answer)))
    record = None if gate is None else gate.config.gate
    html = answer_html(answer, heard.beside(model, models), record)
    high_hz = model.classifier.config.front_end.high_hz
    return View(html, sections(heard.sound, answer, high_hz))


def classify(
    models: Sequence[Model],
    file: str | None,
    name: str | None = None,
    heard: Heard | None = None,
    gate: CryGate | None = None,
    report: Report = silent,
) -> tuple[View, Heard | None]:
    """The view of a file, and what to keep for another model's view of it.

    Args:
        models: all of them answer, so that the file is not needed again.
        file: the recording; None shows the invitation.
        name: whose view; None for the first model's.
        heard: what was kept of an earlier recording; if of this one, the file is not read.
        gate: hears the recording first; without one, all of it is answered for.
        report: told how far it is with a long one.

    Raises:
        UnknownModelError: if there is no such model.
    """
    model = find(models, name)
    if file is None:
        return View(EMPTY), None
    if heard is None or heard.file != file:
        if not Path(file).exists():
            return View(error_html(NO_LONGER_KEPT)), None
        heard = hear(models, file, gate, report)
    return show(heard, model, models, gate), heard


def build_classify_tab(models: Sequence[Model], gate: CryGate | None = None) -> gr.Audio:
    """Lays out the tab and its events inside the current page.

    Returns:
        The recording: whatever sets it is answered.
    """
    with gr.Row(equal_height=False):
        with gr.Column(scale=2, min_width=300):
            chosen = gr.Radio(
                [(model.label, model.name) for model in models],
                value=models[0].name,
                label="Which model answers",
                elem_id="model",
            )
            source = _recorder()
        with gr.Column(scale=3, min_width=300):
            answer = gr.HTML(EMPTY, elem_id="answer")
    outputs = [answer, *lay_out_figures()]
    kept = gr.State(time_to_live=HOUR)

    def on_change(
        file: str | None, model: str | None, heard: Heard | None, bar: gr.Progress = BAR
    ) -> tuple[Any, ...]:
        """Answer and figures, as the page shows them."""
        with needing(file):
            view, heard = classify(models, file, model, heard, gate, bar)
            return (*view.outputs(), heard)

    # One event for both: of a switch during an answer, the last choice is what is shown.
    changed = gr.on(
        [source.change, chosen.input],
        on_change,
        [source, chosen, kept],
        [*outputs, kept],
        api_name="classify",
        show_progress_on=[answer],
        trigger_mode="always_last",
    )
    changed.then(None, js=DESCRIBE_FIGURES, api_visibility="private")
    offer_predict(models, source, gate)
    return source


def _recorder() -> gr.Audio:
    source = gr.Audio(
        sources=["upload", "microphone"],
        type="filepath",
        label="Drop a file, or record with the microphone",
        buttons=[],
        elem_id="recording",
    )
    gr.Examples(
        [[str(EXAMPLES / name)] for name in EXAMPLE_NAMES],
        inputs=[source],
        example_labels=list(EXAMPLE_NAMES.values()),
        label="Examples made by our synthesiser, no child was recorded",
    )
    return source
