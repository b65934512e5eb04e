"""Write the answer: a few words first; numbers and how they were measured are in folds below."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from markupsafe import Markup

from analysis.downloads import csv_text
from analysis.sound import Display
from analysis.tabs import macros
from analysis.words import ENGLISH, Words
from cry_model.checkpoint import CheckpointConfig, to_json
from cry_model.detection import DetectionScores, clock
from cry_model.prediction import Prediction
from cry_model.records import (
    UNMEASURED,
    Agreement,
    Calibration,
    DetectorRecord,
    Evaluation,
    either,
    fine_percent,
    percent,
    percent_interval,
    tested,
    words,
)

ANSWER = macros("tabs/answer.html.j2")

# Sentences in the folds and in the About tab.

IMITATES = "This model imitates another one; its answers were never checked against labels."
PRIVACY = (
    "Your recording is deleted seconds after the answer, or after a quarter of an hour if there is "
    "none; no copy is kept. To let you hear what an answer is based on, your browser sends it "
    "again, and it is deleted the same way. Your browser keeps a diary if you ask it to: times, "
    "answers and a few numbers of each cry, but no sound. From eight cries on, it is sent here to "
    "look for a pattern, and deleted with the answer. The answers and figures, which contain no "
    "sound, stay in the server's memory until your next recording, or until you have not used the "
    "page for an hour."
)
FEW = 3  # most labels that are named; of a larger set, the labels it excludes tell more


def no_cry_text(track: DetectionScores) -> str:
    """Compare the peak cry probability with the threshold, never rounded up to it."""
    share, limit = percent(track.score), percent(track.threshold)
    if share == limit:
        share = f"{100 * track.score:.1f}%"
    highest = clock(int(track.cells.argmax()) * track.step)
    text = f"The probability of a cry is at most {share} (at {highest}); the threshold is {limit}."
    if track.state == "maybe":
        text += f" From {percent(track.maybe)} up, it may be a cry."
    return text


def detector_text(record: DetectorRecord) -> str:
    """State how often the cry detector is right."""
    return (
        f"The cry detector accepts {percent(record.accepted.value)} of unseen cries and "
        f"{fine_percent(record.false_accepts.value)} of other unseen sounds."
    )


def verdict(evaluation: Evaluation) -> str:
    """State whether the model is better than chance."""
    how = "no better than chance"
    if evaluation.better_than_chance:
        how = "better than chance, but far from certain"
    return f"On {tested(evaluation.dataset, evaluation.protocol)}, this model is {how}."


def evaluation_text(evaluation: Evaluation) -> str:
    """State the balanced accuracy and what to compare it with."""
    return (
        f"Balanced accuracy on {tested(evaluation.dataset, evaluation.protocol)}: "
        f"{percent_interval(evaluation.metrics['balanced_accuracy'])}; chance level "
        f"{percent(evaluation.chance)}. Always answering {words(evaluation.majority_label)} would "
        f"be right for {percent(evaluation.majority_accuracy)} of the {evaluation.recordings} "
        "recordings."
    )


def agreement_text(agreement: Agreement) -> str:
    """State the agreement with the teacher, and that of a constant answer."""
    return (
        f"Same answer as its teacher ({agreement.teacher}) for "
        f"{percent_interval(agreement.agreement)} of {agreement.recordings} unseen cries; always "
        f"answering {words(agreement.constant_label)} would agree for "
        f"{percent(agreement.constant.value)}."
    )


def calibration_text(calibration: Calibration) -> str:
    """State coverage and size of the prediction sets, and what a constant set would cover."""
    always = either(calibration.constant_set)
    return (
        f"On {tested(calibration.dataset, calibration.protocol)}, the set contains the right "
        f"reason for {percent_interval(calibration.coverage)} of cries{calibration.condition}; "
        f"target {percent(calibration.promised)}. It names {calibration.size.value:.1f} reasons on "
        f"average; always naming {always} would cover "
        f"{percent(calibration.constant_coverage)}."
    )


def record_texts(told: Prediction | CheckpointConfig) -> list[str]:
    """Describe the evaluation of a model: of its sets, and of its answers or its teacher's."""
    lines = [] if told.calibration is None else [calibration_text(told.calibration)]
    if told.evaluation is not None:
        return [*lines, verdict(told.evaluation), evaluation_text(told.evaluation)]
    if (agreement := told.agreement) is None:
        return [*lines, UNMEASURED]
    lines += [IMITATES, agreement_text(agreement)]
    if agreement.teacher_evaluation is not None:
        lines.append(f"Its teacher: {evaluation_text(agreement.teacher_evaluation)}")
    return lines


# The card, to be read in two seconds.


def answer_html(
    prediction: Prediction,
    record: DetectorRecord | None = None,
    say: Words = ENGLISH,
    kept: str = "",
) -> Markup:
    """Write the card and the folds that need no figure; the folds are in English.

    ``record``: evaluation of the cry detector; ``kept``: what a diary may keep of the answer.
    """
    p, headline, trust = prediction, headline_html(prediction, say), trust_html(prediction, say)
    ungated = replace(prediction, track=None)  # as if there were no cry detector
    anyway = headline_html(ungated, say)
    no_cry = "" if p.track is None or p.is_cry else no_cry_text(p.track)
    lines = record_texts(p) if record is None else [*record_texts(p), detector_text(record)]
    measured = ANSWER.measured(p, no_cry, lines, PRIVACY)
    said = in_short(prediction, say)
    return ANSWER.answer(p, headline, trust, said, kept, ungated, anyway, measured, say)


