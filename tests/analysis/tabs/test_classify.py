"""One recording, every model: what is shown of it, what is kept, and for whom."""

import numpy as np
import pytest
import soundfile
import torch

from analysis.session import UNEXPECTED, hear
from analysis.sound import Sound
from analysis.tabs.answer import EMPTY, NO_LONGER_KEPT, bars_html
from analysis.tabs.classify import PLACES, classify


@pytest.fixture
def clip(tmp_path, examples):
    """A recording that can be deleted."""
    copy = tmp_path / "clip.wav"
    copy.write_bytes((examples / "synthetic_whimper.wav").read_bytes())
    return copy


def shown(view):
    """The places that have a figure."""
    places = zip(PLACES, view.sections, strict=True)
    return {place for place, section in places if section.figure is not None}


def test_nothing_chosen_shows_the_invitation_and_keeps_nothing(models, clip):
    heard = hear(models, str(clip))
    view, kept = classify(models, None, models[1].name, heard)
    assert (view.answer, view.sections, kept) == (EMPTY, (), None)


def test_switching_gives_what_each_model_gives_without_the_file(models, clip):
    expected = {model.name: model.classifier.predict(clip) for model in models}
    _, heard = classify(models, str(clip), models[0].name)
    clip.unlink()
    for model in reversed(models):
        view, again = classify(models, str(clip), model.name, heard)
        assert again is heard
        assert heard.answers[model.name].to_dict() == expected[model.name].to_dict()
        assert bars_html(expected[model.name]) in view.answer
        explained = (
            {"feature"}
            if expected[model.name].acoustic
            else set(PLACES) - {"sound", "timeline", "feature"}
        )
        assert shown(view) == {"sound"} | explained


def test_models_with_the_same_labels_are_beside_each_other_and_no_others(models, clip):
    heard = hear(models, str(clip))
    network, features, reasons = models
    assert list(heard.beside(network, models)) == ["The feature MLP"]
    assert list(heard.beside(features, models)) == ["The improved ECAPA-TDNN"]
    assert heard.beside(reasons, models) == {}


def test_another_recording_is_heard_anew(models, clip, examples):
    _, first = classify(models, str(clip))
    other = str(examples / "synthetic_rhythmic.wav")
    _, second = classify(models, other, None, first)
    assert second.file == other
    assert second.answers[models[0].name].to_dict() == models[0].classifier.predict(other).to_dict()


def test_what_is_neither_kept_nor_there_is_said(models, clip):
    clip.unlink()
    view, kept = classify(models, str(clip), models[0].name)
    assert NO_LONGER_KEPT in view.answer
    assert kept is None


def test_a_bad_file_gives_the_same_sentence_for_every_model(models, tmp_path):
    bad = tmp_path / "bad.wav"
    bad.write_bytes(b"no sound in here")
    _, heard = classify(models, str(bad))
    views = [classify(models, str(bad), model.name, heard)[0] for model in models]
    assert len({view.answer for view in views}) == 1
    assert "could not be read" in views[0].answer
    assert not views[0].sections


def test_what_only_some_models_hear_is_silent_to_the_others(models, tmp_path):
    high = tmp_path / "high.wav"
    t = np.arange(32000) / 16000
    wave = 0.3 * np.sin(2 * np.pi * 5500 * t) * np.hanning(len(t))  # without a click at its ends
    soundfile.write(high, wave, 16000)
    _, heard = classify(models, str(high))
    views = [classify(models, str(high), model.name, heard)[0] for model in models]
    assert all("sound" in shown(view) for view in views[:2])
    assert "silent" in views[2].answer
    assert not views[2].sections


def test_an_8_khz_recording_is_outside_of_the_six_classes_only(models, tmp_path):
    path = tmp_path / "telephone.wav"
    soundfile.write(path, 0.2 * np.random.default_rng(0).standard_normal(24000), 8000)
    heard = hear(models, str(path))
    for model in models:
        html = classify(models, str(path), model.name, heard)[0].answer
        assert ("nothing above 4 kHz" in html) == (model is not models[2])


def test_what_is_kept_holds_a_picture_and_no_samples(models, clip):
    heard = hear(models, str(clip))
    assert isinstance(heard.sound, Sound)
    samples = soundfile.info(clip).frames
    for answer in heard.answers.values():
        tensors = [v for v in vars(answer.attention).values() if isinstance(v, torch.Tensor)]
        assert all(t.numel() < samples for t in tensors)
    assert len(heard.sound.envelope.times) <= 900
    assert heard.sound.spectrogram.decibels.shape[1] <= 900


def test_a_fault_in_one_model_leaves_the_others_their_answers(models, clip, monkeypatch):
    odd, *others = models
    monkeypatch.setattr(odd.classifier, "predict", lambda *_, **__: torch.zeros(0)[0])
    heard = hear(models, str(clip))
    assert heard.answers[odd.name] == UNEXPECTED
    assert heard.sound is not None
    for model in others:
        assert heard.answers[model.name].label in model.classifier.labels


def test_a_fault_in_the_detector_is_a_sentence(models, clip):
    class Gate:
        def scan(self, *_):
            raise IndexError("index 0 is out of bounds")

    heard = hear(models, str(clip), Gate())
    assert set(heard.answers.values()) == {UNEXPECTED}
    assert heard.sound is None
