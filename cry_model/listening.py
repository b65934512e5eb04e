"""Which parts of a recording a classifier answers for."""

from __future__ import annotations

from dataclasses import replace

from cry_model import audio
from cry_model.cry_track import CryTrack, Span
from cry_model.front_ends import AnyFrontEnd
from cry_model.pieces import Pieces

MARGIN = 0.5  # s, heard on either side of a cry
LONGEST = 60.0  # s, of a recording without a cry


def parts(track: CryTrack | None, duration: float) -> tuple[Span, ...]:
    """The cries of a recording; all of it without a gate.

    Where the gate hears no cry, the whole recording, or the minute of a longer one that is most
    like a cry: a visitor may want an answer anyway.
    """
    whole = (Span(0.0, duration),)
    if track is None:
        return whole
    if track.is_cry:
        return track.spans
    if duration <= LONGEST:
        return whole
    width = min(len(track.cells), round(LONGEST / track.step))
    first = int(track.cells.unfold(0, width, 1).mean(-1).argmax())
    start = min(first * track.step, duration - LONGEST)
    return (Span(start, start + LONGEST),)


def widened(span: Span, least: float, duration: float) -> Span:
    """A span with its margins, and at least as long as a front end wants, within the recording."""
    spare = max(MARGIN, (least - span.seconds) / 2)
    start, end = max(0.0, span.start - spare), min(duration, span.end + spare)
    if end - start < least:  # at an edge: the other side gives what is missing
        start, end = max(0.0, end - least), min(duration, start + least)
    return Span(start, end)


def pieces_of(
    front_end: AnyFrontEnd, recording: audio.Recording, spans: tuple[Span, ...]
) -> list[tuple[Span, Pieces]]:
    """Each span with its pieces, cut and levelled on its own; those that are silent are left out.

    Raises:
        SilentAudioError: if all of them are silent in the band that the front end hears.
    """
    found, failure = [], None
    for span in spans:
        part = widened(span, front_end.config.min_seconds, recording.duration)
        try:
            clip = front_end.prepare(_cut_out(recording, part))
        except audio.SilentAudioError as error:
            failure = error
            continue
        overlap = None if part.seconds <= LONGEST else 0.0  # of minutes, enough is heard as it is
        pieces = front_end.cut(clip, overlap)
        starts = tuple(part.start + start for start in pieces.starts)
        found.append((span, replace(pieces, starts=starts)))
    if not found and failure is not None:
        raise failure
    return found


def _cut_out(recording: audio.Recording, part: Span) -> audio.Recording:
    rate = recording.sample_rate
    wave = recording.waveform[round(part.start * rate) : round(part.end * rate)]
    return audio.Recording(wave, rate)
