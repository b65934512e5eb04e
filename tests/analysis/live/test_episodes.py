"""Check where cries begin and end, from detector scores and loudness alone."""

from itertools import pairwise

import numpy as np
import pytest

from analysis.live.episodes import Episodes, Loudness


def run(probabilities, loud=None, reach=1.0, maybe=1.0):
    """Feed a score per quarter second; return finished episodes, and the state at each step."""
    episodes, found, states = Episodes(0.6, reach, maybe), [], []
    for i, p in enumerate(probabilities):
        time = (i + 1) / 4
        found += episodes.step(time, p, bool(loud and loud[i]))
        states.append(episodes.state(time, p))
    return found + episodes.finish(), states


@pytest.mark.parametrize(
    ("probabilities", "loud", "expected"),
    [
        # A cry ends after 1.5 s below the threshold.
        ([0.1] * 8 + [0.9] * 8 + [0.59] * 8, None, [("cry", 1.25, 3.0)]),
        # A pause for breath does not end it, but a longer one does.
        ([0.9] * 4 + [0] * 5 + [0.7] * 4, None, [("cry", 0.0, 2.25)]),
        ([0.9] * 4 + [0] * 14 + [0.7] * 4, None, [("cry", 0.0, 0.25), ("cry", 3.75, 4.5)]),
        # A single knock is not logged.
        ([0] * 20, [0] * 4 + [1] + [0] * 15, []),
        # Sound just before a cry is the beginning of the cry.
        ([0] * 4 + [0.3] * 4 + [0.9] * 8, [0] * 4 + [1] * 12, [("cry", 1.0, 3.0)]),
        # A cry does not start before its sound, even if the detector responds early.
        ([0] * 8 + [0.2] + [0.9] * 8 + [0] * 8, [0] * 8 + [1] * 9 + [0] * 8, [("cry", 2.0, 3.25)]),
        # A cry ends where it becomes quiet, not where the detector's score falls.
        ([0] * 4 + [0.9] * 16 + [0] * 8, [0] * 3 + [1] * 8 + [0] * 17, [("cry", 0.75, 2.75)]),
        # A cry followed by speech ends where the detector's score falls.
        ([0.9] * 12 + [0] * 8, [1] * 20, [("cry", 0.0, 2.0), ("sound", 4.25, 5.0)]),
        # Longer sound before a cry is logged as rejected, up to the cry.
        ([0.2] * 20 + [0.9] * 8, [1] * 28, [("sound", 0.0, 4.25), ("cry", 4.25, 6.0)]),
    ],
)
def test_start_and_end_of_episodes(probabilities, loud, expected):
    found, _ = run(probabilities, loud)
    assert [(e.kind, e.start, e.end) for e in found] == expected
    assert all(e.peak == max(probabilities) for e in found if e.kind == "cry") or len(found) > 1


def test_state_follows_the_sound():
    _, states = run([0.1] * 8 + [0.9] * 8 + [0.59] * 8)
    assert states == ["quiet"] * 8 + ["cry"] * 13 + ["quiet"] * 3
    found, states = run([0.3] * 4 + [0.4] * 8 + [0.1] * 12, [0] * 4 + [1] * 8 + [0] * 12)
    assert [(e.kind, e.start, e.end, e.peak) for e in found] == [("sound", 1.0, 3.0, 0.4)]
    assert states[4:12] == ["undecided"] * 5 + ["sound"] * 3
    assert states[-1] == "quiet"
    found, states = run([0.3] * 4 + [0.4] * 8 + [0.1] * 12, [0] * 4 + [1] * 8 + [0] * 12, maybe=0.4)
    assert [e.kind for e in found] == ["maybe"]
    assert states[4:13] == ["maybe"] * 8 + ["sound"]


def test_episodes_never_overlap():
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
    assert Loudness()(0.1 * rng.standard_normal(4000))  # the first block, without a background
