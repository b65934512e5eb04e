"""Test metrics and intervals against scikit-learn and plain loops."""

import numpy as np
import pandas as pd
import pytest
from scipy.special import softmax
from sklearn import metrics as sk

from cry_model import metrics
from cry_model.results import probability_columns, score
from tests.plain import bounds, plain

NAMES = ("a", "b", "c")


def simulated(count, rng):
    labels = rng.choice(3, count, p=[0.7, 0.2, 0.1])
    return labels, softmax(rng.normal(size=(count, 3)) + 1.2 * np.eye(3)[labels], axis=1)


@pytest.fixture(scope="module")
def predictions():
    rng = np.random.default_rng(0)
    labels, probabilities = simulated(300, rng)
    return labels, probabilities, [f"g{i}" for i in rng.integers(60, size=300)]


@pytest.mark.parametrize("digits", [1, 9])  # with many ties, or none
@pytest.mark.parametrize("name", metrics.METRICS)
def test_metrics_and_intervals_match_scikit_learn(predictions, name, digits):
    labels, p, groups = predictions
    p = p.round(digits)
    found = metrics.bootstrap(name, labels, p, groups, repetitions=60)
    assert found.value == pytest.approx(plain(name, labels, p))
    expected = bounds(lambda rows: plain(name, labels[rows], p[rows]), groups, 60)
    assert (found.low, found.high) == pytest.approx(expected)


def test_difference_is_a_paired_bootstrap_over_groups(predictions):
    labels, p, groups = predictions
    before = np.random.default_rng(3).permutation(p)

    def gain(rows):
        right = ((q[rows].argmax(1) == labels[rows]).astype(float) for q in (p, before))
        new, old = ([np.mean(r[labels[rows] == c]) for c in set(labels[rows])] for r in right)
        return np.mean(new) - np.mean(old)

    found = metrics.bootstrap_difference("balanced_accuracy", labels, p, before, groups)
    assert (found.low, found.high) == pytest.approx(bounds(gain, groups, 1000))


def test_evaluation_reports_majority_chance_and_support(predictions):
    labels, p, groups = predictions
    facts = {"dataset": "d", "protocol": "baby", "folds": 5}
    table = pd.DataFrame(p, columns=probability_columns(NAMES)).assign(
        seed=0, group=groups, recording=range(300), label=[NAMES[i] for i in labels]
    )
    e = score(table, NAMES, **facts)
    assert (e.chance, e.majority_label) == (pytest.approx(1 / 3), "a")
    assert e.majority_accuracy == pytest.approx(np.mean(labels == 0))
    assert e.support == {n: int(np.sum(labels == i)) for i, n in enumerate(NAMES)}
    assert (e.recordings, e.groups, e.seeds) == (300, len(set(groups)), (0,))
    recalls = sk.recall_score(labels, p.argmax(1), average=None)
    assert e.recall == pytest.approx(dict(zip(NAMES, recalls, strict=True)))
    assert e.better_than_chance
    table["label"] = np.random.default_rng(3).permutation(table["label"])
    assert not score(table, NAMES, **facts).better_than_chance


@pytest.mark.parametrize("name", ["balanced_accuracy", "macro_auc"])
def test_pooling_many_groups_keeps_the_interval(name, monkeypatch):
    """Compare groups pooled at random with resampling each of 2,000 groups on its own."""
    labels, p = simulated(2000, np.random.default_rng(6))
    few = metrics.bootstrap(name, labels, p, np.arange(2000))
    monkeypatch.setattr(metrics, "MOST_GROUPS", 2000)
    every = metrics.bootstrap(name, labels, p, np.arange(2000))
    assert few.value == every.value
    assert few.high - few.low == pytest.approx(every.high - every.low, rel=0.15)
