"""A stream is what its chunks are, however they were cut."""

import numpy as np
import pytest
import torch

from analysis.live.stream import RATE, Resampler, Rolling, mono
from cry_model.sound import audio
from cry_model.sound.frontend import resample


@pytest.mark.parametrize("rate", [8000, 16000, 24000, 44100, 48000, 44101])
def test_chunks_resample_as_the_whole_does(rate):
    """At the usual rates it holds back less than the first score is early by."""
    rng = np.random.default_rng(rate)
    wave = rng.standard_normal(2 * rate).astype("f4")
    whole = resample(torch.from_numpy(wave), rate, RATE).numpy()
    resampler, joined = Resampler(rate), np.zeros(0)
    cuts = np.sort(rng.integers(0, len(wave), 25))
    for cut, part in zip([*cuts, len(wave)], np.split(wave, cuts), strict=True):
        joined = np.concatenate([joined, resampler(part)])
        assert rate == 44101 or cut * RATE / rate - len(joined) <= 500
    assert len(joined) > len(whole) - 0.08 * RATE
    np.testing.assert_allclose(joined, whole[: len(joined)], atol=1e-5)


@pytest.mark.parametrize(
    ("chunk", "expected"),
    [
        (np.array([16384, -32768], np.int16), [0.5, -1]),
        (np.array([2**30, 0], np.int32), [0.5, 0]),
        (np.array([192, 0], np.uint8), [0.5, -1]),
        (np.array([0.25, -0.5]), [0.25, -0.5]),
        (np.array([[0.5, 0.0], [1.0, 1.0], [0, 0]], np.float32), [0.25, 1, 0]),
        (np.array([[16384, 0]], np.int16), [0.25]),
        (np.array([3.0, -7.0], np.float32), [1, -1]),
        (np.array([np.nan, np.inf, 0.5]), [0, 0, 0.5]),
        (np.zeros(0, np.int16), []),
        (np.zeros((0, 2), np.float32), []),
    ],
)
def test_any_samples_become_mono_between_minus_one_and_one(chunk, expected):
    assert mono(chunk).tolist() == pytest.approx(expected)


def test_what_is_no_samples_or_no_rate_of_a_microphone_is_a_sentence():
    for chunk in (np.array(["x"]), np.zeros((2, 2, 2)), np.array([1j])):
        with pytest.raises(audio.InvalidSamplesError, match="no samples"):
            mono(chunk)
    for rate in (0, 4000, 1_000_000):
        with pytest.raises(audio.SampleRateError, match="out of reach"):
            Resampler(rate)


def test_a_rolling_array_keeps_the_last_and_never_grows():
    rolling, values = Rolling((2, 5), -1), np.arange(26.0).reshape(2, 13)
    for cut in np.split(values, [0, 1, 4, 12], axis=1):
        rolling.push(cut)
        assert rolling.values.shape == (2, 5)
    assert rolling.values.tolist() == values[:, -5:].tolist()
    rolling.push(values)
    assert rolling.values.tolist() == values[:, -5:].tolist()
    rolling.clear()
    assert (rolling.values == -1).all()
