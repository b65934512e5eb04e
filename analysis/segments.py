"""The cries of a recording as a table and as a file."""

from __future__ import annotations

import csv
import io
from html import escape

from analysis.data_link import data_link
from cry_model.calibration import one_of
from cry_model.detector import clock
from cry_model.prediction import Prediction, Segment
from cry_model.records import percent, words

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
