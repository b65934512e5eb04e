"""The share of a track near the onsets, against plain loops and on tracks whose share is known."""

import numpy as np
import pytest

from train.onset_mass import heaviest, mass_above_median, near, share, shuffled_share

HOP, REACH = 0.02, 0.15
TIMES = 0.13 + np.arange(600) * HOP  # the front end cut off the beginning
ONSETS = np.array([0.5, 2.31, 2.4, 5.0, 8.888, 12.3])  # two overlap, one is behind the last frame


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def share_by_loop(track):
    ordered = sorted(track)
    half = len(ordered) // 2
    median = (ordered[half - 1] + ordered[half]) / 2
    inside = total = 0.0
    for time, value in zip(TIMES, track, strict=True):
        weight = max(value - median, 0.0)
        total += weight
        if min(abs(time - onset) for onset in ONSETS) <= REACH:
            inside += weight
    return inside / total


def test_the_share_is_that_of_a_plain_loop(rng):
    mask = near(TIMES, ONSETS, REACH)
    for _ in range(5):
        track = rng.gamma(0.5, size=len(TIMES))
        assert share(mass_above_median(track), mask) == pytest.approx(share_by_loop(track))


def test_a_track_that_peaks_at_the_onsets_has_all_its_mass_there():
    track = np.full(len(TIMES), 0.4)
    for onset in ONSETS[:-1]:
        track[np.abs(TIMES - onset).argmin()] = 0.9
    assert share(mass_above_median(track), near(TIMES, ONSETS, REACH)) == 1.0


def test_one_that_avoids_them_has_none_and_a_flat_one_the_share_of_the_time():
    mask = near(TIMES, ONSETS, REACH)
    assert share(mass_above_median(np.where(mask, 0.1, 0.1 + TIMES)), mask) == 0.0
    expected = sum(any(abs(t - o) <= REACH for o in ONSETS) for t in TIMES) / len(TIMES)
    assert 0 < expected < 0.2
    assert share(mass_above_median(np.full(len(TIMES), 0.7)), mask) == pytest.approx(expected)


def test_shuffling_takes_the_onsets_away(rng):
    """Whatever the track: over many shifts its share comes near to that of the time."""
    mask = near(TIMES, ONSETS, REACH)
    for track in (mask.astype(float), 1.0 - mask, rng.gamma(0.5, size=len(TIMES))):
        mass = mass_above_median(track)
        every = np.mean([share(np.roll(mass, i), mask) for i in range(len(mass))])
        assert every == pytest.approx(mask.mean())
        assert shuffled_share(mass, mask, 2000, rng) == pytest.approx(every, abs=0.02)


def test_the_heaviest_stretch_is_the_one_of_the_largest_sum(rng):
    for length in (1, 7, 50, 600):
        mass = rng.gamma(0.3, size=600)
        sums = [sum(mass[i : i + length]) for i in range(600 - length + 1)]
        assert heaviest(mass, length) == sums.index(max(sums))
