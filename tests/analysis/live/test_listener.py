"""A microphone's story ends in the right log, whatever its format and however it is cut."""

import pickle

import numpy as np
import pytest

from analysis.live import listener as module
from analysis.live.listener import ANSWER_SECONDS, LIMIT_SECONDS, Listener
from analysis.live.stream import NOTHING_DB, RATE
from tests.analysis.live.conftest import (
    CRY_HZ,
    KINDS,
    LENGTHS,
    OTHER_HZ,
    STARTS,
    Detector,
    Reasons,
    feed,
    samples,
    silence,
    story,
    tone,
)


def log(listener):
    return [(e.kind, e.start, e.end) for e in listener.lines]


@pytest.mark.parametrize("rate", [8000, 44100])
def test_cry_other_sound_cry_are_told_apart(listener, rate):
    feed(listener, story(rate), rate)
    assert [line.kind for line in listener.lines] == KINDS
    for line, start, length in zip(listener.lines, STARTS, LENGTHS, strict=True):
        assert line.start == pytest.approx(start, abs=1)
        assert line.end - line.start == pytest.approx(length, abs=1.5)
        assert (line.answer is not None) == (line.kind == "cry")
        assert (line.peak >= Detector.threshold) == (line.kind == "cry")
    assert listener.written == 3
    assert not listener.over


@pytest.mark.parametrize("seconds", [0.01, 7.3])
def test_how_the_stream_is_cut_makes_no_difference(listener, seconds):
    wave, whole = story(), Listener(Detector(), Reasons())
    whole.hear(samples(wave), RATE)
    feed(listener, wave, seconds=seconds)
    assert log(listener) == log(whole)
    assert listener.seconds == whole.seconds
    assert (listener.spectrogram.columns.values == whole.spectrogram.columns.values).all()
    assert listener.track.values == pytest.approx(whole.track.values, nan_ok=True)


def test_reasons_are_asked_for_once_a_second_and_not_about_all(listener):
    feed(listener, np.concatenate([silence(2), tone(CRY_HZ, 20)]))
    asked = listener.classifier.asked
    assert 18 <= len(asked) <= 20
    assert max(asked) == ANSWER_SECONDS
    before = len(asked)
    feed(listener, silence(5))
    assert asked[-1] > ANSWER_SECONDS  # the line's answer is about all that is kept
    assert len(asked) - before <= 4


def test_a_microphone_that_is_swapped_within_a_cry_does_not_end_it(listener):
    feed(listener, np.concatenate([silence(2), tone(CRY_HZ, 4)]))
    feed(listener, np.concatenate([tone(CRY_HZ, 4, 44100), silence(4, 44100)]), 44100)
    ((kind, start, end),) = log(listener)
    assert kind == "cry"
    assert end - start == pytest.approx(8, abs=1.5)


def test_lost_sound_counts_as_silence_and_a_long_hole_ends_what_lasted(listener):
    feed(listener, np.concatenate([silence(2), tone(CRY_HZ, 4)]))
    listener.hear(samples(tone(CRY_HZ, 1)), RATE, lost=0.5)
    listener.hear(samples(silence(0)), RATE)
    assert log(listener) == []
    assert listener.seconds == pytest.approx(7.5, abs=0.3)
    listener.hear(samples(tone(OTHER_HZ, 0.3)), RATE, lost=30)
    assert [kind for kind, *_ in log(listener)] == ["cry"]
    assert listener.seconds == pytest.approx(37.8, abs=0.6)


def test_stop_writes_down_what_lasts_and_forgets_the_sound(listener):
    feed(listener, np.concatenate([silence(2), tone(CRY_HZ, 4)]))
    listener.stop()
    (line,) = listener.lines
    assert line.answer is not None
    assert (listener.sound.values == 0).all()
    assert (listener.spectrogram.columns.values == NOTHING_DB).all()
    assert len(listener.pending) == 0
    assert np.isnan(listener.track.values).all()
    assert listener.state == "quiet"
    before = listener.seconds
    feed(listener, np.concatenate([silence(2), tone(CRY_HZ, 4), silence(4)]))
    assert [kind for kind, *_ in log(listener)] == ["cry", "cry"]
    assert log(listener)[1][1] > before
    listener.stop()
    assert listener.written == 2


def test_the_time_is_up_until_it_is_resumed(listener, monkeypatch):
    monkeypatch.setattr(listener, "limit", 5.0)
    feed(listener, story())
    assert listener.over
    assert listener.seconds == pytest.approx(5, abs=0.25)
    assert len(listener.pending) < RATE
    listener.resume()
    assert listener.limit == pytest.approx(listener.seconds + LIMIT_SECONDS)
    feed(listener, silence(1))
    assert not listener.over


def test_six_minutes_take_no_more_memory_than_one(monkeypatch):
    monkeypatch.setattr(module, "MOST_LINES", 10)
    listener = Listener(Detector(), Reasons())

    def size():
        """Bytes of all that it holds."""
        others = ("detector", "classifier", "lines")
        return len(pickle.dumps({k: v for k, v in vars(listener).items() if k not in others}))

    turn = np.concatenate([tone(CRY_HZ, 2), silence(4), tone(OTHER_HZ, 1), silence(3)])
    feed(listener, np.tile(turn, 6))
    minute = size()
    feed(listener, np.tile(turn, 30), seconds=5)
    assert listener.written == pytest.approx(72, abs=2)
    assert len(listener.lines) == 10
    assert size() <= minute + 100
