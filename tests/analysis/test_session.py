"""Check the answers of all models to one recording: what is kept, faults, and bounded costs."""

import numpy as np
import pytest
import soundfile
import torch

from analysis.session import RATE, UNEXPECTED, classify_all, downsample
from cry_model import CryClassifier, Recording
from cry_model.sound import audio
from tests.stand_ins import cry, scene, write


@pytest.fixture
def clip(examples):
    return examples / "synthetic_whimper.wav"


def test_others_are_the_models_with_the_same_labels(models, clip):
    session = classify_all(models, str(clip))
    network, features, reasons = models
    assert list(session.others(network, models)) == ["The feature MLP"]
    assert list(session.others(features, models)) == ["The improved ECAPA-TDNN"]
    assert session.others(reasons, models) == {}


def test_session_keeps_figure_data_but_no_audio(models, clip):
    session = classify_all(models, str(clip))
    samples = soundfile.info(clip).frames
    for answer in session.answers.values():
        tensors = [v for v in vars(answer.attention).values() if isinstance(v, torch.Tensor)]
        assert all(t.numel() < samples for t in tensors)
    assert len(session.display.envelope.times) <= 900
    assert session.display.spectrogram.decibels.shape[1] <= 900


def fail(*_, **__):
    raise IndexError("index 0 is out of bounds")


def test_exception_in_one_model_does_not_affect_the_others(models, clip, detector, monkeypatch):
    odd, *others = models
    monkeypatch.setattr(odd.classifier, "predict", fail)
    session = classify_all(models, str(clip), detector)
    assert session.answers[odd.name] == UNEXPECTED
    for model in others:
        assert session.answers[model.name].label in model.classifier.labels
    monkeypatch.setattr(detector, "scan", fail)
    session = classify_all(models, str(clip), detector)
    assert set(session.answers.values()) == {UNEXPECTED}
    assert session.display is None


def test_long_recording_bounds_work_and_memory_and_reports_progress(
    tmp_path, models, detector, monkeypatch
):
    """Classify a cry of two minutes, then three of a few seconds."""
    path = write(tmp_path / "long.wav", scene(20, 120, 20, 5, 10, 4, 10, 6, 5))
    told, batches, backend = [], [], models[-1].classifier.backend
    forward = backend.forward
    monkeypatch.setattr(backend, "forward", lambda w: batches.append(w.shape) or forward(w))
    heard = classify_all(models, str(path), detector, lambda *what: told.append(what))
    shares = [share for share, _ in told]
    assert shares == sorted(shares)
    assert shares[-1] == pytest.approx(1)
    assert len({what for _, what in told}) == 2
    assert len(told) > 10
    answer = heard.answers[models[-1].name]
    seconds = sum(s.end - s.start for s in answer.segments)
    assert len(answer.segments) == 4
    pieces = sum(shape[0] for shape in batches)
    assert pieces == len(answer.pieces) <= 2 * seconds / 5 + 2 * len(answer.segments)
    assert max(shape[0] * shape[1] for shape in batches) <= CryClassifier.AT_ONCE * 8000
    long_one = [p for p in answer.pieces if p.end < 145]
    assert len(long_one) <= 121 / 5 + 2  # the two minutes are cut without overlap


def test_short_recording_has_no_progress_and_no_downsampling(tmp_path, models, detector):
    told = []
    path = write(tmp_path / "short.wav", cry(4, 44100), 44100)
    classify_all(models, str(path), detector, lambda *what: told.append(what))
    assert told == []
    recording = audio.load(path)
    assert downsample(recording) is recording


def test_downsampling_keeps_the_models_frequencies_without_aliasing():
    rate = 44100
    t = np.arange(61 * rate) / rate
    wave = 0.1 * np.sin(2 * np.pi * 7600 * t) + 0.1 * np.sin(2 * np.pi * 9000 * t)
    slim = downsample(audio.load(wave, rate))
    assert slim.sample_rate == RATE
    assert slim.duration == pytest.approx(61, abs=1e-3)
    spectrum = np.abs(np.fft.rfft(slim.waveform.numpy()[: 60 * RATE])) / (30 * RATE)
    assert spectrum[7600 * 60] == pytest.approx(0.1, abs=0.002)
    assert spectrum[7000 * 60] < 1e-3  # the alias of 9 kHz
    telephone = Recording(slim.waveform[: 8000 * 61], 8000)
    assert downsample(telephone) is telephone
