"""The answer panel: probabilities, how far to trust them, downloads. HTML, no server files."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import replace
from html import escape

from analysis.figures.theme import class_colour
from analysis.panels.markup import data_link
from cry_model.calibration import one_of
from cry_model.checkpoint import to_json
from cry_model.detector import CryTrack, clock
from cry_model.prediction import Prediction, Segment
from cry_model.records import UNMEASURED, Evaluation, GateRecord, percent, words

HEADING = "This does not sound like a baby crying"
ANYWAY = "Classify anyway"
IF_IT_WERE = (
    "What follows would be the answer if it were a cry. Of any other sound it says nothing."
)


def no_cry_html(track: CryTrack, record: GateRecord | None, reasons: str) -> str:
    """The heading, why, how often that is right, and the answer to a cry, folded away.

    Args:
        track: what the gate made of the recording.
        record: how often the gate is right.
        reasons: the HTML that is shown of a cry.
    """
    trust = "" if record is None else f" {escape(detector_trust(record))}"
    return (
        f"<h2>{HEADING}</h2><p>{escape(verdict(track))}{trust}</p>"
        f'<details class="anyway"><summary>{ANYWAY}</summary>'
        f"<p>{IF_IT_WERE}</p>{reasons}</details>"
    )


def verdict(track: CryTrack) -> str:
    """The gate's probability beside its threshold, in words."""
    likeliest = int(track.cells.argmax()) * track.step
    return (
        f"The probability of a cry is {below(track.score, track.threshold)} at its highest, at "
        f"{clock(likeliest)}; from {percent(track.threshold)} on, the cry detector calls it one."
    )


def below(share: float, limit: float) -> str:
    """A share that is below a limit, never rounded up to it."""
    return f"{100 * share:.1f} %" if percent(share) == percent(limit) else percent(share)


def detector_trust(record: GateRecord) -> str:
    """How often the gate is right."""
    return f"How often the cry detector is right: {_lower(record.trust())}"


def _lower(sentence: str) -> str:
    return sentence[0].lower() + sentence[1:]


UNLIKE = (
    "What follows was measured on recordings that the model knows how to answer, unlike this one."
)


def trust_html(prediction: Prediction, gate: GateRecord | None = None) -> str:
    """How far to trust the answer, from what was measured of the checkpoint and of the gate."""
    teacher = ""
    sentences: tuple[str, ...] = ()
    if prediction.evaluation is not None:
        measured, _, majority = prediction.evaluation.trust()  # the verdict is under the answer
        sentences = (measured, majority)
    elif prediction.agreement is not None:
        sentences = prediction.agreement.trust()[:1]
        teacher = _teacher_html(prediction.agreement.teacher_evaluation)
    if prediction.calibration is not None:
        sentences = (*prediction.calibration.trust(), *sentences)
    if not sentences:
        sentences = (UNMEASURED,)
    elif prediction.cautions:
        sentences = (UNLIKE, *sentences)
    detector = "" if gate is None else f"<p>{escape(detector_trust(gate))}</p>"
    return (
        '<div class="trust"><h3>How far to trust this</h3>'
        f"<p>{escape(' '.join(sentences))}</p>{teacher}"
        f"{detector}</div>"
    )


def _teacher_html(evaluation: Evaluation | None) -> str:
    if evaluation is None:
        return ""
    return (
        "<details><summary>How often its teacher is right</summary>"
        f"<p>{escape(' '.join(evaluation.trust()))}</p></details>"
    )


STRONG = 0.2
"""Of probability. Both six-class models are unsure by calibration, so more would never be reached:
on 453 held-out cries pupil and teacher are further apart, with different labels, in 3 of 100."""
UNDECIDED = 0.01


def has_answer(prediction: Prediction) -> bool:
    """Whether any label is ahead: far outside of what it knows, a model calls all as probable."""
    values = prediction.probabilities.values()
    return max(values) - min(values) >= UNDECIDED


