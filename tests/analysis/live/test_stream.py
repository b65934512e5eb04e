"""A stream is what its chunks are, however they were cut."""

import numpy as np
import pytest
import torch

from analysis.live.stream import RATE, Resampler, Rolling
from cry_model.sound import audio
from cry_model.sound.frontend import resample


@pytest.mark.parametrize("rate", [8000, 16000, 24000, 44100, 48000])
def test_chunks_resample_as_the_whole_does(rate):
    """It holds back less than the first score is early by."""
    rng = np.random.default_rng(rate)
    wave = rng.standard_normal(2 * rate).astype("f4")
    whole = resample(torch.from_numpy(wave), rate, RATE).numpy()
    resampler, joined = Resampler(rate), np.zeros(0)
    cuts = np.sort(rng.integers(0, len(wave), 25))
    for cut, part in zip([*cuts, len(wave)], np.split(wave, cuts), strict=True):
        joined = np.concatenate([joined, resampler(part)])
        assert cut * RATE / rate - len(joined) <= 500
    assert len(joined) > len(whole) - 0.08 * RATE
    np.testing.assert_allclose(joined, whole[: len(joined)], atol=1e-5)


def test_no_rate_of_a_microphone_is_a_sentence():
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
