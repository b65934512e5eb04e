"""Looks become cells, cells become cries."""

import numpy as np
import pytest

from cry_model import DetectionScores, Span


def track(values, duration=None, step=0.5, seconds=2.0, threshold=0.5):
    starts = tuple(i * step for i in range(len(values)))
    length = starts[-1] + seconds if duration is None else duration
    return DetectionScores(starts, seconds, tuple(values), length, threshold)


def by_hand(values, width=4):
    """The mean over the looks that cover each cell."""
    cells = len(values) + width - 1
    return [np.mean([v for i, v in enumerate(values) if i <= c < i + width]) for c in range(cells)]


def test_a_cell_is_the_mean_of_the_looks_that_cover_it():
    values = np.random.default_rng(0).random(9)
    found = track(values.tolist())
    np.testing.assert_allclose(found.cells, by_hand(values), rtol=1e-6)
    assert found.score == pytest.approx(max(by_hand(values)))


def test_one_look_in_the_middle_makes_no_cry_and_four_do():
    assert track([0, 0, 0, 0, 1, 0, 0, 0, 0]).spans == ()
    quiet = [0.0] * 8
    found = track([*quiet, 1, 1, 1, 1, *quiet], threshold=0.6)
    # Looks from 4.0 to 5.5 s hear it: the cells that at least half of their looks hear.
    assert found.spans == (Span(4.5, 7.0),)
    assert found.peak(found.spans[0]) == 1.0


def test_there_is_a_cry_exactly_where_the_score_reaches_the_threshold():
    rng = np.random.default_rng(1)
    for _ in range(200):
        found = track(rng.random(rng.integers(1, 20)).tolist(), threshold=rng.uniform(0.3, 0.8))
        assert found.is_cry == bool(found.spans)
        for span in found.spans:
            assert 0 <= span.start < span.end <= found.duration
            assert found.threshold <= found.peak(span) <= found.score + 1e-6


def test_a_pause_for_breath_does_not_end_a_cry_and_a_longer_one_does():
    loud, quiet = [1.0] * 6, [0.0]
    assert len(track([*loud, *quiet * 3, *loud]).spans) == 1
    assert len(track([*loud, *quiet * 6, *loud]).spans) == 2


def test_a_short_recording_is_one_cell():
    found = track([0.7], duration=0.8)
    assert found.spans == (Span(0.0, 0.8),)


def test_a_cry_ends_with_its_recording():
    found = track([0.9] * 5, duration=3.7)
    assert found.spans == (Span(0.0, 3.7),)


def test_a_cry_lasts_while_it_stays_near_the_threshold():
    found = track([*[0.7] * 8, *[0.95] * 4, *[0.5] * 8, *[0.1] * 8], threshold=0.9)
    assert len(found.spans) == 1
    assert found.spans[0].start == 0
    assert found.spans[0].end == pytest.approx(6.5, abs=1)
    assert track([0.7] * 20, threshold=0.9).spans == ()
