"""Test the bundled detector on real recordings, and its record against the committed results."""

import json
from pathlib import Path

import librosa
import numpy as np
import pytest
import torch

from cry_model import CryDetector, Recording
from cry_model.sound import audio

RESULTS = Path(__file__).parents[2] / "assets" / "results" / "detector" / "baby" / "resnet18"


@pytest.fixture(scope="module")
def detector():
    return CryDetector.from_pretrained()


def resampled(recording, rate):
    rates = {"orig_sr": recording.sample_rate, "target_sr": rate}
    return audio.load(librosa.resample(recording.waveform.numpy(), **rates), rate)


@pytest.fixture(scope="module")
def esc10(detector, data_root):
    """Return class -> pairs of a recording and the detector's scores for it."""
    found = {}
    for folder in sorted(path for path in (data_root / "esc10").iterdir() if path.is_dir()):
        name = folder.name.partition(" - ")[2].lower().replace(" ", "_")
        step = 1 if name == "baby_cry" else 5
        sounds = [audio.load(file) for file in sorted(folder.glob("*.ogg"))[::step]]
        found[name] = [(sound, detector.scan(sound)) for sound in sounds]
    return found


def test_cries_are_detected_and_other_sounds_are_not(esc10, detector, examples):
    share = {name: np.mean([t.is_cry for _, t in found]) for name, found in esc10.items()}
    assert len(share) == 10
    assert share.pop("baby_cry") >= 0.9
    assert np.mean(list(share.values())) <= 0.05
    assert max(share.values()) <= 0.25  # two of eight
    assert not detector.scan(audio.load(examples / "synthetic_door_chime.wav")).is_cry


@pytest.mark.parametrize("corpus", ["challenge6", "challenge6_cuts"])
def test_cries_of_unseen_corpora_are_detected(detector, data_root, corpus):
    files = sorted(p for p in (data_root / corpus).rglob("*") if p.suffix in (".wav", ".flac"))
    heard = [detector.scan(audio.load(f)).is_cry for f in files[:: max(1, len(files) // 25)]]
    assert len(heard) >= 5
    assert np.mean(heard) >= 0.8


@pytest.mark.parametrize(("rate", "decibels"), [(8000, 12), (44_100, -12), (48_000, 12)])
def test_scores_hardly_depend_on_rate_and_level(esc10, detector, rate, decibels):
    apart, same = [], []
    for recording, track in (pair for found in esc10.values() for pair in found[::6]):
        other = resampled(recording, rate)
        found = detector.scan(Recording(other.waveform * 10 ** (decibels / 20), rate))
        apart.append(abs(found.score - track.score))
        same.append(found.is_cry == track.is_cry)
    assert len(apart) >= 20
    assert np.quantile(apart, 0.9) < 0.05
    assert np.mean(same) > 0.95


@pytest.mark.parametrize("hertz", [50, 120])
def test_mains_hum_neither_hides_a_cry_nor_is_one(esc10, detector, hertz):
    def hum(peak, samples, rate):
        return peak * torch.sin(2 * torch.pi * hertz / rate * torch.arange(samples))

    heard = []
    for recording, track in esc10["baby_cry"][::2]:
        wave, rate = recording.waveform, recording.sample_rate
        wave = 0.0185 * (wave - wave.mean()) / wave.std()  # a faint cry
        if track.is_cry:
            found = detector.scan(Recording(wave + hum(0.03, len(wave), rate), rate))
            heard.append(found.is_cry)
    assert len(heard) > 12
    assert np.mean(heard) >= 0.8
    hiss = 1e-3 * torch.randn(64_000, generator=torch.Generator().manual_seed(hertz))
    for peak in (0.003, 0.03, 0.3):
        assert not detector.scan(Recording(hum(peak, 64_000, 16_000) + hiss, 16_000)).is_cry


def test_onset_and_end_of_a_cry_in_near_silence_are_found(esc10, detector):
    rng, starts, ends, missed = np.random.default_rng(0), [], [], 0
    for recording, track in esc10["baby_cry"]:
        if not track.is_cry or track.spans[0].seconds < 3.5:
            continue
        cry = resampled(recording, 16_000).waveform.numpy()
        begin = round(track.spans[0].start * 16_000)
        cry = cry[begin : begin + 3 * 16_000]
        wave = 1e-3 * rng.standard_normal(16 * 16_000)
        wave[6 * 16_000 : 6 * 16_000 + len(cry)] += 0.3 * cry / np.abs(cry).max()
        found = detector.scan(audio.load(wave, 16_000))
        missed += not found.is_cry
        starts += [span.start - 6 for span in found.spans[:1]]
        ends += [span.end - 9 for span in found.spans[-1:]]
    assert len(ends) > 10
    assert missed <= 0.25 * len(ends)
    for errors in (starts, ends):
        assert abs(np.median(errors)) < 1
        assert np.quantile(np.abs(errors), 0.9) < 2


def test_record_matches_the_committed_results(detector):
    measured = json.loads((RESULTS / "run.json").read_text(encoding="utf-8"))["detector"]
    record = detector.config.detector
    assert record.threshold == measured["threshold"]
    assert record.unheard == measured["unheard"]
    for name in ("area", "accepted", "false_accepts"):
        assert getattr(record, name).value == measured[name]["value"]
