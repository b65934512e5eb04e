"""The answer panel: probabilities, how far to trust them, downloads. HTML, no server files."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import replace
from html import escape

from analysis.data_link import data_link
from analysis.decision import heading_html, promise_html, quoted
from analysis.judgement import disagree_strongly
from analysis.no_cry import no_cry_html
from analysis.style import class_colour
from analysis.trust import trust_html
from cry_model.checkpoint import to_json
from cry_model.prediction import Prediction
from cry_model.records import GateRecord, percent, words

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
