"""The figures under an answer, each with its heading and its words; which ones a model has."""

from __future__ import annotations

from dataclasses import dataclass

import plotly.graph_objects as go

from analysis import attention_figures as attention
from analysis.feature_figure import contributions_figure, describe_contributions
from analysis.judgement import has_answer
from analysis.sound import Sound
from analysis.sound_figure import describe_sound, sound_figure
from cry_model.prediction import Prediction

SOUND_NOTE = "Loudness, pitch and overtones."
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


@dataclass(frozen=True)
class Section:
    """A figure with heading, the sentence that says the same, and a note; hidden without one."""

    figure: go.Figure | None = None
    heading: str = ""
    words: str = ""
    note: str = ""


HIDDEN = Section()
PLACES = ("sound", "feature", "map", "branch", "differential")
"""What :func:`sections` gives, in its order."""


def sections(sound: Sound, prediction: Prediction, high_hz: float) -> tuple[Section, ...]:
    """One for each of :data:`PLACES`; the figures of weights that the system lacks are hidden.

    Args:
        sound: what was heard.
        prediction: the answer to it.
        high_hz: where the model that gave it stops hearing.
    """
    attended = bool(prediction.attention.temporal)
    heard = Section(
        sound_figure(sound, prediction, high_hz),
        "What was heard, and when the model listened" if attended else "What was heard",
        describe_sound(sound, prediction),
        GATES_NOTE if attended else SOUND_NOTE,
    )
    return (heard, _features(prediction), *_attention(prediction))


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
