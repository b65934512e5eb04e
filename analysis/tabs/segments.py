"""Show each cry of a recording on its own: a table, the same as a file, and in words."""

from __future__ import annotations

from html import escape

from analysis.downloads import csv_text, data_link
from analysis.words import Words
from cry_model.calibration import one_of
from cry_model.detector import clock
from cry_model.prediction import Prediction, Segment
from cry_model.records import percent, words

LONG = 15.0  # s: in a shorter recording, a single cry needs no timeline
FEW = 8  # rows; more scroll


def has_timeline(prediction: Prediction) -> bool:
    """Tell whether there are several cries, or one in a recording where it has to be found.

    Where nothing can be told of any of them, there is nothing to draw.
    """
    cries = len(prediction.segments)
    if not any(map(prediction.named_in, prediction.segments)):
        return False
    return cries > 1 or (cries == 1 and prediction.duration > LONG)


def play_html(prediction: Prediction, say: Words) -> str:
    """Write a button for each cry; the browser plays that stretch of the visitor's own file."""
    buttons = "".join(
        f'<button type="button" data-play="{s.start:.2f} {s.end:.2f}" '
        f'aria-label="{escape(say("play"))}">&#9654; {clock(s.start)} - {clock(s.end)}</button>'
        for s in prediction.segments
    )
    return f'<p class="play">{buttons}</p>' if buttons else ""


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
        f"{_count(len(most))} of {prediction.cry_seconds:.1f} s in {prediction.duration:.1f} s of "
        f"sound. Most probable: {named}."
    )


def _count(cries: int) -> str:
    return "One cry" if cries == 1 else f"{cries} cries"
