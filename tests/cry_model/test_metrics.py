"""Metrics against a second computation, by plain loops or by scikit-learn."""

import numpy as np
import pytest
from sklearn import metrics as sk

from cry_model import metrics
from tests.plain import bounds, plain

NAMES = ("a", "b", "c")


@pytest.fixture(scope="module")
def predictions():
    rng = np.random.default_rng(0)
    labels = rng.choice(3, 300, p=[0.7, 0.2, 0.1])
    logits = rng.normal(size=(300, 3)) + 1.2 * np.eye(3)[labels]
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    groups = [f"g{i}" for i in rng.integers(60, size=300)]
    return labels, probabilities, groups


@pytest.mark.parametrize("digits", [1, 9])
@pytest.mark.parametrize("name", metrics.METRICS)
def test_weighted_values_are_those_of_scikit_learn(predictions, name, digits):
    labels, p, _ = predictions
    w = np.random.default_rng(4).integers(1, 4, len(labels)).astype(float)
    p = p.round(digits)  # with many ties, and with none
    assert metrics.METRICS[name](labels, p, w) == pytest.approx(plain(name, labels, p, w))


def test_bootstrap_resamples_groups_not_clips():
    """Ten clips of each group agree, so the interval is that of the groups, not of the clips."""
    rng = np.random.default_rng(2)
    right = np.repeat(rng.random(40) < 0.5, 10)
    labels = np.zeros(400, dtype=int)
    p = np.where(right[:, None], [0.9, 0.1], [0.1, 0.9])
    grouped = metrics.bootstrap("accuracy", labels, p, np.repeat(np.arange(40), 10))
    single = metrics.bootstrap("accuracy", labels, p, np.arange(400))
    assert grouped.low < grouped.value < grouped.high
    theory = 2 * 1.96 * np.sqrt(right.mean() * (1 - right.mean()) / 40)
    assert grouped.high - grouped.low == pytest.approx(theory, rel=0.2)
    assert grouped.high - grouped.low > 2.5 * (single.high - single.low)


def test_evaluation_knows_majority_chance_and_support(predictions):
    labels, p, groups = predictions
    facts = {"dataset": "d", "protocol": "baby", "folds": 5, "seeds": (0,)}
    e = metrics.evaluate(labels, p, groups, range(300), NAMES, **facts)
    assert (e.chance, e.majority_label) == (pytest.approx(1 / 3), "a")
    assert e.majority_accuracy == pytest.approx(np.mean(labels == 0))
    assert e.support == {n: int(np.sum(labels == i)) for i, n in enumerate(NAMES)}
    assert (e.recordings, e.groups) == (300, len(set(groups)))
    recalls = sk.recall_score(labels, p.argmax(1), average=None)
    assert e.recall == pytest.approx(dict(zip(NAMES, recalls, strict=True)))
    assert e.better_than_chance
    shuffled = np.random.default_rng(3).permutation(p)
    e = metrics.evaluate(labels, shuffled, groups, range(300), NAMES, **facts)
    assert not e.better_than_chance


def test_a_difference_draws_the_same_groups_for_both():
    """Against a plain loop that copies the rows of a drawn group."""
    rng = np.random.default_rng(3)
    groups, truth = np.repeat([f"baby {i}" for i in range(12)], 4), rng.integers(3, size=48)
    before = rng.dirichlet(np.ones(3), 48)
    after = 0.7 * before + 0.3 * np.eye(3)[truth]
    found = metrics.bootstrap_difference("balanced_accuracy", truth, after, before, groups.tolist())

    def gain(rows):
        right = ((p[rows].argmax(1) == truth[rows]).astype(float) for p in (after, before))
        new, old = ([np.mean(r[truth[rows] == c]) for c in set(truth[rows])] for r in right)
        return np.mean(new) - np.mean(old)

    assert (found.low, found.high) == pytest.approx(bounds(gain, groups, 1000))


@pytest.mark.parametrize("digits", [9, 2, 0])
def test_pairs_are_those_of_a_look_at_every_pair(digits):
    rng = np.random.default_rng(5)
    labels, member = rng.integers(4, size=400), rng.integers(30, size=400)
    p = rng.dirichlet(np.ones(4), 400).round(digits)
    found, counts = metrics.pairs_of(labels, p, member, 30)
    for c, (rows, columns, wins) in enumerate(found):
        expected, own = np.zeros((30, 30)), labels == c
        ahead = np.sign(p[own, c][:, None] - p[~own, c]) / 2 + 0.5
        np.add.at(expected, (member[own][:, None], member[~own]), ahead)
        np.testing.assert_array_equal(wins, expected[np.ix_(rows, columns)])
        assert wins.sum() == expected.sum()
        np.testing.assert_array_equal(counts[:, c], np.bincount(member[own], minlength=30))


@pytest.mark.parametrize("name", ["balanced_accuracy", "macro_auc"])
def test_many_groups_have_the_interval_of_all_of_them(name, monkeypatch):
    """Put together at random, against each for itself."""
    rng = np.random.default_rng(6)
    labels = rng.choice(3, 4000, p=[0.7, 0.2, 0.1])
    logits = rng.normal(size=(4000, 3)) + 1.2 * np.eye(3)[labels]
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    few = metrics.bootstrap(name, labels, p, np.arange(4000))
    monkeypatch.setattr(metrics, "MOST_GROUPS", 4000)
    every = metrics.bootstrap(name, labels, p, np.arange(4000))
    assert few.value == every.value
    assert few.high - few.low == pytest.approx(every.high - every.low, rel=0.15)
