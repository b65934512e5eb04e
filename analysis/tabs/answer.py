"""Write the answer: a few words first, its numbers and how it was measured folded below."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from html import escape
from typing import Any

from analysis.downloads import csv_text, data_link
from analysis.figures.theme import class_colour
from analysis.sound import Display
from analysis.words import ENGLISH, Words
from cry_model.calibration import one_of
from cry_model.checkpoint import CheckpointConfig, to_json
from cry_model.detector import DetectionScores, clock
from cry_model.prediction import Prediction
from cry_model.records import (
    UNMEASURED,
    Agreement,
    Calibration,
    DetectorRecord,
    Evaluation,
    fine_percent,
    percent,
    percent_interval,
    tested,
    words,
)

# Sentences of the folds, and of the About tab.

IF_IT_WERE = "If it were a cry, this would be the answer. It means nothing for any other sound."
IMITATES = "This model imitates another one; its answers were never checked against labels."
UNLIKE = "These measurements are of recordings that the model knows, unlike this one."
DISAGREEMENT = "The models disagree strongly about this recording."
PRIVACY = (
    "Your recording is deleted seconds after the answer, or after a quarter of an hour if there is "
    "none; no copy is kept. To let you hear what an answer rested on, your browser sends it once "
    "more, and it is deleted the same way. Your browser keeps a diary if you ask it to: times, "
    "answers and a few numbers of each cry, and no sound. It comes here only to ask what it "
    "teaches, and goes with the answer. The answers and figures, which hold no sound, stay in the "
    "server's memory until your next recording, or until you have not used the page for an hour."
)
MEDICAL = "Not a medical device."
FEW = 3  # labels that are named; of a larger set, what it leaves out tells more


def no_cry_text(track: DetectionScores) -> str:
    """Compare the greatest probability of a cry with the threshold, never rounded up to it."""
    share, limit = percent(track.score), percent(track.threshold)
    if share == limit:
        share = f"{100 * track.score:.1f}%"
    highest = clock(int(track.cells.argmax()) * track.step)
    text = f"The probability of a cry is at most {share} (at {highest}); the threshold is {limit}."
    if track.state == "maybe":
        text += f" From {percent(track.maybe)} on it may be a cry."
    return text


def detector_text(record: DetectorRecord) -> str:
    """Say how often the cry detector is right."""
    return (
        f"The cry detector accepts {percent(record.accepted.value)} of unseen cries and "
        f"{fine_percent(record.false_accepts.value)} of other unseen sounds."
    )


def verdict(evaluation: Evaluation) -> str:
    """Say whether it is better than chance."""
    how = "no better than chance"
    if evaluation.better_than_chance:
        how = "better than chance, and far from certain"
    return f"On {tested(evaluation.dataset, evaluation.protocol)}, this model is {how}."


def evaluation_text(evaluation: Evaluation) -> str:
    """Give the balanced accuracy and what it is to be compared with."""
    return (
        f"Balanced accuracy on {tested(evaluation.dataset, evaluation.protocol)}: "
        f"{percent_interval(evaluation.metrics['balanced_accuracy'])}; chance level "
        f"{percent(evaluation.chance)}. Always answering {words(evaluation.majority_label)} would "
        f"be right for {percent(evaluation.majority_accuracy)} of the {evaluation.recordings} "
        "recordings."
    )


def agreement_text(agreement: Agreement) -> str:
    """Give the agreement with the teacher and that of a constant answer."""
    return (
        f"Same answer as its teacher ({agreement.teacher}) for "
        f"{percent_interval(agreement.agreement)} of {agreement.recordings} unseen cries; always "
        f"answering {words(agreement.constant_label)} would agree for "
        f"{percent(agreement.constant.value)}."
    )


def calibration_text(calibration: Calibration) -> str:
    """Give the coverage and size of the sets and what a constant set would cover."""
    always = one_of([words(label) for label in calibration.constant_set])
    count = len(calibration.constant_set)
    return (
        f"On {tested(calibration.dataset, calibration.protocol)}, the set holds the right reason "
        f"for {percent_interval(calibration.coverage)} of cries{calibration.condition}; target "
        f"{percent(calibration.promised)}. It names {calibration.size.value:.1f} reasons on "
        f"average; always naming the same {count} ({always}) would hold it for "
        f"{percent(calibration.constant_coverage)}."
    )


def record_texts(told: Prediction | CheckpointConfig) -> list[str]:
    """Say what was measured of a model: of its sets, and of its answers or its teacher's."""
    lines = [] if told.calibration is None else [calibration_text(told.calibration)]
    if told.evaluation is not None:
        return [*lines, verdict(told.evaluation), evaluation_text(told.evaluation)]
    if (agreement := told.agreement) is None:
        return [*lines, UNMEASURED]
    lines += [IMITATES, agreement_text(agreement)]
    if agreement.teacher_evaluation is not None:
        lines.append(f"Its teacher: {evaluation_text(agreement.teacher_evaluation)}")
    return lines


