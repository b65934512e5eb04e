"""What a classifier listens to: the cries, widened, or all of it."""

import numpy as np
import pytest
import torch

from cry_model import DetectionScores, FrontEnd, FrontEndConfig, Recording, Span, audio
from cry_model.classifier import LONGEST, parts, pieces_of, widened

RATE = 8000


def track(cries, duration):
    """Steps of half a second that are 1 within the cries and 0 elsewhere."""
    starts = np.arange(0, duration, 0.5)
    heard = tuple(float(any(s.start <= t < s.end for s in cries)) for t in starts)
    return DetectionScores(0.5, heard, duration, 0.5)


def recording(seconds, rate=RATE):
    wave = torch.randn(round(seconds * rate), generator=torch.Generator().manual_seed(0))
    return Recording(0.1 * wave, rate)


def test_without_a_detector_all_is_heard():
    assert parts(None, 7.0) == (Span(0, 7.0),)


def test_only_the_cries_are_heard():
    found = track((Span(10, 16), Span(40, 50)), 60.0)
    assert parts(found, 60.0) == found.spans
    assert len(found.spans) == 2


def test_without_a_cry_all_of_a_minute_is_heard():
    assert parts(track((), 30.0), 30.0) == (Span(0, 30.0),)


def test_without_a_cry_the_likeliest_minute_of_a_long_recording_is_heard():
    values = tuple(0.3 if 200 <= s < 250 else 0.1 for s in np.arange(0, 600, 0.5))
    (span,) = parts(DetectionScores(0.5, values, 600.0, 0.5), 600.0)
    assert span.seconds == pytest.approx(LONGEST)
    assert span.start <= 200
    assert span.end >= 250


@pytest.mark.parametrize("where", [(0, 0.4), (4, 4.5), (9.7, 10), (2, 9)])
@pytest.mark.parametrize("least", [0.5, 3.0])
def test_a_cry_is_heard_with_its_surroundings(where, least):
    span = Span(*where)
    wide = widened(span, least, 10.0)
    assert 0 <= wide.start <= span.start
    assert span.end <= wide.end <= 10
    assert wide.seconds >= least - 1e-9
    assert wide.seconds <= max(span.seconds + 1, least + 1e-9)


def test_no_recording_is_widened_beyond_itself():
    assert widened(Span(0, 1), 3.0, 1.0) == Span(0, 1.0)


def test_pieces_lie_within_the_margins_of_their_cry():
    front_end = FrontEnd(FrontEndConfig())
    spans = (Span(5, 7), Span(20, 32))
    found = pieces_of(front_end, recording(40), spans)
    assert [span for span, _ in found] == list(spans)
    for span, pieces in found:
        assert pieces.starts[0] >= span.start - 1
        assert pieces.starts[-1] + pieces.seconds <= span.end + 1
    assert len(found[1][1].starts) > 1


def test_what_is_heard_is_the_sound_of_that_place():
    front_end, sound = FrontEnd(FrontEndConfig()), recording(20)
    ((_, found),) = pieces_of(front_end, sound, (Span(8, 12),))
    alone = Recording(sound.waveform[round(7.5 * RATE) : round(12.5 * RATE)], RATE)
    torch.testing.assert_close(found.waveforms, front_end.cut(front_end.prepare(alone)).waveforms)


def test_a_long_cry_is_cut_without_overlap():
    front_end = FrontEnd(FrontEndConfig())
    ((_, pieces),) = pieces_of(front_end, recording(120), (Span(0, 120),))
    assert len(pieces.starts) == 24


def test_a_silent_stretch_is_left_out_and_nothing_but_silence_is_an_error():
    front_end, sound = FrontEnd(FrontEndConfig()), recording(30)
    sound.waveform[: 10 * RATE] = 0
    found = pieces_of(front_end, sound, (Span(2, 5), Span(15, 20)))
    assert [span for span, _ in found] == [Span(15, 20)]
    with pytest.raises(audio.SilentAudioError):
        pieces_of(front_end, sound, (Span(2, 5),))
