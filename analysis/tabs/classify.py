"""The Classify tab: recording in, the chosen model's answer and figures out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import gradio as gr
import plotly.graph_objects as go
from gradio.components import Component

from analysis.figures import attention as attention
from analysis.figures.features import contributions_figure, describe_contributions
from analysis.figures.sound import attention_shown, describe_sound, sound_figure
from analysis.figures.timeline import timeline_figure
from analysis.models import EXAMPLE_NAMES, EXAMPLES, Model, UnknownModelError, find
from analysis.session import Heard, Report, hear, silent
from analysis.sound import Sound
from analysis.tabs.answer import (
    EMPTY,
    NO_LONGER_KEPT,
    answer_html,
    describe_segments,
    error_html,
    has_answer,
    has_timeline,
    segments_html,
)
from analysis.uploads import HOUR, needing
from cry_model.detector import CryGate
from cry_model.prediction import Prediction

SOUND_NOTE = "Loudness, pitch and overtones."
DETECTOR_NOTE = """The row "a cry?" is what a small network that hears everything first makes of it,
half a second at a time."""
MARKED_NOTE = """The model hears only the marked stretches, in which that reaches the dashed line or
stays near it."""
GATES_NOTE = """Loudness, pitch and overtones, and below them when the network listened: near 1 a
moment counts fully, near 0 it is held back. In the paper: the temporal gate A<sub>t</sub> of each
block, equation 10. It shows what the network multiplies, not why it answers: on made-up cries whose
beginnings are known, the gates mark neither these nor the seconds that the answer rests on."""
MAP_NOTE = """When each block listened, and to which of its 128 learnt channels (these have no fixed
pitch; they are sorted by weight). In the paper: the product A<sub>t</sub>A<sub>c</sub>ᵀ of
equation 10."""
BRANCH_NOTE = """Whether each block relied on short stretches of sound (small kernels) or on longer
ones. In the paper: the gate s of equation 5, summed over the channels of each branch."""
DIFFERENTIAL_NOTE = """What the layers take from each other before the answer; rows take, columns
give. In the paper: the maps A<sub>1</sub> and A<sub>2</sub> of equations 13 and 15, and equation
12's difference."""
FEATURE_NOTE = """What each measured property of the sound added to the answer or took from it, on
the way from the average recording that the model was fitted on to this one (integrated gradients).
The bars sum to the natural logarithm of the answer's probability less that for an average
recording, before the answer is evened out for a recording unlike those, and calibrated. The
spectral shapes describe together how strong low and high sounds are; none has a plain name of its
own."""


TIMELINE_NOTE = """Each bar is a cry, as wide as it is long; of a single long cry each is a piece of
it. Nothing stands where no cry was heard."""
IF_A_CRY = "If it were a cry: "


@dataclass(frozen=True)
class Section:
    """A figure with heading, the sentence that says the same, a note, and HTML of its own.

    Hidden without a figure.
    """

    figure: go.Figure | None = None
    heading: str = ""
    words: str = ""
    note: str = ""
    html: str = ""


HIDDEN = Section()
PLACES = ("sound", "timeline", "feature", "map", "branch", "differential")
"""What :func:`sections` gives, in its order."""


def sections(sound: Sound, prediction: Prediction, high_hz: float) -> tuple[Section, ...]:
    """One for each of :data:`PLACES`; the figures of weights that the system lacks are hidden.

    Args:
        sound: what was heard.
        prediction: the answer to it.
        high_hz: where the model that gave it stops hearing.
    """
    explained = (_features(prediction), *_attention(prediction))
    if prediction.is_cry is False:  # the page shows them below a fold
        explained = tuple(map(_if_a_cry, explained))
    return (_sound(sound, prediction, high_hz), _timeline(prediction), *explained)


def _sound(sound: Sound, prediction: Prediction, high_hz: float) -> Section:
    attended = attention_shown(prediction)
    note = GATES_NOTE if attended else SOUND_NOTE
    detector: tuple[str, ...] = () if prediction.track is None else (DETECTOR_NOTE,)
    if prediction.segments:
        detector = (DETECTOR_NOTE, MARKED_NOTE)
    return Section(
        sound_figure(sound, prediction, high_hz),
        "What was heard, and when the model listened" if attended else "What was heard",
        describe_sound(sound, prediction),
        " ".join((note, *detector)),
    )


def _timeline(prediction: Prediction) -> Section:
    if not has_timeline(prediction):
        return HIDDEN
    return Section(
        timeline_figure(prediction),
        "Each cry, and what it sounded like",
        describe_segments(prediction),
        TIMELINE_NOTE,
        segments_html(prediction),
    )


def _if_a_cry(section: Section) -> Section:
    if section == HIDDEN:
        return section
    return replace(section, heading=f"{IF_A_CRY}{section.heading[0].lower()}{section.heading[1:]}")


def _features(prediction: Prediction) -> Section:
    if prediction.acoustic is None or not has_answer(prediction):
        return HIDDEN
    return Section(
        contributions_figure(prediction),
        "What in the sound moved the answer",
        describe_contributions(prediction),
        FEATURE_NOTE,
    )


def _attention(prediction: Prediction) -> tuple[Section, ...]:
    time_channel, branches, differential = attention.attention_figures(prediction)
    shown = (
        Section(
            time_channel,
            "Attention over time and channels",
            attention.describe_map(prediction),
            MAP_NOTE,
        ),
        Section(
            branches,
            "Short or long sounds",
            attention.describe_branches(prediction),
            BRANCH_NOTE,
        ),
        Section(
            differential,
            "Between the layers",
            attention.describe_differential(prediction),
            DIFFERENTIAL_NOTE,
        ),
    )
    return tuple(section if section.figure is not None else HIDDEN for section in shown)


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


def offer_predict(models: Sequence[Model], source: gr.Audio, gate: CryGate | None) -> None:
    """``/predict``, for programs: one model's answer as data."""

    def predict(file: str | None, model: str, anyway: bool) -> dict[str, Any]:
        """Whether it is a cry, the cries, label, probabilities and measured trust.

        Args:
            file: the recording.
            model: name of the model; by default the first.
            anyway: whether to tell label and probabilities of what is no cry, too.
        """
        try:
            with needing(file):
                chosen = find(models, model)
                answer = hear((chosen,), file, gate).answers[chosen.name]
        except UnknownModelError as error:
            answer = str(error)
        if isinstance(answer, str):
            raise gr.Error(answer, print_exception=False)
        return answer.to_dict(anyway)

    name = gr.Textbox(models[0].name, label="model", visible=False)
    anyway = gr.Checkbox(False, label="anyway", visible=False)
    gr.Button(visible=False).click(
        predict, [source, name, anyway], gr.JSON(visible=False), api_name="predict"
    )


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
