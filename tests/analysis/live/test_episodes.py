"""Where a cry begins and ends, from numbers alone."""

from itertools import pairwise

import numpy as np
import pytest

from analysis.live.episodes import Episodes, Loudness


def run(probabilities, loud=None, reach=1.0):
    """Quarter seconds in, finished episodes and the states at each out."""
    episodes, found, states = Episodes(0.6, reach), [], []
    for i, p in enumerate(probabilities):
        time = (i + 1) / 4
        found += episodes.step(time, p, bool(loud and loud[i]))
        states.append(episodes.state(time))
    return found + episodes.finish(), states


def test_a_cry_lasts_until_a_second_and_a_half_below_the_threshold():
    found, states = run([0.1] * 8 + [0.9] * 8 + [0.59] * 8)
    assert [(e.kind, e.start, e.end, e.peak) for e in found] == [("cry", 1.25, 3.0, 0.9)]
    assert states == ["quiet"] * 8 + ["cry"] * 13 + ["quiet"] * 3


def test_a_pause_for_breath_does_not_end_it_and_a_longer_one_does():
    once, _ = run([0.9] * 4 + [0] * 5 + [0.7] * 4)
    twice, _ = run([0.9] * 4 + [0] * 14 + [0.7] * 4)
    assert [e.kind for e in once] == ["cry"]
    assert [e.kind for e in twice] == ["cry", "cry"]
    assert twice[0].end <= twice[1].start


def test_loud_sound_without_a_cry_is_an_episode_of_its_own():
    found, states = run([0.3] * 4 + [0.4] * 8 + [0.1] * 12, [0] * 4 + [1] * 8 + [0] * 12)
    assert [(e.kind, e.start, e.end, e.peak) for e in found] == [("sound", 1.0, 3.0, 0.4)]
    assert states[4:9] == ["undecided"] * 5
    assert states[9:12] == ["sound"] * 3
    assert states[-1] == "quiet"


def test_a_knock_is_no_line():
    assert run([0] * 20, [0] * 4 + [1] + [0] * 15)[0] == []


def test_sound_that_turns_out_to_be_a_cry_is_its_beginning():
    found, _ = run([0] * 4 + [0.3] * 4 + [0.9] * 8, [0] * 4 + [1] * 12)
    assert [(e.kind, e.start) for e in found] == [("cry", 1.0)]


def test_a_detector_that_is_quick_does_not_date_a_cry_before_its_sound():
    found, _ = run([0] * 8 + [0.2] + [0.9] * 8 + [0] * 8, [0] * 8 + [1] * 9 + [0] * 8)
    assert [(e.kind, e.start) for e in found] == [("cry", 2.0)]


def test_a_cry_ends_where_it_is_quiet_and_not_where_the_detector_still_remembers_it():
    found, _ = run([0] * 4 + [0.9] * 16 + [0] * 8, [0] * 3 + [1] * 8 + [0] * 17)
    assert [(e.kind, e.end) for e in found] == [("cry", 2.75)]


def test_a_cry_that_is_followed_by_speech_ends_where_the_detector_says():
    found, _ = run([0.9] * 12 + [0] * 8, [1] * 20)
    assert [e.kind for e in found] == ["cry", "sound"]
    assert found[0].end == 2.0
    assert found[1].start >= 4.0


def test_longer_sound_before_a_cry_is_rejected_up_to_it():
    found, _ = run([0.2] * 20 + [0.9] * 8, [1] * 28)
    assert [e.kind for e in found] == ["sound", "cry"]
    assert found[0].end <= found[1].start == pytest.approx(5.25 - 1.0)


def test_no_two_episodes_overlap_whatever_comes():
    rng = np.random.default_rng(0)
    for _ in range(50):
        walk = np.clip(rng.normal(0, 0.25, 400).cumsum() % 2, 0, 1)
        found, _ = run(list(walk), list(rng.random(400) < 0.4), reach=1.375)
        assert all(e.start < e.end for e in found)
        assert all(a.end <= b.start for a, b in pairwise(found))


def test_loudness_learns_the_background():
    rng, loudness = np.random.default_rng(0), Loudness()
    hum = [loudness(0.003 * rng.standard_normal(4000)) for _ in range(60)]
    assert not any(hum)
    assert loudness(0.03 * rng.standard_normal(4000))
    assert not loudness(np.zeros(4000))
    assert Loudness()(0.1 * rng.standard_normal(4000))  # at once, with nothing to compare
