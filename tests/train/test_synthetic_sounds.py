"""Synthetic sounds: always the same, never two alike, and what their names say."""

from functools import lru_cache

import numpy as np
import pytest

from train.data.synthetic_sounds import KINDS, RATE, SECONDS, make_sound

sound = lru_cache(make_sound)


def spectrum(wave):
    return np.abs(np.fft.rfft(wave)) ** 2, np.fft.rfftfreq(len(wave), 1 / RATE)


@pytest.mark.parametrize("kind", KINDS)
def test_a_sound_is_the_same_each_time_and_differs_from_the_next(kind):
    first, again, other = sound(kind, 1), make_sound(kind, 1), sound(kind, 2)
    assert first.shape == (round(SECONDS * RATE),)
    assert first.dtype == np.float32
    assert np.abs(first).max() == pytest.approx(0.5, abs=1e-6)
    np.testing.assert_array_equal(first, again)
    assert abs(np.corrcoef(first, other)[0, 1]) < 0.95


@pytest.mark.parametrize("kind", KINDS)
def test_a_sound_lies_in_the_band_that_the_detector_hears(kind):
    shares = []
    for number in range(3):
        power, hz = spectrum(sound(kind, number))
        shares.append(power[(hz > 50) & (hz < 3400)].sum() / power.sum())
    assert np.median(shares) > 0.05


@pytest.mark.parametrize(("kind", "tonal"), [("siren", True), ("hum", True), ("fan", False)])
def test_tones_are_tones_and_noise_is_noise(kind, tonal):
    flatness = []
    for number in range(6):
        frame = make_sound(kind, number)[RATE : RATE + 2048] * np.hanning(2048)
        power, hz = spectrum(frame)
        power = power[(hz > 100) & (hz < 3400)] + 1e-20
        flatness.append(np.exp(np.log(power).mean()) / power.mean())
    assert (np.median(flatness) < 0.12) == tonal


def test_an_unknown_kind_is_refused():
    with pytest.raises(ValueError, match="unicorn"):
        make_sound("unicorn", 0)
