"""Lay out the Classify tab: a recording in, the chosen model's answer and figures out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import gradio as gr
import plotly.graph_objects as go
from gradio.components import Component

from analysis.figures import attention
from analysis.figures.features import contributions_figure, describe_contributions
from analysis.figures.sound import attention_shown, describe_sound, sound_figure
from analysis.figures.timeline import timeline_figure
from analysis.models import EXAMPLE_NAMES, EXAMPLES, Model, UnknownModelError, find
from analysis.session import Report, Session, classify_all, no_progress
from analysis.sound import Display
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
from cry_model.detector import CryDetector
from cry_model.prediction import Prediction

SOUND_NOTE = "Top: waveform. Below: mel spectrogram."
DETECTOR_NOTE = (
    'Row "a cry?": probability of a cry, every quarter second. Dashed: from here on it is a cry; '
    "dotted: from here on it may be one."
)
MARKED_NOTE = "The model hears only the shaded segments."
ATTENTION_NOTE = """Bottom row: temporal attention A<sub>t</sub> of each block (paper, equation 10);
near 1 a moment counts fully, near 0 it is held back. It shows what the network multiplies, not why
it answers: on synthetic cries with known onsets, it marks neither these nor the seconds that the
answer depends on."""
MAP_NOTE = """Product A<sub>t</sub>A<sub>c</sub>ᵀ of equation 10: when each block listened, and to
which of its 128 learnt channels, sorted by weight. Channels have no fixed pitch."""
BRANCH_NOTE = """Gate s of equation 5, summed over the channels of each branch: whether a block
relied on short stretches of sound (small kernels) or on longer ones."""
DIFFERENTIAL_NOTE = """Maps A<sub>1</sub> and A<sub>2</sub> of equations 13 and 15, and equation
12's difference: what the layers take from each other. Rows take, columns give."""
FEATURE_NOTE = """Integrated gradients: what each feature added to the answer or took from it,
compared with the average recording of the training data. The bars sum to the difference in the
logarithm of the answer's probability, before out-of-distribution smoothing and calibration."""
TIMELINE_NOTE = "Each bar is a cry, as wide as it is long; a single long cry is shown in pieces."
IF_A_CRY = "If it were a cry: "
CARDS = ("sound", "timeline", "feature", "map", "branch", "differential")
"""The figures of an answer, in the order of the page; the last two stand side by side."""


@dataclass(frozen=True)
class Card:
    """Hold a figure, its heading, a sentence that says the same, a note, and HTML of its own."""

    figure: go.Figure
    heading: str
    words: str
    note: str
    html: str = ""


def make_cards(display: Display, prediction: Prediction, high_hz: float) -> dict[str, Card]:
    """Draw those of :data:`CARDS` that an answer has; its model stops hearing at ``high_hz``."""
    cards = {"sound": _sound_card(display, prediction, high_hz)}
    if has_timeline(prediction):
        cards["timeline"] = Card(
            timeline_figure(prediction),
            "Each cry, and what it sounded like",
            describe_segments(prediction),
            TIMELINE_NOTE,
            segments_html(prediction),
        )
    explained = _explanations(prediction)
    if prediction.is_cry is False:  # the page shows them below a fold
        for name, card in explained.items():
            heading = f"{IF_A_CRY}{card.heading[0].lower()}{card.heading[1:]}"
            explained[name] = replace(card, heading=heading)
    return cards | explained


def _sound_card(display: Display, prediction: Prediction, high_hz: float) -> Card:
    attended = attention_shown(prediction)
    notes = [SOUND_NOTE]
    if prediction.track is not None:
        notes.append(DETECTOR_NOTE)
    if prediction.segments:
        notes.append(MARKED_NOTE)
    if attended:
        notes.append(ATTENTION_NOTE)
    return Card(
        sound_figure(display, prediction, high_hz),
        "Sound and attention over time" if attended else "Sound",
        describe_sound(display, prediction),
        " ".join(notes),
    )


def _explanations(prediction: Prediction) -> dict[str, Card]:
    maps, acoustic = prediction.attention, prediction.acoustic
    has_features = acoustic is not None and has_answer(prediction)
    possible = (
        ("feature", has_features, contributions_figure, describe_contributions,
         "Features that moved the answer", FEATURE_NOTE),
        ("map", maps.temporal, attention.time_channel_figure, attention.describe_map,
         "Attention over time and channels", MAP_NOTE),
        ("branch", maps.multi_scale, attention.multi_scale_figure, attention.describe_branches,
         "Short or long sounds", BRANCH_NOTE),
        ("differential", maps.differential_1 is not None, attention.differential_figure,
         attention.describe_differential, "Between the layers", DIFFERENTIAL_NOTE),
    )  # fmt: skip
    return {
        name: Card(figure(prediction), heading, describe(prediction), note)
        for name, has_it, figure, describe, heading, note in possible
        if has_it
    }


# Plotly's drawings are unnamed to a screen reader; the sentence under each names it.
DESCRIBE_FIGURES = f"""() => {{
  for (const figure of {list(CARDS)}) {{
    const plot = document.getElementById(`${{figure}}-figure`);
    const words = document.getElementById(`${{figure}}-words`);
    if (!plot || !words) continue;
    plot.setAttribute("role", "img");
    plot.setAttribute("aria-label", words.textContent.trim());
  }}
}}"""


