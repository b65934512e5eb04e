"""Draw an answer: sound and attention, each cry, and what the answer is based on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr
import plotly.graph_objects as go
from gradio.components import Component
from markupsafe import Markup

from analysis.downloads import csv_text
from analysis.figures import attention
from analysis.figures.attention import contributions_figure, describe_contributions
from analysis.figures.sound import (
    attention_shown,
    describe_sound,
    describe_spectral,
    sound_figure,
    spectral_figure,
    timeline_figure,
)
from analysis.sound import Display
from analysis.tabs.answer import ANSWER, has_answer
from cry_model.detection import DetectionScores
from cry_model.prediction import Prediction
from cry_model.records import words
from cry_model.sound.front_end_config import AnyConfig, FrontEndConfig

SOUND_NOTE = "Top: waveform. Below: mel spectrogram."
DETECTOR_NOTE = (
    'Row "a cry?": probability of a cry, every quarter second. Dashed: what a cry has to reach. '
    f"It lasts while the probability stays above {DetectionScores.KEEP:.0%} of that, and through "
    f"pauses under {DetectionScores.MERGE:g} seconds. Dotted: from here up, it may be one."
)
MARKED_NOTE = "The model hears only the shaded segments."
ATTENTION_NOTE = """Bottom row: temporal attention A<sub>t</sub> of each block (paper, equation 10);
near 1 a moment counts fully, near 0 it is suppressed. It shows what the network multiplies, not
why it answers. On synthetic cries it does not mark the known onsets. On cries of the paper's
corpus, the answer depends no more on what it marks than on other moments. Where two networks
answer together, the attention is that of the first, the student."""
SPECTRAL_NOTE = """M of the hybrid attention: the model first multiplies each band at each moment by
it. Dark: suppressed, or not heard. It shows what is multiplied, not why the model answers. On
synthetic cries, the answer depends less on what it marks than on the rest."""
MAP_NOTE = """Product A<sub>t</sub>A<sub>c</sub>ᵀ of equation 10: when each block listened, and to
which of its learnt channels, sorted by weight. Channels have no fixed pitch."""
BRANCH_NOTE = """Gate s of equation 5, summed over the channels of each branch: whether a block
relied on short stretches of sound (small kernels) or on longer ones."""
DIFFERENTIAL_NOTE = """Maps A<sub>1</sub> and A<sub>2</sub> (equations 13 and 15) and their
difference (equation 12): what the layers take from each other. Rows take, columns give."""
FEATURE_NOTE = """Integrated gradients: what each feature added to the answer or took away,
compared with the average recording of the training data. The bars sum to the difference in the
logarithm of the answer's probability, before out-of-distribution smoothing and calibration."""
TIMELINE_NOTE = "Each bar is a cry; its width is its length. A single long cry is shown in pieces."
IF_A_CRY = "If it were a cry: "
LONG = 15.0  # s; in a shorter recording, a single cry needs no timeline
SOUND = ("sound", "spectral", "timeline")
EXPLAINED = ("feature", "map", "branch", "differential")
"""The figures of an answer, in the fold of the sound and in that for researchers."""


@dataclass(frozen=True)
class Card:
    """Store a figure, its heading, a sentence that describes it, a note, and additional HTML."""

    figure: go.Figure
    heading: str
    words: str
    note: str
    html: str = ""


def sound_cards(display: Display, prediction: Prediction, heard: AnyConfig) -> dict[str, Card]:
    """Draw the :data:`SOUND` cards that an answer has; ``heard``: its model's front-end config."""
    cards = {"sound": _sound_card(display, prediction, heard.high_hz)}
    hz = heard.band_hz if isinstance(heard, FrontEndConfig) else ()
    if prediction.attention.spectral is not None and len(hz) and attention_shown(prediction):
        cards["spectral"] = Card(
            spectral_figure(display, prediction, hz),
            "Attention over pitch and time",
            describe_spectral(prediction, hz),
            SPECTRAL_NOTE,
        )
    if has_timeline(prediction):
        cards["timeline"] = Card(
            timeline_figure(prediction),
            "Each cry, and what it sounded like",
            describe_segments(prediction),
            TIMELINE_NOTE,
            segments_html(prediction),
        )
    return cards


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


