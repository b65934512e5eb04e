"""The figures under an answer, each with its heading and its words; which ones a model has."""

from __future__ import annotations

from dataclasses import dataclass, replace

import plotly.graph_objects as go

from analysis import attention_figures as attention
from analysis.feature_figure import contributions_figure, describe_contributions
from analysis.judgement import has_answer
from analysis.segments import describe_segments, has_timeline, segments_html
from analysis.sound import Sound
from analysis.sound_figure import attention_shown, describe_sound, sound_figure
from analysis.timeline_figure import timeline_figure
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