def total_variation(first: Mapping[str, float], second: Mapping[str, float]) -> float:
    """Half the sum of the differences of two distributions over the same labels: 0 to 1.

    Raises:
        ValueError: if the labels are not the same; then nothing can be compared.
    """
    if first.keys() != second.keys():
        raise ValueError("These answers are about different labels and cannot be compared.")
    return sum(abs(first[label] - second[label]) for label in first) / 2


def disagree_strongly(first: Mapping[str, float], second: Mapping[str, float]) -> bool:
    """Whether two answers, label -> probability, should make a reader trust neither.

    They do if their most probable labels differ and more than a fifth of the probability would
    have to move from one label to another to make them alike (a total variation distance above
    0.2).
    """
    apart = max(first, key=first.__getitem__) != max(second, key=second.__getitem__)
    return total_variation(first, second) > STRONG and apart


def heading_html(prediction: Prediction) -> str:
    """The set of a calibrated model; of another, its most probable label.

    Of a recording that the model does not know, no claim.
    """
    if prediction.undecided is not None:
        return f"Can't tell: {escape(prediction.undecided)}"
    if prediction.prediction_set is not None:
        return f"Sounds like {one_of([_stressed(label) for label in prediction.prediction_set])}"
    if not has_answer(prediction):
        return "Outside of what this model knows; it has no answer"
    if not prediction.cautions:
        return f"Sounds most like {_stressed(prediction.label)}"
    return f"Outside of what this model knows; it would say {_stressed(prediction.label)}"


def promise_html(prediction: Prediction) -> str:
    """What the set in the heading is made to hold; nothing if there is none."""
    if prediction.calibration is None or prediction.undecided is not None:
        return ""
    return f'<p class="promise">{escape(prediction.calibration.promise)}</p>'


def quoted(prediction: Prediction) -> str:
    """The same as a clause about another model: "says: hungry or tired"."""
    label = words(prediction.label)
    share = percent(prediction.probabilities[prediction.label])
    if not has_answer(prediction):
        says = "has no answer"
    elif prediction.prediction_set is None:
        says = f"says: {label} ({share})"
    elif prediction.decides:
        named = one_of([words(name) for name in prediction.prediction_set])
        says = f"says: {named} (most probable: {label}, {share})"
    else:
        says = f"can't tell (most probable: {label}, {share})"
    return f"{says}{'; this recording is outside of what it knows' if prediction.cautions else ''}"


def _stressed(label: str) -> str:
    return f"<em>{escape(words(label))}</em>"


PRIVACY = (
    "Your recording is deleted seconds after the answer, or after a quarter of an hour if there is "
    "none; no copy is kept, nor anything in your browser. The answers and figures, "
    "which hold no sound, stay in the server's memory until your next recording, or until you "
    "have not used the page for an hour."
)
_PROMISES = f"<p><strong>Not a medical device.</strong> {PRIVACY}</p>"
EMPTY = f"""<section class="answer waiting"><p>Record a cry, drop a file, or choose an example.
The answer appears here within a second or so.</p>
<p>{PRIVACY} This is not a medical device.</p></section>"""
NO_LONGER_KEPT = (
    "This recording was deleted and its answers are no longer kept; please choose or record it "
    "again."
)
DISAGREEMENT = "The models disagree strongly about this recording: rely on neither."


def answer_html(
    prediction: Prediction,
    beside: Mapping[str, Prediction] | None = None,
    gate: GateRecord | None = None,
) -> str:
    """The set or why there is none, cautions, bars, the trust lines and the download links.

    Of what is no cry, all of that is folded away.

    Args:
        prediction: the answer.
        beside: who else answered with the same labels (a sentence's subject), and what.
        gate: how often what told whether it is a cry is right.
    """
    beside, downloads = beside or {}, downloads_html(prediction)
    if prediction.is_cry is False and prediction.track is not None:
        ungated = replace(prediction, track=None)  # as if nobody had asked whether it is a cry
        folded = reasons_html(ungated, beside, "h3") + downloads
        told = no_cry_html(prediction.track, gate, folded) + _PROMISES
    else:
        told = reasons_html(prediction, beside, "h2", gate) + _PROMISES + downloads
    return f'<section class="answer">{told}</section>'


