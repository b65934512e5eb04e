"""The answer panel: probabilities, how far to trust them, downloads. HTML, no server files."""

from __future__ import annotations

import base64
import csv
import io
import json
from html import escape

from analysis.style import class_colour
from cry_model.evaluation import UNMEASURED, percent, words
from cry_model.prediction import Prediction

PRIVACY = "Your recording is deleted seconds after the answer; no copy is kept."
EMPTY = f"""<section class="answer waiting"><p>Record a cry, drop a file, or choose an example.
The answer appears here within a second or so.</p>
<p>{PRIVACY} This is not a medical device.</p></section>"""


def answer_html(prediction: Prediction) -> str:
    """Ranked probabilities as bars, the trust lines and the download links."""
    labels = tuple(prediction.probabilities)
    ranked = sorted(labels, key=lambda label: -prediction.probabilities[label])
    bars = "".join(
        _bar(words(label), prediction.probabilities[label], class_colour(labels, label))
        for label in ranked
    )
    count = len(prediction.pieces)
    heard = "one piece" if count == 1 else f"the mean over {count} overlapping pieces"
    return (
        '<section class="answer">'
        f"<h2>Sounds most like <em>{escape(words(prediction.label))}</em></h2>"
        f"{verdict_html(prediction)}"
        f'<div role="list" aria-label="Probability of each reason">{bars}</div>'
        f'<p class="small">{prediction.duration:.1f} s of sound, {heard}.</p>'
        f"{trust_html(prediction)}"
        f"{downloads_html(prediction)}"
        "</section>"
    )


def verdict_html(prediction: Prediction) -> str:
    """The one line that nobody should miss, right under the answer."""
    if prediction.evaluation is None:
        return ""
    return f'<p class="verdict">{escape(prediction.evaluation.verdict)}</p>'


def trust_html(prediction: Prediction) -> str:
    """How far to trust the answer, from the checkpoint's own measured metrics."""
    evaluation = prediction.evaluation
    if evaluation is None:
        sentences: tuple[str, ...] = (UNMEASURED,)
    else:
        measured, _, majority = evaluation.trust()  # the verdict stands under the answer
        sentences = (escape(measured), escape(majority))
    body = " ".join(sentences)
    return (
        '<div class="trust"><h3>How far to trust this</h3>'
        f"<p>{body}</p><p><strong>Not a medical device.</strong> {PRIVACY}</p></div>"
    )


def error_html(sentence: str) -> str:
    """One plain sentence in the place of the answer."""
    return f'<section class="answer problem"><p>{escape(sentence)}</p></section>'


def downloads_html(prediction: Prediction) -> str:
    """Links that hold the result themselves, so that nothing has to be kept on the server."""
    document = json.dumps(prediction.to_dict(), indent=2)
    return (
        '<p class="downloads">'
        + _link("Download JSON", "cry.json", "application/json", document)
        + _link("Download CSV", "cry.csv", "text/csv", pieces_csv(prediction))
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


def _link(text: str, name: str, kind: str, content: str) -> str:
    data = base64.b64encode(content.encode()).decode()
    return f'<a class="download" download="{name}" href="data:{kind};base64,{data}">{text}</a>'