# The card: what is read in two seconds.


def answer_html(
    prediction: Prediction,
    record: DetectorRecord | None = None,
    say: Words = ENGLISH,
    kept: str = "",
) -> str:
    """Write the card and the folds that need no figure; the folds are in English.

    ``record``: what was measured of the cry detector; ``kept``: what a diary may keep of it.
    """
    answer = prediction.answer
    parts = [headline_html(prediction, say)]
    if prediction.fallback and answer.labels:
        parts.append(f"<p>{escape(say('another'))}</p>")
    parts.append(trust_html(prediction, say))
    if answer.kind != "not_a_cry":
        parts.append(f'<p class="advice">{escape(say("advice"))}</p>')
    if answer.labels:
        parts.append(f'<p><button type="button" data-share>{escape(say("share"))}</button></p>')
    said = escape(in_short(prediction, say))
    folds = "".join(_folds(prediction, record, say))
    return (
        f'<section class="answer" data-kind="{answer.kind}" data-said="{said}" '
        f'data-kept="{escape(kept)}"><div class="card">{"".join(parts)}</div>{folds}</section>'
    )


def error_html(sentence: str) -> str:
    """Write one plain sentence in the place of the answer."""
    return (
        f'<section class="answer problem" data-kind="problem"><p>{escape(sentence)}</p></section>'
    )


def headline_html(prediction: Prediction, say: Words = ENGLISH) -> str:
    """Write what the answer comes down to, by the number of labels that it names."""
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
    html = f'<p class="above">{escape(above)}</p>' if above else ""
    return f"{html}<h2>{escape(heading)}</h2>" + "".join(f"<p>{escape(x)}</p>" for x in lines)


def _ruled_out(prediction: Prediction, say: Words) -> str:
    """List the labels that the answer does not name."""
    named = prediction.answer.labels
    return say.listing([label for label in prediction.probabilities if label not in named])


def in_short(prediction: Prediction, say: Words) -> str:
    """Write the card in a line or two, to be shared or kept."""
    labels = prediction.answer.labels
    if not labels:
        return say({"cannot_tell": "cannot"}.get(prediction.answer.kind, prediction.answer.kind))
    if len(labels) <= FEW:
        told = f"{say('maybe')}: {say.listing(labels)}."
    else:
        told = f"{say('unclear')}. {say('unlikely', labels=_ruled_out(prediction, say))}."
    return f"{told} {say('remembered')}" if prediction.remembered else told


def trust_html(prediction: Prediction, say: Words) -> str:
    """Say in whole numbers how often such answers are right; nothing where none is given.

    Where one label comes first that is how often it is right, else how often one of the set is.
    """
    answer, evaluation = prediction.answer, prediction.evaluation
    calibration, few = prediction.calibration, len(prediction.answer.labels) <= FEW
    if not answer.labels:
        return ""
    if prediction.remembered:
        told = say("remembered")
    elif evaluation is None:
        told = say("unmeasured")
    elif calibration is not None and (answer.kind == "maybe_cry" or not few):
        held = round(10 * calibration.coverage.value)
        told = say("held" if few else "held.others", held=held)
    else:
        right = round(10 * evaluation.metrics["balanced_accuracy"].value)
        told = say("right", right=right, chance=round(10 * evaluation.chance))
    return f'<p class="right">{escape(told)}</p>'


