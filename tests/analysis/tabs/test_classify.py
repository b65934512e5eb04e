"""One recording, every model: what is shown of it, what is kept, and for whom."""

import numpy as np
import pytest
import soundfile
import torch

from analysis.session import UNEXPECTED, classify_all
from analysis.sound import Display
from analysis.tabs.answer import EMPTY, NO_LONGER_KEPT, bars_html
from analysis.tabs.classify import CARDS, classify


@pytest.fixture
def clip(tmp_path, examples):
    """A recording that can be deleted."""
    copy = tmp_path / "clip.wav"
    copy.write_bytes((examples / "synthetic_whimper.wav").read_bytes())
    return copy


def test_nothing_chosen_shows_the_invitation_and_keeps_nothing(models, clip):
    session = classify_all(models, str(clip))
    assert classify(models, None, models[1].name, session) == (EMPTY, {}, None)


def test_switching_gives_what_each_model_gives_without_the_file(models, clip):
    expected = {model.name: model.classifier.predict(clip) for model in models}
    *_, session = classify(models, str(clip), models[0].name)
    clip.unlink()
    for model in reversed(models):
        html, cards, again = classify(models, str(clip), model.name, session)
        assert again is session
        assert session.answers[model.name].to_dict() == expected[model.name].to_dict()
        assert bars_html(expected[model.name]) in html
        explained = (
            {"feature"}
            if expected[model.name].acoustic
            else set(CARDS) - {"sound", "timeline", "feature"}
        )
        assert set(cards) == {"sound"} | explained


def test_models_with_the_same_labels_are_beside_each_other_and_no_others(models, clip):
    session = classify_all(models, str(clip))
    network, features, reasons = models
    assert list(session.others(network, models)) == ["The feature MLP"]
    assert list(session.others(features, models)) == ["The improved ECAPA-TDNN"]
    assert session.others(reasons, models) == {}


def test_another_recording_is_heard_anew(models, clip, examples):
    *_, first = classify(models, str(clip))
    other = str(examples / "synthetic_rhythmic.wav")
    *_, second = classify(models, other, None, first)
    assert second.file == other
    assert second.answers[models[0].name].to_dict() == models[0].classifier.predict(other).to_dict()


def test_what_is_neither_kept_nor_there_is_said(models, clip):
    clip.unlink()
    html, cards, kept = classify(models, str(clip), models[0].name)
    assert NO_LONGER_KEPT in html
    assert (cards, kept) == ({}, None)


def test_a_bad_file_gives_the_same_sentence_for_every_model(models, tmp_path):
    bad = tmp_path / "bad.wav"
    bad.write_bytes(b"no sound in here")
    *_, session = classify(models, str(bad))
    views = [classify(models, str(bad), model.name, session) for model in models]
    assert len({html for html, *_ in views}) == 1
    assert "could not be read" in views[0][0]
    assert not views[0][1]


def test_what_only_some_models_hear_is_silent_to_the_others(models, tmp_path):
    high = tmp_path / "high.wav"
    t = np.arange(32000) / 16000
    wave = 0.3 * np.sin(2 * np.pi * 5500 * t) * np.hanning(len(t))  # without a click at its ends
    soundfile.write(high, wave, 16000)
    *_, session = classify(models, str(high))
    views = [classify(models, str(high), model.name, session) for model in models]
    assert all("sound" in cards for _, cards, _ in views[:2])
    assert "silent" in views[2][0]
    assert not views[2][1]


def test_an_8_khz_recording_is_outside_of_the_six_classes_only(models, tmp_path):
    path = tmp_path / "telephone.wav"
    soundfile.write(path, 0.2 * np.random.default_rng(0).standard_normal(24000), 8000)
    session = classify_all(models, str(path))
    for model in models:
        html = classify(models, str(path), model.name, session)[0]
        assert ("nothing above 4 kHz" in html) == (model is not models[2])


def test_what_is_kept_holds_a_picture_and_no_samples(models, clip):
    session = classify_all(models, str(clip))
    assert isinstance(session.display, Display)
    samples = soundfile.info(clip).frames
    for answer in session.answers.values():
        tensors = [v for v in vars(answer.attention).values() if isinstance(v, torch.Tensor)]
        assert all(t.numel() < samples for t in tensors)
    assert len(session.display.envelope.times) <= 900
    assert session.display.spectrogram.decibels.shape[1] <= 900


def test_a_fault_in_one_model_leaves_the_others_their_answers(models, clip, monkeypatch):
    odd, *others = models
    monkeypatch.setattr(odd.classifier, "predict", lambda *_, **__: torch.zeros(0)[0])
    session = classify_all(models, str(clip))
    assert session.answers[odd.name] == UNEXPECTED
    assert session.display is not None
    for model in others:
        assert session.answers[model.name].label in model.classifier.labels


def test_a_fault_in_the_detector_is_a_sentence(models, clip):
    class Gate:
        def scan(self, *_):
            raise IndexError("index 0 is out of bounds")

    session = classify_all(models, str(clip), Gate())
    assert set(session.answers.values()) == {UNEXPECTED}
    assert session.display is None
