"""Draw an answer: sound and attention, each cry, and what the answer is based on."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from markupsafe import Markup

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
from analysis.panels.base import Exhibit
from analysis.panels.html import CARDS
from analysis.sound import Display
from cry_model.detection import DetectionScores, clock
from cry_model.prediction import Prediction
from cry_model.records import either, percent, words
from cry_model.sound.front_end_config import AnyConfig, FrontEndConfig

SOUND_NOTE = "Top: waveform. Below: mel spectrogram."
DETECTOR_NOTE = (
    'Row "a cry?": probability of a cry, every quarter second. Dashed: what a cry has to reach. '
    f"It lasts while the probability stays above {DetectionScores.KEEP:.0%} of that, and through "
    f"pauses under {DetectionScores.MERGE:g} seconds. Dotted: from here up, it may be one."
)
MARKED_NOTE = "The model hears only the shaded segments."
ATTENTION_NOTE = """Bottom row: temporal attention Aₜ of each block (paper, equation 10);
near 1 a moment counts fully, near 0 it is suppressed. It shows what the network multiplies, not
why it answers. On synthetic cries it does not mark the known onsets. On cries of the paper's
corpus, the answer depends no more on what it marks than on other moments. Where two networks
answer together, the attention is that of the first, the student."""
SPECTRAL_NOTE = """M of the hybrid attention: the model first multiplies each band at each moment by
it. Dark: suppressed, or not heard. It shows what is multiplied, not why the model answers. On
synthetic cries, the answer depends less on what it marks than on the rest."""
MAP_NOTE = """Product of temporal and channel attention (equation 10): when each block listened, and
to which of its learnt channels, sorted by weight. Channels have no fixed pitch."""
BRANCH_NOTE = """Gate s of equation 5, summed over the channels of each branch: whether a block
relied on short stretches of sound (small kernels) or on longer ones."""
DIFFERENTIAL_NOTE = """Maps A₁ and A₂ (equations 13 and 15) and their
difference (equation 12): what the layers take from each other. Rows take, columns give."""
FEATURE_NOTE = """Integrated gradients: what each feature added to the answer or took away,
compared with the average recording of the training data. The bars sum to the difference in the
logarithm of the answer's probability, before out-of-distribution smoothing and calibration."""
TIMELINE_NOTE = "Each bar is a cry; its width is its length. A single long cry is shown in pieces."
IF_A_CRY = "If it were a cry: "
LONG = 15.0  # s; in a shorter recording, a single cry needs no timeline
FLAT = 0.01  # no label stands out if all probabilities are closer than this


def cards_html(cards: Sequence[Exhibit]) -> Markup:
    """Write figures with their texts, tables and downloads, as in the Analysis tab."""
    written = (CARDS.card(card, card.name, 3) for card in cards)  # type: ignore[attr-defined]
    return Markup("").join(written)


def sound_cards(display: Display, prediction: Prediction, heard: AnyConfig) -> list[Exhibit]:
    """Draw the sound, the attention to it and its cries; ``heard``: config of the front end."""
    cards = [_sound_card(display, prediction, heard.high_hz)]
    hz = heard.band_hz if isinstance(heard, FrontEndConfig) else ()
    if prediction.attention.spectral is not None and len(hz) and attention_shown(prediction):
        cards.append(
            Exhibit(
                "spectral",
                "Attention over pitch and time",
                figure=spectral_figure(display, prediction, hz),
                note=f"{describe_spectral(prediction, hz)}\n\n{SPECTRAL_NOTE}",
            )
        )
    if has_timeline(prediction):
        cards.append(
            Exhibit(
                "cries",
                "Each cry, and what it sounded like",
                segments_data(prediction),
                timeline_figure(prediction),
                segments_table(prediction),
                f"{describe_segments(prediction)}\n\n{TIMELINE_NOTE}",
            )
        )
    return cards


def _sound_card(display: Display, prediction: Prediction, high_hz: float) -> Exhibit:
    attended = attention_shown(prediction)
    notes = [SOUND_NOTE]
    if prediction.track is not None:
        notes.append(DETECTOR_NOTE)
    if prediction.segments:
        notes.append(MARKED_NOTE)
    if attended:
        notes.append(ATTENTION_NOTE)
    return Exhibit(
        "sound",
        "Sound and attention over time" if attended else "Sound",
        figure=sound_figure(display, prediction, high_hz),
        note=f"{describe_sound(display, prediction)}\n\n{' '.join(notes)}",
    )


def explained_cards(prediction: Prediction) -> list[Exhibit]:
    """Draw what the answer is based on; the features only if any label stands out.

    Far out of distribution, all labels are equally probable.
    """
    maps, shares = prediction.attention, prediction.probabilities.values()
    has_features = prediction.acoustic is not None and max(shares) - min(shares) >= FLAT
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
    return [
        Exhibit(
            name,
            f"{before}{heading}",
            figure=figure(prediction),
            note=f"{describe(prediction)}\n\n{note}",
        )
        for name, has_it, figure, describe, heading, note in possible
        if has_it
    ]


def has_timeline(prediction: Prediction) -> bool:
    """Return whether there are several cries, or one in a long recording.

    If no cry can be given a label, there is nothing to draw.
    """
    cries = len(prediction.segments)
    if not any(map(prediction.named_in, prediction.segments)):
        return False
    return cries > 1 or (cries == 1 and prediction.duration > LONG)


def segments_data(prediction: Prediction) -> pd.DataFrame:
    """Return a row per cry: times in seconds, cry detector, label, set, probabilities."""
    return pd.DataFrame(
        {
            "start_s": cry.start,
            "end_s": cry.end,
            "length_s": cry.end - cry.start,
            "cry_probability": cry.detector,
            "most_probable": cry.label,
            "set": ";".join(cry.prediction_set or ()),
            **cry.probabilities,
        }
        for cry in prediction.segments
    )


def segments_table(prediction: Prediction) -> pd.DataFrame:
    """Return the same rows as texts for a reader."""
    return pd.DataFrame(
        {
            "from": clock(cry.start),
            "to": clock(cry.end),
            "length": f"{cry.end - cry.start:.1f} s",
            "cry detector": percent(cry.detector),
            "sounds like": either(named) if (named := prediction.named_in(cry)) else "can't tell",
            **{words(label): percent(share) for label, share in cry.probabilities.items()},
        }
        for cry in prediction.segments
    )


def describe_segments(prediction: Prediction) -> str:
    """Describe the number of cries and their most probable reasons."""
    cries = len(prediction.segments)
    most = [segment.label for segment in prediction.segments]
    counted = sorted(((most.count(label), label) for label in set(most)), reverse=True)
    named = ", ".join(f"{words(label)} ({number})" for number, label in counted)
    return (
        f"{'One cry' if cries == 1 else f'{cries} cries'}: {prediction.cry_seconds:.1f} s of "
        f"{prediction.duration:.1f} s of sound. Most probable: {named}."
    )