def spark(display: Display) -> str:
    """Return two dozen digits that say how loud each part of a recording is."""
    parts = display.envelope.high.reshape(-1)
    peaks = [parts[i * len(parts) // 24 : (i + 1) * len(parts) // 24] for i in range(24)]
    loud = [float(part.max()) if len(part) else 0.0 for part in peaks]
    top = max(*loud, 1e-9)
    return "".join(str(round(9 * max(0.0, value) / top)) for value in loud)


def numbers(prediction: Prediction) -> dict[str, Any]:
    """Return what a diary keeps of a cry that a network heard: its length, and numbers."""
    track, embedding = prediction.track, prediction.embedding
    found = {
        "seconds": round(prediction.cry_seconds or prediction.duration, 1),
        "probability": None if track is None else round(float(track.score), 3),
        "prior": {k: float(f"{p:.3g}") for k, p in prediction.probabilities.items()},
    }
    if embedding is not None:
        found["embedding"] = [float(f"{value:.4g}") for value in embedding]
    return found


# The folds.


def _folds(prediction: Prediction, record: DetectorRecord | None, say: Words) -> Iterator[str]:
    if prediction.answer.kind == "not_a_cry":
        ungated = replace(prediction, track=None)  # as if nobody had asked whether it is a cry
        bars = bars_html(ungated, say) if ungated.answer.labels else ""
        told = f"<p>{IF_IT_WERE}</p>{headline_html(ungated, say)}{bars}"
        yield _fold("anyway", say("anyway"), told)
    elif prediction.answer.labels:
        summary = say("fold.numbers", count=len(prediction.probabilities))
        yield _fold("numbers", summary, bars_html(prediction, say))
    yield _fold("measured", say("fold.measured"), "".join(measured(prediction, record)))


def _fold(name: str, summary: str, html: str) -> str:
    return f'<details class="{name}"><summary>{escape(summary)}</summary>{html}</details>'


def bars_html(prediction: Prediction, say: Words = ENGLISH) -> str:
    """Write a bar for each label, the most probable first, with a line below those of the set."""
    labels, named = tuple(prediction.probabilities), prediction.answer.labels
    ranked = sorted(prediction.probabilities.items(), key=lambda item: -item[1])
    bars = "".join(
        f'<div class="kind{"" if label in named else " unlikely"}" role="listitem">'
        f'<span class="name">{escape(say.label(label))}</span>'
        f'<span class="track" aria-hidden="true"><span class="fill" style="width: '
        f'{100 * share:.1f}%; background: {class_colour(labels, label)}"></span></span>'
        f'<span class="value">{percent(share)}</span></div>'
        for label, share in ranked
    )
    return f'<div class="kinds" role="list">{bars}</div>'


def measured(prediction: Prediction, record: DetectorRecord | None) -> Iterator[str]:
    """Yield paragraphs on what was heard, and what was measured of the model and the detector."""
    if prediction.is_cry is False and prediction.track is not None:
        yield f"<p>{no_cry_text(prediction.track)}</p>"
    for sentence in prediction.cautions:
        yield f'<p class="caution">{escape(sentence)}</p>'
    lines = [*([UNLIKE] if prediction.outside else []), *record_texts(prediction)]
    if record is not None:
        lines.append(detector_text(record))
    yield "".join(f"<p>{escape(line)}</p>" for line in lines)
    length, count = f"{prediction.duration:.1f} s of sound", len(prediction.pieces)
    if prediction.segments:
        length += f", {prediction.cry_seconds:.1f} s of it a cry"
    yield f"<p>{length}; {'one piece' if count == 1 else f'the mean over {count} pieces'}.</p>"
    yield f"<p><strong>{MEDICAL}</strong> {PRIVACY}</p>"


# For researchers: what other models say, and the record as files.

STRONG = 0.2
"""Of probability. Both six-class models are unsure by calibration, so more would never be reached:
on 453 held-out cries student and teacher are further apart, with different labels, in 3 of 100."""
FLAT = 0.01


def has_answer(prediction: Prediction) -> bool:
    """Tell whether any label is ahead: far out of distribution all are as probable."""
    values = prediction.probabilities.values()
    return max(values) - min(values) >= FLAT


def disagree_strongly(first: Mapping[str, float], second: Mapping[str, float]) -> bool:
    """Tell whether two answers with the same labels should make a reader trust neither.

    Their most probable labels differ, and their total variation distance is above 0.2.
    """
    apart = max(first, key=first.__getitem__) != max(second, key=second.__getitem__)
    return apart and sum(abs(first[label] - second[label]) for label in first) / 2 > STRONG


def research_html(prediction: Prediction, others: Mapping[str, Prediction]) -> str:
    """Write what others with the same labels say (subject -> answer), and the files.

    Where the answer can't tell, no other one's labels stand in its place.
    """
    mine = prediction.probabilities
    if not prediction.answer.labels:
        return downloads_html(prediction)
    html = "".join(f'<p class="beside">{escape(line)}</p>' for line in _said(others))
    if any(disagree_strongly(mine, other.probabilities) for other in others.values()):
        html += f'<p class="disagreement">{DISAGREEMENT}</p>'
    return html + downloads_html(prediction)


def _said(others: Mapping[str, Prediction]) -> Iterator[str]:
    """Quote each other model: "The feature MLP says: hungry or tired."."""
    for subject, other in others.items():
        named = [words(label) for label in other.answer.labels]
        yield f"{subject} {f'says: {one_of(named)}' if named else 'can’t tell'}."


def downloads_html(prediction: Prediction) -> str:
    """Write the answer as JSON and its pieces as CSV; both files are in their links."""
    document = to_json(prediction.to_dict(full=True))
    return (
        '<p class="downloads">'
        + data_link("Download JSON", "cry.json", "application/json", document)
        + data_link("Download CSV", "cry.csv", "text/csv", pieces_csv(prediction))
        + "</p>"
    )


def pieces_csv(prediction: Prediction) -> str:
    """Write a row for each piece: start and end in seconds, then the probability of each label."""
    return csv_text(
        ["start_s", "end_s", *prediction.probabilities],
        *([f"{p.start:.3f}", f"{p.end:.3f}", *p.probabilities.values()] for p in prediction.pieces),
    )
