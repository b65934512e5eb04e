"""``cry_model.audio``: arrays and tensors."""

from __future__ import annotations

import io

import numpy as np
import pytest
import soundfile
import torch

from cry_model import CryClassifier, audio
from cry_model.checkpoint import ASSETS
from tests.cry_model.audio_checks import (
    RATE,
)
from tests.cry_model.encode import tone, with_soundfile


@pytest.mark.parametrize(
    ("container", "subtype", "dtype"),
    [
        ("WAV", "PCM_16", "int16"),
        ("WAV", "PCM_24", "int32"),
        ("WAV", "PCM_32", "int32"),
        ("WAV", "FLOAT", "float32"),
        ("WAV", "DOUBLE", "float64"),
        ("FLAC", "PCM_16", "int16"),
    ],
)
@pytest.mark.parametrize("channels", [1, 2])
def test_arrays_like_files(container, subtype, dtype, channels):
    data = with_soundfile(tone(RATE, channels=channels), RATE, container, subtype)
    samples, rate = soundfile.read(io.BytesIO(data), dtype=dtype)
    expected = audio.load(data).waveform
    for array in (samples, samples.T, torch.from_numpy(samples), samples[::-1][::-1]):
        assert torch.equal(audio.load(array, rate).waveform, expected)


def test_uint8_like_a_file():
    data = with_soundfile(tone(RATE), RATE, "WAV", "PCM_U8")
    samples = np.frombuffer(data[-RATE:], dtype=np.uint8)  # read-only, too
    assert torch.equal(audio.load(samples, RATE).waveform, audio.load(data).waveform)


@pytest.mark.parametrize("dtype", [f"{u}int{bits}" for u in ("", "u") for bits in (8, 16, 32, 64)])
def test_integers_fill_minus_one_to_one(dtype):
    low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
    waveform = audio.load(np.array([low, high] * RATE, dtype=dtype), RATE).waveform
    assert waveform.min() == -1
    assert 1 - 2**-7 <= waveform.max() <= 1
    middle = (int(low) + int(high) + 1) // 2
    samples = np.array([low, middle] * RATE, dtype=dtype)
    assert audio.load(samples, RATE).waveform.max() == 0


def test_small_unsigned_values_are_exact():
    samples = np.array([0, 2**31 + 1] * RATE, dtype=np.uint32)
    assert audio.load(samples, RATE).waveform.max() == 2**-31


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_float_tensors(dtype):
    samples = torch.from_numpy(tone(RATE, peak=3.0)[:, 0]).to(getattr(torch, dtype))
    samples.requires_grad_()
    recording = audio.load(samples, RATE)
    assert torch.equal(recording.waveform, samples.detach().float())
    assert not recording.waveform.requires_grad


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "longdouble", ">f4", ">i2"])
def test_float_and_big_endian_arrays(dtype):
    scale = 2**15 if dtype == ">i2" else 1
    samples = (tone(RATE)[:, 0] * scale).astype(dtype)
    waveform = audio.load(samples, RATE).waveform.numpy()
    np.testing.assert_allclose(waveform, samples.astype(np.float64) / scale, atol=1e-7)


def test_the_smaller_dimension_is_the_channels():
    samples = tone(RATE, channels=2)
    samples[:, 1] = 0
    expected = torch.from_numpy(samples[:, 0] / 2)
    assert torch.equal(audio.load(samples, RATE).waveform, expected)
    assert torch.equal(audio.load(samples.T, RATE).waveform, expected)
    for column in (samples[:, :1], samples[:, :1].T):
        assert torch.equal(audio.load(column, RATE).waveform, torch.from_numpy(samples[:, 0]))


def test_masks_are_ignored():
    samples = np.ma.masked_less(tone(RATE)[:, 0], 0)
    assert torch.equal(audio.load(samples, RATE).waveform, torch.from_numpy(samples.data))


@pytest.mark.parametrize("as_tensor", [False, True])
def test_the_result_shares_no_memory(as_tensor):
    samples = tone(RATE)[:, 0]
    recording = audio.load(torch.from_numpy(samples) if as_tensor else samples, RATE)
    again = audio.load(recording)
    samples[:] = 0
    recording.waveform[:] = 0
    assert again.waveform.abs().max() > 0.4


def test_a_recording_is_checked_again():
    recording = audio.load(tone(RATE), RATE)
    again = audio.load(recording, 44_100)
    assert again.sample_rate == RATE
    assert torch.equal(again.waveform, recording.waveform)
    with pytest.raises(audio.SampleRateError):
        audio.load(audio.Recording(recording.waveform, 0))


@pytest.mark.parametrize("rate", [RATE, float(RATE), np.int64(RATE), np.float32(RATE)])
def test_sample_rates(rate):
    recording = audio.load(tone(RATE), rate)
    assert type(recording.sample_rate) is int
    assert recording.sample_rate == RATE


@pytest.mark.parametrize("scale", [2.0**15, 2.0**31, 2.0**32])
def test_integers_stored_as_floats_are_answered(scale):
    """No finite sample that is let in may end in anything but an answer."""
    classifier = CryClassifier.from_pretrained(detector=True)
    features = CryClassifier.from_pretrained(
        ASSETS / "challenge6-features-16khz-feature-mlp", detector=False
    )
    samples = tone(RATE)[:, 0] * np.float32(2 * scale)
    for model in (classifier, features):
        assert sum(model.predict(samples, RATE).probabilities.values()) == pytest.approx(1)
    with pytest.raises(audio.InvalidSamplesError):
        audio.load(samples * np.float32(2**33 / scale), RATE)


def test_limits_are_allowed():
    assert audio.load(tone(8_000, 0.5), 8_000).duration == 0.5
    assert audio.load(tone(8_000, 600), 8_000).duration == 600
    assert audio.load(with_soundfile(tone(8_000, 600), 8_000)).duration == 600
    assert audio.load(tone(192_000, 0.5), 192_000).duration == 0.5
