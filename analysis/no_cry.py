"""What the answer panel says of a sound that is no cry. HTML."""

from __future__ import annotations

from html import escape

from cry_model.detector import CryTrack, clock
from cry_model.records import GateRecord, percent

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
