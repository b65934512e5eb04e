"""Ten minutes: bounded work, a bar that only moves on, the same answer at any rate."""

import numpy as np
import pytest

from analysis.session import RATE, Progress, classify_all, downsample
from cry_model import CryClassifier, audio
from cry_model.audio import Recording
from tests.analysis.sounds import cry, scene, write


@pytest.fixture(scope="module")
def ten_minutes(tmp_path_factory):
    """A cry of two minutes, then three of some seconds."""
    wave = scene(20, 120, 200, 5, 100, 4, 100, 6, 44)
    assert len(wave) == 599 * 16000
    return write(tmp_path_factory.mktemp("long") / "long.wav", wave)


@pytest.fixture(scope="module")
def reported(ten_minutes, models, detector):
    """What was told on the way, and what was heard, with one model's batches counted."""
    told, batches = [], []
    network = models[-1].classifier
    forward = network._forward

    def counting(waveforms):
        batches.append(waveforms.shape)
        return forward(waveforms)

    network._forward = counting
    try:
        heard = classify_all(models, str(ten_minutes), detector, lambda *what: told.append(what))
    finally:
        del network._forward
    return told, batches, heard


def test_the_bar_only_moves_on_to_its_end_and_says_what_is_done(reported):
    told, _, _ = reported
    shares = [share for share, _ in told]
    assert shares == sorted(shares)
    assert shares[-1] == pytest.approx(1)
    assert [what for i, (_, what) in enumerate(told) if not i or told[i - 1][1] != what] == [
        "Listening for cries",
        "Asking the models",
    ]
    assert len(told) > 10


def test_work_and_memory_are_bounded(reported, models):
    _, batches, heard = reported
    answer = heard.answers[models[-1].name]
    seconds = sum(s.end - s.start for s in answer.segments)
    assert len(answer.segments) == 4
    pieces = sum(shape[0] for shape in batches)
    assert pieces == len(answer.pieces) <= 2 * seconds / 5 + 2 * len(answer.segments)
    assert max(shape[0] * shape[1] for shape in batches) <= CryClassifier.AT_ONCE * 8000
    long_one = [p for p in answer.pieces if p.end < 145]
    assert len(long_one) <= 121 / 5 + 2  # of two minutes, no second is heard twice


def test_a_short_recording_is_not_reported_and_not_downsample(tmp_path, models, detector):
    told = []
    path = write(tmp_path / "short.wav", cry(4, 44100), 44100)
    classify_all(models, str(path), detector, lambda *what: told.append(what))
    assert told == []
    recording = audio.load(path)
    assert downsample(recording) is recording


def test_slimming_keeps_what_the_models_hear():
    rate = 44100
    t = np.arange(61 * rate) / rate
    wave = 0.1 * np.sin(2 * np.pi * 7600 * t) + 0.1 * np.sin(2 * np.pi * 9000 * t)
    slim = downsample(audio.load(wave, rate))
    assert slim.sample_rate == RATE
    assert slim.duration == pytest.approx(61, abs=1e-3)
    spectrum = np.abs(np.fft.rfft(slim.waveform.numpy()[: 60 * RATE])) / (30 * RATE)
    assert spectrum[7600 * 60] == pytest.approx(0.1, abs=0.002)
    assert spectrum[7000 * 60] < 1e-3  # where 9 kHz would have been folded to
    telephone = Recording(slim.waveform[: 8000 * 61], 8000)
    assert downsample(telephone) is telephone


def test_a_long_recording_is_answered_as_without_slimming(tmp_path, models, detector):
    path = write(tmp_path / "long.wav", scene(10, 30, 30, rate=44100), 44100)
    track = detector.scan(audio.load(path))
    for model in models:
        expected = model.classifier.predict(path, track=track)
        found = classify_all((model,), str(path), detector).answers[model.name]
        assert found.probabilities == pytest.approx(expected.probabilities, abs=0.02)
        assert len(found.cautions) == len(expected.cautions)


def test_parts_share_one_bar():
    told = []
    progress = Progress(lambda *what: told.append(what))
    first, second = progress.subtask(0.25, "a"), progress.subtask(0.75, "b")
    for tell, share in ((first, 0.5), (second, 0.5), (second, 0.4), (first, 1.0), (second, 1.0)):
        tell(share)
    assert told == [(0.125, "a"), (0.5, "b"), (0.5, "b"), (0.625, "a"), (1.0, "b")]
