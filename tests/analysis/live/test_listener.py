"""A microphone's story ends in the right log, whatever its format and however it is cut."""

import pickle

import numpy as np
import pytest

from analysis.live import listener as module
from analysis.live.listener import ANSWER_SECONDS, LIMIT_SECONDS, Listener
from analysis.live.stream import RATE
from tests.analysis.live.conftest import (
    CRY_HZ,
    KINDS,
    LENGTHS,
    OTHER_HZ,
    STARTS,
    Detector,
    Reasons,
    feed,
    silence,
    story,
    tone,
)


def log(view):
    return [(line.episode.kind, line.episode.start, line.episode.end) for line in view.lines]


@pytest.mark.parametrize(("rate", "form"), [(8000, "int16"), (24000, "float32"), (44100, "stereo")])
def test_cry_other_sound_cry_are_told_apart(listener, rate, form):
    wave = story(rate)
    if form == "int16":
        wave = (32767 * wave).astype(np.int16)
    elif form == "stereo":
        wave = np.stack([wave, wave], axis=1)
    view = feed(listener, wave, rate)[-1]
    assert [line.episode.kind for line in view.lines] == KINDS
    for line, start, length in zip(view.lines, STARTS, LENGTHS, strict=True):
        assert line.episode.start == pytest.approx(start, abs=1)
        assert line.episode.end - line.episode.start == pytest.approx(length, abs=1.5)
        assert (line.answer is not None) == (line.episode.kind == "cry")
        assert (line.episode.peak >= Detector.threshold) == (line.episode.kind == "cry")
    assert view.written == 3
    assert not view.over


@pytest.mark.parametrize("seconds", [0.01, 7.3])
def test_how_the_stream_is_cut_makes_no_difference(listener, seconds):
    wave, other = story(), Listener(Detector(), Reasons())
    whole, cut = other.hear(wave, RATE), feed(listener, wave, seconds=seconds)[-1]
    assert log(cut) == log(whole)
    assert cut.seconds == whole.seconds
    assert (cut.decibels == whole.decibels).all()
    assert cut.track == pytest.approx(whole.track, nan_ok=True)


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
    views = feed(listener, np.concatenate([silence(2), tone(CRY_HZ, 4)]))
    views += feed(listener, tone(CRY_HZ, 4, 44100), 44100)
    views += feed(listener, silence(4, 44100), 44100)
    assert [line.episode.kind for line in views[-1].lines] == ["cry"]
    episode = views[-1].lines[0].episode
    assert episode.end - episode.start == pytest.approx(8, abs=1.5)


def test_lost_sound_counts_as_silence_and_a_long_hole_ends_what_lasted(listener):
    feed(listener, np.concatenate([silence(2), tone(CRY_HZ, 4)]))
    short = listener.hear(tone(CRY_HZ, 1), RATE, lost=0.5)
    assert short.lines == ()
    assert short.seconds == pytest.approx(7.5, abs=0.3)
    long = listener.hear(tone(OTHER_HZ, 0.3), RATE, lost=30)
    assert [line.episode.kind for line in long.lines] == ["cry"]
    assert long.seconds == pytest.approx(37.8, abs=0.6)


def test_clipped_broken_and_empty_chunks_are_heard_as_far_as_they_go(listener):
    wave = 5 * tone(CRY_HZ, 4)
    wave[::100] = np.nan
    view = feed(listener, np.concatenate([silence(2), wave]))[-1]
    assert view.state == "cry"
    assert np.isfinite(view.decibels).all()
    for empty in (np.zeros(0, np.int16), np.zeros((0, 2), np.float32)):
        after = listener.hear(empty, RATE)
        assert after.seconds == view.seconds
        assert (after.decibels == view.decibels).all()


def test_stop_writes_down_what_lasts_and_forgets_the_sound(listener):
    feed(listener, np.concatenate([silence(2), tone(CRY_HZ, 4)]))
    view = listener.stop()
    assert [line.episode.kind for line in view.lines] == ["cry"]
    assert view.lines[0].answer is not None
    assert (listener.sound.values == 0).all()
    assert len(listener.pending) == 0
    assert np.isnan(view.track).all()
    assert view.state == "quiet"
    again = feed(listener, np.concatenate([silence(2), tone(CRY_HZ, 4), silence(4)]))[-1]
    assert [line.episode.kind for line in again.lines] == ["cry", "cry"]
    assert again.lines[1].episode.start > view.seconds
    assert listener.stop().written == 2


def test_the_time_is_up_until_it_is_resumed(listener, monkeypatch):
    monkeypatch.setattr(listener, "limit", 5.0)
    view = feed(listener, story())[-1]
    assert view.over
    assert view.seconds == pytest.approx(5, abs=0.25)
    assert len(listener.pending) < RATE
    listener.resume()
    assert listener.limit == pytest.approx(view.seconds + LIMIT_SECONDS)
    assert not feed(listener, silence(1))[-1].over


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
    view = feed(listener, np.tile(turn, 30), seconds=5)[-1]
    assert view.written == pytest.approx(72, abs=2)
    assert len(view.lines) == 10
    assert size() <= minute + 100
