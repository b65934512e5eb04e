"""Synthetic sounds: always the same, never two alike, and what their names say."""

from functools import lru_cache

import numpy as np
import pytest

from train.data.synthetic_sounds import KINDS, RATE, SECONDS, make_sound

sound = lru_cache(make_sound)


@pytest.mark.parametrize("kind", KINDS)
def test_a_sound_is_the_same_each_time_and_differs_from_the_next(kind):
    first, again, other = sound(kind, 1), make_sound(kind, 1), sound(kind, 2)
    assert first.shape == (round(SECONDS * RATE),)
    assert first.dtype == np.float32
    assert np.abs(first).max() == pytest.approx(0.5, abs=1e-6)
    np.testing.assert_array_equal(first, again)
    assert abs(np.corrcoef(first, other)[0, 1]) < 0.95