def reasons_html(
    prediction: Prediction,
    beside: Mapping[str, Prediction],
    level: str,
    gate: GateRecord | None = None,
) -> str:
    """The set or why there is none, cautions, bars and the trust lines, below a heading."""
    return (
        f"<{level}>{heading_html(prediction)}</{level}>"
        f"{promise_html(prediction)}"
        f"{cautions_html(prediction)}"
        f"{verdict_html(prediction)}"
        f"{bars_html(prediction)}"
        f"{beside_html(prediction, beside)}"
        f'<p class="small">{heard_words(prediction)}</p>'
        f"{trust_html(prediction, gate)}"
    )


def heard_words(prediction: Prediction) -> str:
    """How much was heard, and how much of it answered for."""
    count, text = len(prediction.pieces), f"{prediction.duration:.1f} s of sound"
    if prediction.segments:
        seconds = sum(segment.end - segment.start for segment in prediction.segments)
        text += f", {seconds:.1f} s of it a cry"
    pieces = "one piece" if count == 1 else f"the mean over {count} pieces"
    return f"{text}; {pieces}."


def cautions_html(prediction: Prediction) -> str:
    """Why this recording is none that the model can answer; nothing if it is."""
    sentences = "".join(f"<p>{escape(sentence)}</p>" for sentence in prediction.cautions)
    return f'<div class="cautions">{sentences}</div>' if sentences else ""


def verdict_html(prediction: Prediction) -> str:
    """The one line that nobody should miss, right under the answer."""
    measured = prediction.evaluation or prediction.agreement
    if measured is None or prediction.cautions:  # it was measured on what the model knows
        return ""
    return f'<p class="verdict">{escape(measured.verdict)}</p>'


def bars_html(prediction: Prediction) -> str:
    """A bar for each label, the most probable first."""
    labels = tuple(prediction.probabilities)
    ranked = sorted(labels, key=lambda label: -prediction.probabilities[label])
    bars = "".join(
        _bar(words(label), prediction.probabilities[label], class_colour(labels, label))
        for label in ranked
    )
    return f'<div role="list" aria-label="Probability of each reason">{bars}</div>'


def beside_html(prediction: Prediction, beside: Mapping[str, Prediction]) -> str:
    """A line for each other model with the same labels; a warning if one contradicts."""
    lines = []
    for subject, other in beside.items():
        taught = prediction.agreement is not None and other.acoustic is not None
        whose = f"{subject}, which it imitates," if taught else subject
        lines.append(f"{whose} {quoted(other)}.")
    text = "".join(f'<p class="beside">{escape(line)}</p>' for line in lines)
    mine = prediction.probabilities
    if any(disagree_strongly(mine, other.probabilities) for other in beside.values()):
        text += f'<p class="disagreement">{DISAGREEMENT}</p>'
    return text


def error_html(sentence: str) -> str:
    """One plain sentence in the place of the answer."""
    return f'<section class="answer problem"><p>{escape(sentence)}</p></section>'


def downloads_html(prediction: Prediction) -> str:
    """Links that hold the result themselves, so that nothing has to be kept on the server."""
    document = to_json(prediction.to_dict(anyway=True))
    return (
        '<p class="downloads">'
        + data_link("Download JSON", "cry.json", "application/json", document)
        + data_link("Download CSV", "cry.csv", "text/csv", pieces_csv(prediction))
        + "</p>"
    )


