"""One recording, every model: what is shown and kept of it, for whom, and what ten minutes cost."""

from html import escape

import numpy as np
import pytest
import soundfile
import torch

from analysis.session import RATE, UNEXPECTED, Progress, classify_all, downsample
from analysis.tabs.answer import answer_html
from analysis.tabs.cards import explained_cards
from analysis.tabs.listen import told
from analysis.words import ENGLISH
from cry_model import CryClassifier, Recording
from cry_model.sound import audio
from tests.stand_ins import cry, scene, write


@pytest.fixture
def clip(tmp_path, examples):
    """A recording that can be deleted."""
    copy = tmp_path / "clip.wav"
    copy.write_bytes((examples / "synthetic_whimper.wav").read_bytes())
    return copy


def test_switching_gives_what_each_model_gives_without_the_file(models, clip):
    expected = {model.name: model.classifier.predict(clip) for model in models}
    session = classify_all(models, str(clip))
    clip.unlink()
    for model in reversed(models):
        answer = session.answers[model.name]
        assert answer.to_dict(full=True) == expected[model.name].to_dict(full=True)
        card = answer_html(answer).partition("<details")[0].partition('class="card"')[2]
        assert card in told(models, session, model.name, None)
        drawn = {"feature"} if answer.acoustic else {"map", "branch", "differential"}
        assert set(explained_cards(answer)) == drawn


def test_models_with_the_same_labels_are_beside_each_other_and_no_others(models, clip):
    session = classify_all(models, str(clip))
    network, features, reasons = models
    assert list(session.others(network, models)) == ["The feature MLP"]
    assert list(session.others(features, models)) == ["The improved ECAPA-TDNN"]
    assert session.others(reasons, models) == {}


@pytest.mark.parametrize("content", [None, b"no sound in here"])
def test_what_is_gone_or_no_sound_is_the_same_sentence_for_every_model(models, tmp_path, content):
    path = tmp_path / "bad.wav"
    if content:
        path.write_bytes(content)
    session = classify_all(models, str(path))
    sentences = {told(models, session, model.name, None) for model in models}
    assert len(sentences) == 1
    kind = "Undecodable" if content else "Missing"
    assert escape(ENGLISH(f"problem.{kind}AudioError")) in sentences.pop()


def test_what_only_some_models_hear_is_silent_to_the_others(models, tmp_path):
    t = np.arange(32000) / 16000
    wave = 0.3 * np.sin(2 * np.pi * 5500 * t) * np.hanning(len(t))  # without a click at its ends
    session = classify_all(models, str(write(tmp_path / "high.wav", wave)))
    views = [told(models, session, model.name, None) for model in models]
    assert ["silent" in view for view in views] == [False, False, True]


def test_an_8_khz_recording_is_outside_of_the_six_classes_only(models, tmp_path):
    noise = 0.2 * np.random.default_rng(0).standard_normal(24000)
    session = classify_all(models, str(write(tmp_path / "telephone.wav", noise, 8000)))
    for model in models:
        html = told(models, session, model.name, None)
        assert ("nothing above 4 kHz" in html) == (model is not models[2])


def test_what_is_kept_holds_a_picture_and_no_samples(models, clip):
    session = classify_all(models, str(clip))
    samples = soundfile.info(clip).frames
    for answer in session.answers.values():
        tensors = [v for v in vars(answer.attention).values() if isinstance(v, torch.Tensor)]
        assert all(t.numel() < samples for t in tensors)
    assert len(session.display.envelope.times) <= 900
    assert session.display.spectrogram.decibels.shape[1] <= 900


def fail(*_, **__):
    raise IndexError("index 0 is out of bounds")


def test_a_fault_in_one_model_leaves_the_others_their_answers(models, clip, monkeypatch):
    odd, *others = models
    monkeypatch.setattr(odd.classifier, "predict", fail)
    session = classify_all(models, str(clip))
    assert session.answers[odd.name] == UNEXPECTED
    assert session.display is not None
    for model in others:
        assert session.answers[model.name].label in model.classifier.labels


def test_a_fault_in_the_detector_is_a_sentence(models, clip, detector, monkeypatch):
    monkeypatch.setattr(detector, "scan", fail)
    session = classify_all(models, str(clip), detector)
    assert set(session.answers.values()) == {UNEXPECTED}
    assert session.display is None


def test_of_ten_minutes_work_and_memory_are_bounded_and_the_bar_moves_on(
    tmp_path, models, detector, monkeypatch
):
    """A cry of two minutes, then three of some seconds."""
    path = write(tmp_path / "long.wav", scene(20, 120, 200, 5, 100, 4, 100, 6, 44))
    told, batches, network = [], [], models[-1].classifier
    backend = network.backend
    forward = backend.forward
    monkeypatch.setattr(backend, "forward", lambda w: batches.append(w.shape) or forward(w))
    heard = classify_all(models, str(path), detector, lambda *what: told.append(what))
    shares = [share for share, _ in told]
    assert shares == sorted(shares)
    assert shares[-1] == pytest.approx(1)
    assert list(dict.fromkeys(what for _, what in told)) == [
        "Listening for cries",
        "Asking the models",
    ]
    assert len(told) > 10
    answer = heard.answers[models[-1].name]
    seconds = sum(s.end - s.start for s in answer.segments)
    assert len(answer.segments) == 4
    pieces = sum(shape[0] for shape in batches)
    assert pieces == len(answer.pieces) <= 2 * seconds / 5 + 2 * len(answer.segments)
    assert max(shape[0] * shape[1] for shape in batches) <= CryClassifier.AT_ONCE * 8000
    long_one = [p for p in answer.pieces if p.end < 145]
    assert len(long_one) <= 121 / 5 + 2  # of two minutes, no second is heard twice


def test_a_short_recording_is_not_reported_and_not_downsampled(tmp_path, models, detector):
    told = []
    path = write(tmp_path / "short.wav", cry(4, 44100), 44100)
    classify_all(models, str(path), detector, lambda *what: told.append(what))
    assert told == []
    recording = audio.load(path)
    assert downsample(recording) is recording


def test_downsampling_keeps_what_the_models_hear():
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


def test_a_long_recording_is_answered_as_without_downsampling(tmp_path, models, detector):
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
