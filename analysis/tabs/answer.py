"""Write the answer panel: probabilities, how far to trust them, downloads. HTML, no files."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from html import escape

from analysis.figures.theme import class_colour
from analysis.panels.base import data_link
from cry_model.calibration import Calibration, one_of
from cry_model.checkpoint import to_json
from cry_model.detector import DetectionScores, clock
from cry_model.prediction import CANT_TELL, Prediction, Segment
from cry_model.records import (
    UNMEASURED,
    Agreement,
    DetectorRecord,
    Evaluation,
    percent,
    percent_interval,
    tested,
    words,
)

# Sentences of the panel, and of the About tab.

HEADING = "This does not sound like a baby crying"
MAYBE = "This may be a baby crying; the cry detector is not sure"
ANYWAY = "Classify anyway"
IF_IT_WERE = "If it were a cry, this would be the answer. It means nothing for any other sound."
IMITATES = "This model imitates another one; its answers were never checked against labels."
UNLIKE = "These measurements are of recordings that the model knows, unlike this one."
DISAGREEMENT = "The models disagree strongly about this recording: rely on neither."
PRIVACY = (
    "Your recording is deleted seconds after the answer, or after a quarter of an hour if there is "
    "none; no copy is kept, nor anything in your browser. The answers and figures, "
    "which hold no sound, stay in the server's memory until your next recording, or until you "
    "have not used the page for an hour."
)
EMPTY = f"""<section class="answer waiting"><p>Record a cry, drop a file, or choose an example.
The answer appears here within a second or so.</p>
<p>{PRIVACY} This is not a medical device.</p></section>"""
NO_LONGER_KEPT = (
    "This recording was deleted and its answers are no longer kept; please choose or record it "
    "again."
)


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
        f"{percent(record.false_accepts.value)} of other unseen sounds."
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
    return (
        f"On {tested(calibration.dataset, calibration.protocol)}, the set holds the right reason "
        f"for {percent_interval(calibration.coverage)} of cries{calibration.condition}; target "
        f"{percent(calibration.promised)}. It names {calibration.size.value:.1f} reasons on "
        f'average; always naming "{always}" would hold it for '
        f"{percent(calibration.constant_coverage)}."
    )


# When two answers contradict each other, and when one says nothing.

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


# The panel, from the whole to its parts.


def answer_html(
    prediction: Prediction,
    others: Mapping[str, Prediction] | None = None,
    record: DetectorRecord | None = None,
) -> str:
    """Write the panel; for what is no cry the answer is folded away.

    Args:
        prediction: the answer.
        others: who else answered with the same labels (a sentence's subject), and what.
        record: what was measured of the cry detector.
    """
    others, downloads = others or {}, downloads_html(prediction)
    promises = f"<p><strong>Not a medical device.</strong> {PRIVACY}</p>"
    if prediction.is_cry is False and prediction.track is not None:
        trust = "" if record is None else f" {detector_text(record)}"
        ungated = replace(prediction, track=None)  # as if nobody had asked whether it is a cry
        parts = (
            f"<h2>{MAYBE if prediction.track.state == 'maybe' else HEADING}</h2>",
            f"<p>{no_cry_text(prediction.track)}{trust}</p>",
            f'<details class="anyway"><summary>{ANYWAY}</summary><p>{IF_IT_WERE}</p>',
            f"<h3>{heading_html(ungated)}</h3>{claim_html(ungated)}{_details(ungated, others)}",
            f"{downloads}</details>{promises}",
        )
    else:
        parts = (
            f"<h2>{heading_html(prediction)}</h2>{claim_html(prediction)}",
            f"{_details(prediction, others, record)}{promises}{downloads}",
        )
    return f'<section class="answer">{"".join(parts)}</section>'


def error_html(sentence: str) -> str:
    """Write one plain sentence in the place of the answer."""
    return f'<section class="answer problem"><p>{escape(sentence)}</p></section>'


def heading_html(prediction: Prediction) -> str:
    """Write the set of a calibrated model; of another its most probable label, if it knows any."""
    answer = prediction.answer
    if answer.reason is not None:
        return f"Can't tell: {CANT_TELL[answer.reason]}"
    names = [f"<em>{escape(words(label))}</em>" for label in answer.labels]
    return f"Sounds {'like' if prediction.prediction_set else 'most like'} {one_of(names)}"


def claim_html(prediction: Prediction) -> str:
    """Write what the heading is worth: target of the set, cautions or verdict, and the bars."""
    html, calibration = "", prediction.calibration
    if calibration is not None and prediction.answer.reason is None:
        target = f"{percent(calibration.promised)} prediction set{calibration.condition}."
        html += f'<p class="promise">{target}</p>'
    if prediction.cautions:
        sentences = "".join(f"<p>{escape(sentence)}</p>" for sentence in prediction.cautions)
        html += f'<div class="cautions">{sentences}</div>'
    elif prediction.evaluation is not None:
        html += f'<p class="verdict">{escape(verdict(prediction.evaluation))}</p>'
    elif prediction.agreement is not None:
        html += f'<p class="verdict">{IMITATES}</p>'
    return html + bars_html(prediction)


def bars_html(prediction: Prediction) -> str:
    """Write a bar for each label, the most probable first."""
    labels = tuple(prediction.probabilities)
    bars = "".join(
        f'<div class="bar" role="listitem"><span class="name">{escape(words(label))}</span>'
        f'<span class="track" aria-hidden="true"><span class="fill" style="width: '
        f'{100 * share:.1f}%; background: {class_colour(labels, label)}"></span></span>'
        f'<span class="value">{percent(share)}</span></div>'
        for label, share in sorted(prediction.probabilities.items(), key=lambda item: -item[1])
    )
    return f'<div role="list" aria-label="Probability of each reason">{bars}</div>'


def _details(
    prediction: Prediction, others: Mapping[str, Prediction], record: DetectorRecord | None = None
) -> str:
    """Write what the others say, how much was heard, and the trust lines."""
    html = "".join(f'<p class="beside">{escape(line)}</p>' for line in _said(prediction, others))
    mine = prediction.probabilities
    if any(disagree_strongly(mine, other.probabilities) for other in others.values()):
        html += f'<p class="disagreement">{DISAGREEMENT}</p>'
    length, count = f"{prediction.duration:.1f} s of sound", len(prediction.pieces)
    if prediction.segments:
        length += f", {_crying(prediction):.1f} s of it a cry"
    pieces = "one piece" if count == 1 else f"the mean over {count} pieces"
    return f'{html}<p class="small">{length}; {pieces}.</p>{trust_html(prediction, record)}'


def _said(prediction: Prediction, others: Mapping[str, Prediction]) -> Iterator[str]:
    """Quote each other model: "The feature MLP says: hungry (41%).\""""
    for subject, other in others.items():
        taught = prediction.agreement is not None and other.acoustic is not None
        label = words(other.label)
        share = percent(other.probabilities[other.label])
        if not has_answer(other):
            says = "has no answer"
        elif other.prediction_set is None:
            says = f"says: {label} ({share})"
        elif other.answer.labels:
            named = one_of([words(name) for name in other.prediction_set])
            says = f"says: {named} (most probable: {label}, {share})"
        else:
            says = f"can't tell (most probable: {label}, {share})"
        unlike = "; this recording is outside of what it knows" if other.cautions else ""
        yield f"{subject}{', which it imitates,' if taught else ''} {says}{unlike}."


def trust_html(prediction: Prediction, record: DetectorRecord | None = None) -> str:
    """Write what was measured of the checkpoint and of the cry detector."""
    lines, teacher = [], ""
    if prediction.calibration is not None:
        lines.append(calibration_text(prediction.calibration))
    if prediction.evaluation is not None:
        lines.append(evaluation_text(prediction.evaluation))
    elif (agreement := prediction.agreement) is not None:
        lines.append(agreement_text(agreement))
        if agreement.teacher_evaluation is not None:
            told = escape(evaluation_text(agreement.teacher_evaluation))
            teacher = f"<details><summary>Its teacher</summary><p>{told}</p></details>"
    if not lines:
        lines = [UNMEASURED]
    elif prediction.cautions:
        lines.insert(0, UNLIKE)
    detector = "" if record is None else f"<p>{detector_text(record)}</p>"
    return (
        f'<div class="trust"><h3>How far to trust this</h3><p>{escape(" ".join(lines))}</p>'
        f"{teacher}{detector}</div>"
    )


# Downloads, whose files are in the links themselves: nothing has to be kept on the server.


def downloads_html(prediction: Prediction) -> str:
    """Write the links to the answer as JSON and to its pieces as CSV."""
    document = to_json(prediction.to_dict(anyway=True))
    return (
        '<p class="downloads">'
        + data_link("Download JSON", "cry.json", "application/json", document)
        + data_link("Download CSV", "cry.csv", "text/csv", pieces_csv(prediction))
        + "</p>"
    )


def csv_text(*rows: Sequence[object]) -> str:
    """Write rows as CSV."""
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows(rows)
    return buffer.getvalue()


def pieces_csv(prediction: Prediction) -> str:
    """Write a row for each piece: start and end in seconds, then the probability of each label."""
    return csv_text(
        ["start_s", "end_s", *prediction.probabilities],
        *([f"{p.start:.3f}", f"{p.end:.3f}", *p.probabilities.values()] for p in prediction.pieces),
    )


# Each cry on its own.

LONG = 15.0  # s: in a shorter recording, a single cry needs no timeline
FEW = 8  # rows; more scroll


def has_timeline(prediction: Prediction) -> bool:
    """Tell whether there are several cries, or one in a recording where it has to be found."""
    cries = len(prediction.segments)
    return cries > 1 or (cries == 1 and prediction.duration > LONG)


def segments_html(prediction: Prediction) -> str:
    """Write a table with a row for each cry, and the link to the same as a file."""
    labels, count = tuple(prediction.probabilities), len(prediction.segments)
    columns = ("from", "to", "length", "cry detector", "sounds like", *map(words, labels))
    head = "".join(f'<th scope="col">{escape(column)}</th>' for column in columns)
    rows = "".join(_row(segment, prediction) for segment in prediction.segments)
    link = data_link("Download segments (CSV)", "cries.csv", "text/csv", segments_csv(prediction))
    return (
        f'<div class="segments{" many" if count > FEW else ""}" role="region" '
        f'aria-label="Table of cries" tabindex="0"><table><caption>{_count(count)}; times in '
        "minutes and seconds; probability of a cry (its maximum) and of each reason</caption>"
        f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
        f'<p class="downloads">{link}</p>'
    )


def _row(segment: Segment, prediction: Prediction) -> str:
    named = [words(label) for label in prediction.named_in(segment)]
    cells = (
        clock(segment.end),
        f"{segment.end - segment.start:.1f} s",
        percent(segment.detector),
        one_of(named) if named else "can't tell",
        *map(percent, segment.probabilities.values()),
    )
    told = "".join(f"<td>{escape(cell)}</td>" for cell in cells)
    return f'<tr><th scope="row">{clock(segment.start)}</th>{told}</tr>'


def segments_csv(prediction: Prediction) -> str:
    """Write a row for each cry: times in seconds, cry detector, label, set, probabilities."""
    known = ("start_s", "end_s", "length_s", "cry_probability", "most_probable", "set")
    rows = []
    for s in prediction.segments:
        numbers = (f"{number:.3f}" for number in (s.start, s.end, s.end - s.start, s.detector))
        named = ";".join(s.prediction_set or ())
        rows.append([*numbers, s.label, named, *s.probabilities.values()])
    return csv_text([*known, *prediction.probabilities], *rows)


def describe_segments(prediction: Prediction) -> str:
    """Count the cries and their most probable reasons in words."""
    most = [segment.label for segment in prediction.segments]
    counted = sorted(((most.count(label), label) for label in set(most)), reverse=True)
    named = ", ".join(f"{words(label)} ({number})" for number, label in counted)
    return (
        f"{_count(len(most))} of {_crying(prediction):.1f} s in {prediction.duration:.1f} s of "
        f"sound. Most probable: {named}."
    )


def _crying(prediction: Prediction) -> float:
    return sum(segment.end - segment.start for segment in prediction.segments)


def _count(cries: int) -> str:
    return "One cry" if cries == 1 else f"{cries} cries"
