"""The log of what was heard and of what was rejected, on the screen and as a file."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from html import escape

from analysis.judgement import has_answer
from analysis.live.view import Line
from cry_model.calibration import one_of
from cry_model.prediction import Prediction
from cry_model.records import percent, words

CANT_TELL = "can't tell"


def clock(seconds: float) -> str:
    """Minutes and seconds since listening began."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def row_html(line: Line) -> str:
    """One line of the log."""
    episode = line.episode
    what = "Cry" if episode.kind == "cry" else "Rejected: a sound, not a cry"
    notes = [f"probability of a cry up to {percent(episode.peak)}"]
    if line.answer is not None:
        notes.insert(0, in_short(line.answer))
    return (
        f'<tr class="{episode.kind}"><td>{clock(episode.start)}</td>'
        f"<td>{episode.end - episode.start:.1f}&nbsp;s</td>"
        f"<td><strong>{what}</strong><br>{escape('; '.join(notes))}</td></tr>"
    )


def in_short(answer: Prediction) -> str:
    """The reasons that cannot be ruled out, if the model tells; the two most probable in any case.

    Of a cry that the model does not know, no claim.
    """
    if not has_answer(answer):
        return "outside of what the model knows, it has no answer"
    ranked = sorted(answer.probabilities.items(), key=lambda item: -item[1])[:2]
    likely = ", ".join(f"{words(label)} {percent(share)}" for label, share in ranked)
    if answer.cautions:
        return f"{likely} (outside of what the model knows)"
    if answer.prediction_set is None:
        return likely
    named = [words(label) for label in answer.prediction_set]
    return f"{one_of(named) if answer.decides else CANT_TELL} ({likely})"


def log_csv(lines: Sequence[Line]) -> str:
    """A row a line: start and length in s, what, the gate's peak, and of a cry the reasons that
    cannot be ruled out and the probability of each."""
    labels = next((tuple(line.answer.probabilities) for line in lines if line.answer), ())
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["start_s", "length_s", "heard", "peak_cry_probability", "set", *labels])
    for line in lines:
        e = line.episode
        shares = line.answer.probabilities.values() if line.answer else [""] * len(labels)
        named = " ".join((line.answer and line.answer.prediction_set) or ())
        heard = "cry" if e.kind == "cry" else "rejected"
        numbers = f"{e.start:.2f}", f"{e.end - e.start:.2f}", heard, f"{e.peak:.4f}"
        writer.writerow([*numbers, named, *shares])
    return buffer.getvalue()
