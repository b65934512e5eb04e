"""Test the 26 features against librosa and the challenge's tables, and batches against items."""

import librosa
import numpy as np
import pandas as pd
import pytest
import torch

from cry_model import AcousticConfig, Recording
from cry_model.sound import audio
from cry_model.sound.acoustic_features import HOP, RATE, AcousticFeatures, AcousticFrontEnd
from cry_model.sound.front_end_config import FEATURES
from cry_model.sound.frontend import resample

AUTHENTIC = ("sleepy_0.wav", "test_0.wav", "test_1.wav", "test_2.wav", "test_3.wav")
MFCC = FEATURES.index("mfcc1")


@torch.no_grad()
def features(wave):
    return AcousticFeatures()(torch.as_tensor(wave)[None])[0].numpy()


def noise(seconds, level=0.1, rate=RATE, seed=0):
    samples = np.random.default_rng(seed).standard_normal(round(seconds * rate))
    return (level * samples).astype(np.float32)


def by_librosa(wave):
    """Compute the 26 features with librosa, (26, frames)."""
    of, given = librosa.feature, {"y": wave, "sr": RATE}
    shape = (of.spectral_centroid, of.spectral_bandwidth, of.spectral_rolloff)
    rows = [of.chroma_stft(**given).mean(0, keepdims=True), of.rms(y=wave)]
    rows += [feature(**given) for feature in shape]
    return np.vstack([*rows, of.zero_crossing_rate(wave), of.mfcc(**given)])


@pytest.mark.parametrize("name", ["noise", "pause", "cry"])
def test_features_match_librosa_in_every_frame(examples, name):
    wave = noise(3)
    if name == "pause":
        wave[RATE : 2 * RATE] = 0
    if name == "cry":
        wave = librosa.load(examples / "synthetic_rhythmic.wav", sr=RATE, duration=5)[0]
    ours, theirs = features(wave), by_librosa(wave)
    assert ours.shape == theirs.shape
    for feature, a, b in zip(FEATURES, ours, theirs, strict=True):
        if feature == "rolloff":  # rounding of the cumulative sum may move it by one bin
            assert np.abs(a - b).max() < 1.01 * RATE / 2048
            assert np.mean(np.abs(a - b) > 1) < 0.02
        else:
            atol = 1e-3 if "mfcc" in feature else 1e-5
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=atol, err_msg=feature)


@pytest.mark.parametrize("name", AUTHENTIC)
def test_mean_features_match_the_challenge_tables(data_root, name):
    folder = data_root / "challenge6"
    table = "train" if name == "sleepy_0.wav" else "test"
    rows = pd.read_csv(folder / f"{table}_features.csv", index_col="filename")
    expected = rows.loc[name, list(FEATURES)].to_numpy(float)
    recording = audio.load(folder / name)
    wave = resample(recording.waveform, recording.sample_rate, RATE)[: 15 * RATE]
    means = features(wave).mean(1)
    np.testing.assert_allclose(means[:MFCC], expected[:MFCC], rtol=0.005)
    np.testing.assert_allclose(means[MFCC:], expected[MFCC:], rtol=0, atol=0.2)


@torch.no_grad()
@pytest.mark.parametrize("seconds", [0.5, 0.777, 15])
def test_features_are_finite_and_independent_of_the_batch(seconds):
    levels = (0.0, 1e-12, 1e-4, 0.1, 100.0)
    waves = [noise(seconds, level, seed=number) for number, level in enumerate(levels)]
    batch = AcousticFeatures()(torch.from_numpy(np.stack(waves))).numpy()
    assert batch.shape == (len(waves), len(FEATURES), 1 + len(waves[0]) // HOP)
    assert np.isfinite(batch).all()
    for wave, together in zip(waves, batch, strict=True):
        np.testing.assert_allclose(together, features(wave), rtol=1e-5, atol=1e-4)


@pytest.mark.filterwarnings("ignore:Trying to estimate tuning")
def test_chroma_matches_librosa_without_peaks_to_tune_by():
    wave = (0.1 * np.sin(2 * np.pi * 60 * np.arange(RATE) / RATE)).astype(np.float32)
    np.testing.assert_allclose(features(wave)[0], by_librosa(wave)[0], atol=1e-4)


@pytest.fixture(scope="module")
def front_end():
    return AcousticFrontEnd(AcousticConfig())


def test_recordings_without_dc_are_unchanged(front_end, data_root):
    silent_ends = audio.load(np.pad(noise(1, rate=16_000), 8000), 16_000)
    for recording in (silent_ends, audio.load(data_root / "challenge6" / AUTHENTIC[0])):
        given = resample(recording.waveform, recording.sample_rate, 16_000, 256, 0.985)
        clip = front_end.prepare(recording)
        assert torch.equal(clip.waveform, given)
        assert clip.offset == 0


@pytest.mark.parametrize(("name", "offset"), [(AUTHENTIC[0], 0.002), (AUTHENTIC[3], -0.03)])
def test_dc_does_not_change_features(front_end, data_root, name, offset):
    """Compare the features with and without an offset, at the level of a faint cry, RMS 0.0185."""
    recording = audio.load(data_root / "challenge6" / name)
    wave = recording.waveform[: 5 * recording.sample_rate]
    wave = 0.0185 * (wave - wave.mean()) / wave.std()
    with torch.no_grad():
        without, having = (
            front_end(front_end.prepare(Recording(given, recording.sample_rate)).waveform[None])
            for given in (wave, wave + offset)
        )
    np.testing.assert_allclose(having, without, rtol=0.01, atol=0.02)