def pieces_csv(prediction: Prediction) -> str:
    """A row for each piece: start and end in seconds, then the probability of each label."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["start_s", "end_s", *prediction.probabilities])
    for piece in prediction.pieces:
        writer.writerow([f"{piece.start:.3f}", f"{piece.end:.3f}", *piece.probabilities.values()])
    return buffer.getvalue()


def _bar(name: str, probability: float, colour: str) -> str:
    return (
        f'<div class="bar" role="listitem"><span class="name">{escape(name)}</span>'
        f'<span class="track" aria-hidden="true"><span class="fill" '
        f'style="width: {100 * probability:.1f}%; background: {colour}"></span></span>'
        f'<span class="value">{percent(probability)}</span></div>'
    )


LONG = 15.0  # s: in a shorter recording, a single cry needs no timeline
FEW = 8  # rows; more scroll


def has_timeline(prediction: Prediction) -> bool:
    """Whether there are several cries, or one in a recording where it has to be found."""
    cries = len(prediction.segments)
    return cries > 1 or (cries == 1 and prediction.duration > LONG)


def segments_html(prediction: Prediction) -> str:
    """A table with a row for each cry, and the link to the same as a file."""
    labels = tuple(prediction.probabilities)
    columns = ("from", "to", "length", "cry detector", "sounds like", *map(words, labels))
    head = "".join(f'<th scope="col">{escape(column)}</th>' for column in columns)
    rows = "".join(_row(segment, prediction) for segment in prediction.segments)
    count = len(prediction.segments)
    many = " many" if count > FEW else ""
    table = (
        f'<div class="segments{many}" role="region" aria-label="Table of cries" tabindex="0">'
        f"<table><caption>{count} {'cry' if count == 1 else 'cries'}, minutes and seconds from "
        "the beginning of the recording; probability of a cry at its likeliest moment, and of "
        f"each reason</caption><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
    )
    link = data_link("Download segments (CSV)", "cries.csv", "text/csv", segments_csv(prediction))
    return f'{table}<p class="downloads">{link}</p>'


def sounds_like(segment: Segment, prediction: Prediction) -> str:
    """The reasons that cannot be ruled out for a cry, as far as the model knows such recordings."""
    named = [words(label) for label in prediction.named_in(segment)]
    return one_of(named) if named else "can't tell"


def _row(segment: Segment, prediction: Prediction) -> str:
    times = (clock(segment.start), clock(segment.end), f"{segment.end - segment.start:.1f} s")
    shares = map(percent, segment.probabilities.values())
    cells = (*times[1:], percent(segment.gate), escape(sounds_like(segment, prediction)), *shares)
    return f'<tr><th scope="row">{times[0]}</th>{"".join(f"<td>{c}</td>" for c in cells)}</tr>'


def segments_csv(prediction: Prediction) -> str:
    """A row for each cry: start, end and length in seconds, the cry detector's greatest
    probability, the most probable label, the set, then the probability of each label."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    known = ("start_s", "end_s", "length_s", "cry_probability", "most_probable", "set")
    writer.writerow([*known, *prediction.probabilities])
    for segment in prediction.segments:
        numbers = (segment.start, segment.end, segment.end - segment.start, segment.gate)
        rounded = (f"{number:.3f}" for number in numbers)
        told = ";".join(segment.prediction_set or ())
        writer.writerow([*rounded, segment.label, told, *segment.probabilities.values()])
    return buffer.getvalue()


def describe_segments(prediction: Prediction) -> str:
    """The cries and their most probable reasons in words; of many, how many each."""
    segments = prediction.segments
    seconds = sum(segment.end - segment.start for segment in segments)
    text = f"{_count(len(segments))} of {seconds:.1f} s in {prediction.duration:.1f} s of sound."
    most = [segment.label for segment in segments]
    counted = sorted(((most.count(label), label) for label in set(most)), reverse=True)
    if len(segments) > 1:
        named = ", ".join(f"{words(label)} {number} times" for number, label in counted)
        return f"{text} Most probable: {named.replace(' 1 times', ' once')}."
    return f"{text} Most probable: {words(most[0])}."


def _count(cries: int) -> str:
    return "One cry" if cries == 1 else f"{cries} cries"
