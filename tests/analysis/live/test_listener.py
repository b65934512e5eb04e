"""Check the log of a microphone stream, for any sample rate and chunk length, and its limits."""

import pickle

import numpy as np
import pytest
import torch

from analysis.live import listener as module
from analysis.live.episodes import RATE
from analysis.live.listener import ANSWER_SECONDS, Listener, Resampler
from cry_model.sound import audio
from cry_model.sound.frontend import resample
from tests.analysis.live.conftest import (
    A_CRY,
    CRY_HZ,
    KINDS,
    OTHER_HZ,
    Detector,
    Reasons,
    feed,
    samples,
    sound,
    story,
)


def log(listener):
    return [(e.kind, e.start, e.end) for e in listener.lines]


def kinds(listener):
    return [line.kind for line in listener.lines]


@pytest.mark.parametrize("rate", [8000, 44100])
def test_cries_and_another_sound_are_distinguished(listener, rate):
    feed(listener, story(rate), rate)
    assert kinds(listener) == KINDS
    for line, start, length in zip(listener.lines, (2, 11, 19), (5, 4, 3), strict=True):
        assert line.start == pytest.approx(start, abs=1)
        assert line.end - line.start == pytest.approx(length, abs=1.5)
        is_cry = line.kind == "cry"
        assert (line.answer is not None) == (line.peak >= Detector.threshold) == is_cry
    assert listener.written == 3
    assert not listener.over


@pytest.mark.parametrize("seconds", [0.01, 7.3])
def test_result_does_not_depend_on_chunk_length(listener, seconds):
    wave, whole = story(), Listener(Detector(), Reasons())
    whole.hear(samples(wave), RATE)
    feed(listener, wave, seconds=seconds)
    assert log(listener) == log(whole)
    assert listener.seconds == whole.seconds
    assert (listener.sound == whole.sound).all()
    assert listener.track == pytest.approx(whole.track, nan_ok=True)


def test_classifier_runs_once_a_second_on_recent_audio(listener):
    feed(listener, sound((0, 2), (CRY_HZ, 20)))
    asked = listener.classifier.asked
    assert 18 <= len(asked) <= 20
    assert max(asked) == ANSWER_SECONDS
    before = len(asked)
    feed(listener, sound((0, 5)))
    assert asked[-1] > ANSWER_SECONDS  # the logged answer uses all audio kept
    assert len(asked) - before <= 4


def test_change_of_sample_rate_does_not_end_a_cry(listener):
    feed(listener, A_CRY)
    feed(listener, sound((CRY_HZ, 4), (0, 4), rate=44100), 44100)
    ((kind, start, end),) = log(listener)
    assert kind == "cry"
    assert end - start == pytest.approx(8, abs=1.5)


def test_lost_audio_counts_as_silence_and_a_long_gap_ends_a_cry(listener):
    feed(listener, A_CRY)
    listener.hear(samples(sound((CRY_HZ, 1))), RATE, lost=0.5)
    assert log(listener) == []
    assert listener.seconds == pytest.approx(7.5, abs=0.3)
    listener.hear(samples(sound((OTHER_HZ, 0.3))), RATE, lost=30)
    assert kinds(listener) == ["cry"]
    assert listener.seconds == pytest.approx(37.8, abs=0.6)


def test_stop_logs_the_open_cry_and_deletes_the_audio(listener):
    feed(listener, A_CRY)
    listener.stop()
    (line,) = listener.lines
    assert line.answer is not None
    assert (listener.sound == 0).all()
    assert len(listener.pending) == 0
    assert np.isnan(listener.track).all()
    assert listener.state == "quiet"
    before = listener.seconds
    feed(listener, np.concatenate([A_CRY, sound((0, 4))]))
    assert kinds(listener) == ["cry", "cry"]
    assert listener.lines[1].start > before
    listener.stop()
    assert listener.written == 2


def test_memory_does_not_grow_from_one_to_six_minutes(monkeypatch):
    monkeypatch.setattr(module, "MOST_LINES", 10)
    listener = Listener(Detector(), Reasons())

    def size():
        """Return the pickled size of the listener's buffers and state, in bytes."""
        others = ("detector", "classifier", "lines")
        return len(pickle.dumps({k: v for k, v in vars(listener).items() if k not in others}))

    turn = sound((CRY_HZ, 2), (0, 4), (OTHER_HZ, 1), (0, 3))
    feed(listener, np.tile(turn, 6))
    minute = size()
    feed(listener, np.tile(turn, 30), seconds=5)
    assert listener.written == pytest.approx(72, abs=2)
    assert len(listener.lines) == 10
    assert size() <= minute + 100


@pytest.mark.parametrize("rate", [8000, 16000, 24000, 44100, 48000])
def test_resampling_chunks_matches_resampling_the_whole(rate):
    """Also check that it holds back at most 500 samples, by which the first score is early."""
    rng = np.random.default_rng(rate)
    wave = rng.standard_normal(2 * rate).astype("f4")
    whole = resample(torch.from_numpy(wave), rate, RATE).numpy()
    resampler, joined = Resampler(rate), np.zeros(0)
    cuts = np.sort(rng.integers(0, len(wave), 25))
    for cut, part in zip([*cuts, len(wave)], np.split(wave, cuts), strict=True):
        joined = np.concatenate([joined, resampler(part)])
        assert cut * RATE / rate - len(joined) <= 500
    assert len(joined) > len(whole) - 0.08 * RATE
    np.testing.assert_allclose(joined, whole[: len(joined)], atol=1e-5)


@pytest.mark.parametrize("rate", [0, 4000, 1_000_000])
def test_invalid_sample_rate_is_refused(rate):
    with pytest.raises(audio.SampleRateError, match="out of range"):
        Resampler(rate)