def lay_out_cards() -> list[gr.blocks.Block]:
    """Lay out the column of all cards, hidden; return what :func:`card_values` fills."""
    with gr.Column(visible=False, elem_id="details") as details:
        parts = [_lay_out_card(name) for name in CARDS[:-2]]
        with gr.Row():
            parts += [_lay_out_card(name) for name in CARDS[-2:]]
    return [details, *(block for part in parts for block in part)]


def _lay_out_card(name: str) -> tuple[gr.Column | Component, ...]:
    with gr.Column(min_width=300, elem_id=f"{name}-section") as column:
        heading = gr.Markdown()
        figure = gr.Plot(show_label=False, elem_id=f"{name}-figure")
        words = gr.Markdown(elem_classes="caption", elem_id=f"{name}-words")
        note = gr.Markdown(elem_classes="caption")
        html = gr.HTML(visible=False, elem_id=f"{name}-html")
    return column, heading, figure, words, note, html


def card_values(cards: Mapping[str, Card]) -> list[Any]:
    """Return the values for what :func:`lay_out_cards` made; without cards, all of it is hidden."""
    values: list[Any] = [gr.Column(visible=bool(cards))]
    for name in CARDS:
        if (card := cards.get(name)) is None:
            values += [gr.Column(visible=False), "", None, "", "", gr.HTML("", visible=False)]
            continue
        html = gr.HTML(card.html, visible=bool(card.html))
        shown = gr.Column(visible=True)
        values += [shown, f"### {card.heading}", card.figure, card.words, card.note, html]
    return values


def offer_predict(models: Sequence[Model], source: gr.Audio, detector: CryDetector | None) -> None:
    """Offer ``/predict`` to programs: one model's answer as data."""

    def predict(file: str | None, model: str, full: bool) -> dict[str, Any]:
        """Whether it is a cry, the cries, the labels that cannot be ruled out, probabilities.

        Args:
            file: the recording.
            model: name of the model; by default the first that knows such recordings.
            full: whether to tell all that is known, whatever the answer.
        """
        try:
            with needing(file):
                asked = (find(models, model),) if model else models
                chosen, answer = classify_all(asked, file, detector).chosen(asked)
        except UnknownModelError as error:
            answer = str(error)
        if isinstance(answer, str):
            raise gr.Error(answer, print_exception=False)
        return {"model": chosen.name, **answer.to_dict(full)}

    name = gr.Textbox("", label="model", visible=False)
    full = gr.Checkbox(False, label="full", visible=False)
    gr.Button(visible=False).click(
        predict, [source, name, full], gr.JSON(visible=False), api_name="predict"
    )


def classify(
    models: Sequence[Model],
    file: str | None,
    name: str | None = None,
    session: Session | None = None,
    detector: CryDetector | None = None,
    report: Report = no_progress,
) -> tuple[str, dict[str, Card], Session | None]:
    """Return the answer's HTML, its cards, and what to keep for another model's answer.

    Args:
        models: all of them answer, so that the file is not needed again.
        file: the recording; None shows the invitation.
        name: whose answer to show; None for that of the first that knows such recordings.
        session: what was kept of an earlier recording; if of this one, the file is not read.
        detector: see :func:`~analysis.session.classify_all`.
        report: the same.
    """
    if file is None:
        return EMPTY, {}, None
    if session is None or session.file != file:
        if not Path(file).exists():
            return error_html(NO_LONGER_KEPT), {}, None
        session = classify_all(models, file, detector, report)
    model, answer = session.chosen(models, name)
    if session.display is None or isinstance(answer, str):
        return error_html(str(answer)), {}, session
    record = None if detector is None else detector.config.detector
    html = answer_html(answer, session.others(model, models), record)
    high_hz = model.classifier.config.front_end.high_hz
    return html, make_cards(session.display, answer, high_hz), session


BAR = gr.Progress()  # as a default value: Gradio then hands in the visitor's own


def build_classify_tab(models: Sequence[Model], detector: CryDetector | None = None) -> gr.Audio:
    """Lay out the tab and its events inside the current page.

    Returns:
        The recording: whatever sets it is answered.
    """
    with gr.Row(equal_height=False):
        with gr.Column(scale=2, min_width=300):
            chosen = gr.Radio(
                [(model.label, model.name) for model in models],
                value=models[0].name,
                label="Model",
                elem_id="model",
            )
            source = _recorder()
        with gr.Column(scale=3, min_width=300):
            answer = gr.HTML(EMPTY, elem_id="answer")
    outputs = [answer, *lay_out_cards()]
    kept = gr.State(time_to_live=HOUR)

    def on_change(
        file: str | None, model: str | None, session: Session | None, bar: gr.Progress = BAR
    ) -> tuple[Any, ...]:
        """Answer and figures, as the page shows them."""
        with needing(file):
            html, cards, session = classify(models, file, model, session, detector, bar)
            return (html, *card_values(cards), session)

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
    offer_predict(models, source, detector)
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
