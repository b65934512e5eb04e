"""The detector that is shipped, on real recordings and on what its record says."""

import json
from pathlib import Path

import librosa
import numpy as np
import pytest
import torch

from cry_model import CryDetector, Recording, audio
from cry_model.detector import DEFAULT_DETECTOR

RESULTS = Path(__file__).parents[2] / "assets" / "results" / "detector" / "baby" / "ecapa-tdnn"


@pytest.fixture(scope="module")
def detector():
    return CryDetector.from_pretrained()


def resampled(recording, rate):
    wave = librosa.resample(
        recording.waveform.numpy(), orig_sr=recording.sample_rate, target_sr=rate
    )
    return audio.load(wave, rate)


@pytest.mark.parametrize("rate", [8000, 16_000, 44_100, 48_000])
@pytest.mark.parametrize("decibels", [-12, 12])
def test_rate_and_level_do_not_matter(detector, data_root, rate, decibels):
    files = sorted((data_root / "donateacry_ios").glob("*.flac"))[::100]
    files += sorted((data_root / "esc10").glob("*/*.ogg"))[::60]
    for file in files:
        recording = audio.load(file)
        other = resampled(recording, rate)
        louder = Recording(other.waveform * 10 ** (decibels / 20), rate)
        assert detector.scan(louder).score == pytest.approx(
            detector.scan(recording).score, abs=0.05
        )


def test_cries_of_a_corpus_that_it_never_heard_are_cries(detector, data_root):
    for file in sorted((data_root / "challenge6").glob("*.wav")):
        assert detector.scan(audio.load(file)).is_cry, file.name


def test_our_chime_is_none(detector, examples):
    assert not detector.scan(audio.load(examples / "synthetic_door_chime.wav")).is_cry


@pytest.fixture(scope="module")
def faint(detector, data_root):
    """Cries at RMS 0.0185 that are heard."""
    files = sorted(data_root.glob("donateacry/*/*.wav"))[::45]
    files += sorted(data_root.glob("esc10/*Baby cry/*.ogg"))[::8]
    found = []
    for recording in map(audio.load, files):
        wave = recording.waveform[: 4 * recording.sample_rate]
        wave = 0.0185 * (wave - wave.mean()) / wave.std()
        found.append(Recording(wave, recording.sample_rate))
    found = [recording for recording in found if detector.scan(recording).is_cry]
    assert len(found) > 12
    return found


@pytest.mark.parametrize("hertz", [50, 60, 100, 120])
@pytest.mark.parametrize("peak", [0.01, 0.03])
def test_hum_of_the_mains_hides_no_cry(detector, faint, hertz, peak):
    heard = 0
    for recording in faint:
        time = torch.arange(len(recording.waveform)) / recording.sample_rate
        wave = recording.waveform + peak * torch.sin(2 * torch.pi * hertz * time)
        heard += detector.scan(Recording(wave, recording.sample_rate)).is_cry
    assert heard >= 0.8 * len(faint)


def test_hum_alone_is_no_cry(detector):
    time = torch.arange(4 * 16_000) / 16_000
    for hertz in (50, 60, 100, 120):
        hum = torch.sin(2 * torch.pi * hertz * time)
        hiss = 1e-3 * torch.randn(len(time), generator=torch.Generator().manual_seed(hertz))
        for peak in (0.003, 0.03, 0.3):
            assert not detector.scan(Recording(peak * hum + hiss, 16_000)).is_cry


def test_a_cry_is_found_where_it_is(detector, data_root):
    file = next(iter(sorted((data_root / "challenge6").glob("test_1.wav"))))
    cry = resampled(audio.load(file), 16_000).waveform[: 6 * 16_000].numpy()
    rng = np.random.default_rng(0)
    wave = 1e-3 * rng.standard_normal(60 * 16_000)
    wave[20 * 16_000 : 26 * 16_000] += 0.3 * cry / np.abs(cry).max()
    track = detector.scan(audio.load(wave, 16_000))
    assert track.is_cry
    (first, *rest) = track.spans
    assert 18.5 < first.start < 21.5
    assert 24 < (rest[-1] if rest else first).end < 27.5


def test_its_record_is_that_of_the_results(detector):
    measured = json.loads((RESULTS / "run.json").read_text(encoding="utf-8"))["detector"]
    record = detector.config.detector
    assert record.threshold == measured["threshold"]
    assert record.unheard == measured["unheard"]
    for name in ("area", "accepted", "false_accepts"):
        assert getattr(record, name).value == measured[name]["value"]


def test_it_is_small(detector):
    assert sum(p.numel() for p in detector.model.parameters()) < 300_000
    assert sum(file.stat().st_size for file in DEFAULT_DETECTOR.iterdir()) < 1e6