def error_html(sentence: str) -> Markup:
    """Write one plain sentence in place of the answer."""
    section = '<section class="answer problem" data-kind="problem"><p>{}</p></section>'
    return Markup(section).format(sentence)


def headline_html(prediction: Prediction, say: Words = ENGLISH) -> Markup:
    """Write the headline of the answer, by the number of labels that it names."""
    answer, labels = prediction.answer, prediction.answer.labels
    few = len(labels) <= FEW
    ruled_out = _ruled_out(prediction, say)
    above, lines = "", []
    if answer.kind == "not_a_cry":
        heading, lines = say("not_a_cry"), [say("again.near")]
    elif answer.kind == "maybe_cry":
        heading, lines = say("maybe_cry"), [say("closer")]
        if labels:
            told = say("if", labels=say.listing(labels))
            lines.append(told if few else say("if.unlikely", labels=ruled_out))
    elif answer.reason is not None:
        heading, lines = say("cannot"), [say(f"reason.{answer.reason.replace(' ', '_')}")]
    else:
        heading = say.label(labels[0]) if few else say("unclear")
        if few:
            above = say("maybe" if labels[1:] else "most")
            lines = [say("also", labels=say.listing(labels[1:]))] if labels[1:] else []
        if prediction.prediction_set is not None:
            lines.append(say("unlikely", labels=ruled_out))
    return ANSWER.headline(above, heading, lines)


def _ruled_out(prediction: Prediction, say: Words) -> str:
    """List the labels that the answer does not name."""
    named = prediction.answer.labels
    return say.listing([label for label in prediction.probabilities if label not in named])


def in_short(prediction: Prediction, say: Words) -> str:
    """Write the card in a line or two, to share or to keep."""
    labels = prediction.answer.labels
    if not labels:
        return say({"cannot_tell": "cannot"}.get(prediction.answer.kind, prediction.answer.kind))
    if len(labels) <= FEW:
        told = f"{say('maybe')}: {say.listing(labels)}."
    else:
        told = f"{say('unclear')}. {say('unlikely', labels=_ruled_out(prediction, say))}."
    return f"{told} {say('remembered')}" if prediction.remembered else told


def trust_html(prediction: Prediction, say: Words) -> Markup:
    """State in whole numbers how often such answers are right; nothing if there is no answer.

    With few labels of a cry it is the balanced accuracy, otherwise the coverage of the set.
    """
    answer, evaluation = prediction.answer, prediction.evaluation
    calibration, few = prediction.calibration, len(prediction.answer.labels) <= FEW
    if not answer.labels:
        told = ""
    elif prediction.remembered:
        told = say("remembered")
    elif evaluation is None:
        told = say("unmeasured")
    elif calibration is not None and (answer.kind == "maybe_cry" or not few):
        held = round(10 * calibration.coverage.value)
        told = say("held" if few else "held.others", held=held)
    else:
        right = round(10 * evaluation.metrics["balanced_accuracy"].value)
        told = say("right", right=right, chance=round(10 * evaluation.chance))
    return ANSWER.trust(told)


def spark(display: Display) -> str:
    """Return 24 digits that give the loudness of each part of a recording."""
    parts = display.envelope.high.reshape(-1)
    peaks = [parts[i * len(parts) // 24 : (i + 1) * len(parts) // 24] for i in range(24)]
    loud = [float(part.max()) if len(part) else 0.0 for part in peaks]
    top = max(*loud, 1e-9)
    return "".join(str(round(9 * max(0.0, value) / top)) for value in loud)


def numbers(prediction: Prediction) -> dict[str, Any]:
    """Return the numbers that a diary keeps of a classified cry, its length included."""
    track, embedding = prediction.track, prediction.embedding
    found = {
        "seconds": round(prediction.cry_seconds or prediction.duration, 1),
        "probability": None if track is None else round(float(track.score), 3),
        "prior": {k: float(f"{p:.3g}") for k, p in prediction.probabilities.items()},
    }
    if embedding is not None:
        found["embedding"] = [float(f"{value:.4g}") for value in embedding]
    return found


# For researchers: the answers of other models, and the data as files.

STRONG = 0.2
"""Total variation distance. Both six-class models are too unsure after calibration to exceed more:
on 453 held-out cries, student and teacher differ by this much, with other labels, in 3 of 100."""


def disagree_strongly(first: Mapping[str, float], second: Mapping[str, float]) -> bool:
    """Return whether two answers with the same labels disagree too much to trust either.

    Their most probable labels differ, and their total variation distance is above 0.2.
    """
    apart = max(first, key=first.__getitem__) != max(second, key=second.__getitem__)
    return apart and sum(abs(first[label] - second[label]) for label in first) / 2 > STRONG


def research_html(prediction: Prediction, others: Mapping[str, Prediction]) -> Markup:
    """Write the answers of other models with the same labels (subject -> answer), and the files.

    If this answer is "can't tell", no other model's labels are shown in its place.
    """
    if not prediction.answer.labels:
        others = {}
    mine = prediction.probabilities
    disagree = any(disagree_strongly(mine, other.probabilities) for other in others.values())
    named = [(subject, other.answer.labels) for subject, other in others.items()]
    document = to_json(prediction.to_dict(full=True))
    return ANSWER.research(named, disagree, document, pieces_csv(prediction))


def pieces_csv(prediction: Prediction) -> str:
    """Write a CSV row per piece: start and end in seconds, then the probability of each label."""
    return csv_text(
        ["start_s", "end_s", *prediction.probabilities],
        *([f"{p.start:.3f}", f"{p.end:.3f}", *p.probabilities.values()] for p in prediction.pieces),
    )