def explained_cards(prediction: Prediction) -> dict[str, Card]:
    """Draw the :data:`EXPLAINED` cards that an answer has."""
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
    before = IF_A_CRY if prediction.is_cry is False else ""
    return {
        name: Card(figure(prediction), f"{before}{heading}", describe(prediction), note)
        for name, has_it, figure, describe, heading, note in possible
        if has_it
    }


# Screen readers find no name in Plotly's drawings; the sentence below each provides it.
DESCRIBE_FIGURES = f"""() => {{
  for (const figure of {[*SOUND, *EXPLAINED]}) {{
    const plot = document.getElementById(`${{figure}}-figure`);
    const words = document.getElementById(`${{figure}}-words`);
    if (!plot || !words) continue;
    plot.setAttribute("role", "img");
    plot.setAttribute("aria-label", words.textContent.trim());
  }}
}}"""


def lay_out_cards(names: Sequence[str]) -> list[gr.blocks.Block]:
    """Lay out hidden cards in the current block; return what :func:`card_values` fills."""
    return [block for name in names for block in _lay_out_card(name)]


def _lay_out_card(name: str) -> tuple[gr.Column | Component, ...]:
    with gr.Column(visible=False, min_width=300, elem_id=f"{name}-section") as column:
        heading = gr.Markdown()
        figure = gr.Plot(show_label=False, elem_id=f"{name}-figure")
        words = gr.Markdown(elem_classes="caption", elem_id=f"{name}-words")
        note = gr.Markdown(elem_classes="caption")
        html = gr.HTML(visible=False, elem_id=f"{name}-html")
    return column, heading, figure, words, note, html


def card_values(names: Sequence[str], cards: Mapping[str, Card]) -> list[Any]:
    """Return the values of the blocks of :func:`lay_out_cards`; a missing card is hidden."""
    values: list[Any] = []
    for name in names:
        if (card := cards.get(name)) is None:
            values += [gr.Column(visible=False), "", None, "", "", gr.HTML("", visible=False)]
            continue
        html = gr.HTML(card.html, visible=bool(card.html))
        shown = gr.Column(visible=True)
        values += [shown, f"### {card.heading}", card.figure, card.words, card.note, html]
    return values


def has_timeline(prediction: Prediction) -> bool:
    """Return whether there are several cries, or one in a long recording.

    If no cry can be given a label, there is nothing to draw.
    """
    cries = len(prediction.segments)
    if not any(map(prediction.named_in, prediction.segments)):
        return False
    return cries > 1 or (cries == 1 and prediction.duration > LONG)


def segments_html(prediction: Prediction) -> Markup:
    """Write a table with a row for each cry, and the link to download it."""
    return ANSWER.segments(prediction, _count(prediction), segments_csv(prediction))


def segments_csv(prediction: Prediction) -> str:
    """Write a CSV row per cry: times in seconds, cry detector, label, set, probabilities."""
    known = ("start_s", "end_s", "length_s", "cry_probability", "most_probable", "set")
    rows = []
    for s in prediction.segments:
        numbers = (f"{number:.3f}" for number in (s.start, s.end, s.end - s.start, s.detector))
        named = ";".join(s.prediction_set or ())
        rows.append([*numbers, s.label, named, *s.probabilities.values()])
    return csv_text([*known, *prediction.probabilities], *rows)


def describe_segments(prediction: Prediction) -> str:
    """Describe the number of cries and their most probable reasons."""
    most = [segment.label for segment in prediction.segments]
    counted = sorted(((most.count(label), label) for label in set(most)), reverse=True)
    named = ", ".join(f"{words(label)} ({number})" for number, label in counted)
    return (
        f"{_count(prediction)}: {prediction.cry_seconds:.1f} s of {prediction.duration:.1f} s of "
        f"sound. Most probable: {named}."
    )


def _count(prediction: Prediction) -> str:
    cries = len(prediction.segments)
    return "One cry" if cries == 1 else f"{cries} cries"
