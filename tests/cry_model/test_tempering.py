"""Temperatures against plain computations with scipy."""

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax

from cry_model.calibration import apart, crossed_temperatures, fit_temperature, group_weights


def one_hot(labels, classes):
    return np.eye(classes)[labels]


def by_scipy(probabilities, labels, weights):
    """The temperature of the least log loss, with another optimiser on the plain definition."""

    def loss(inverse):
        logs = log_softmax(np.log(probabilities) * inverse, axis=1)
        return -(weights * logs[np.arange(len(labels)), labels]).sum()

    return 1 / minimize(loss, [1.0], method="BFGS", tol=1e-10).x[0]


def test_every_group_weighs_alike_and_so_do_its_recordings():
    weights = group_weights(["a", "b", "a", "c", "a"])
    np.testing.assert_allclose(weights, [1 / 9, 1 / 3, 1 / 9, 1 / 3, 1 / 9])


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.5])
def test_the_temperature_that_labels_were_drawn_with_is_found(temperature):
    rng = np.random.default_rng(1)
    logits = rng.normal(0, 2, (20_000, 4))
    labels = (softmax(logits / temperature, axis=1).cumsum(1) < rng.random((20_000, 1))).sum(1)
    probabilities = softmax(logits, axis=1)
    weights = np.full(20_000, 1 / 20_000)
    found = fit_temperature(probabilities, one_hot(labels.clip(max=3), 4), weights)
    assert found == pytest.approx(temperature, rel=0.05)


def test_a_large_group_has_one_voice_in_the_temperature():
    sure = np.array([[0.9, 0.1]])
    probabilities = np.repeat(sure, 100, axis=0)
    wrong_at_first = one_hot((np.arange(100) >= 98).astype(int), 2)  # 98 right of one baby, then 2
    groups = np.array(["big"] * 98 + ["small"] * 2)
    apart = fit_temperature(probabilities, wrong_at_first, group_weights(groups))
    together = fit_temperature(probabilities, wrong_at_first, np.full(100, 0.01))
    assert apart > 10  # right for one baby and wrong for the other: sure of nothing
    assert together < 1


def test_each_fold_gets_the_temperature_of_the_groups_that_are_not_in_it():
    rng = np.random.default_rng(4)
    labels, groups = rng.integers(3, size=150), rng.integers(40, size=150).astype(str)
    p = softmax(1.5 * one_hot(labels, 3) + rng.normal(0, 2, (150, 3)), axis=1)
    folds = np.split(rng.permutation(150), 5)  # a group is in several folds
    found = crossed_temperatures(p, one_hot(labels, 3), groups, folds)
    for rows in folds:
        outside = [i for i in range(150) if groups[i] not in set(groups[rows])]
        assert 5 < len(outside) < 120
        weights = group_weights(groups[outside])
        expected = by_scipy(p[outside], labels[outside], weights)
        assert found[rows] == pytest.approx(expected, rel=1e-3)
    assert len(set(found)) == 5


def test_the_only_fold_is_calibrated_by_halves_that_share_no_group():
    rng = np.random.default_rng(6)
    labels, groups = rng.integers(3, size=90), rng.integers(20, size=90).astype(str)
    p = softmax(1.5 * one_hot(labels, 3) + rng.normal(0, 2, (90, 3)), axis=1)
    rows = rng.permutation(90)
    halves = list(apart(groups, [rows]))
    assert sorted(np.concatenate([tested for tested, _ in halves])) == list(range(90))
    found = crossed_temperatures(p, one_hot(labels, 3), groups, [rows])
    for tested, others in halves:
        assert not set(groups[tested]) & set(groups[others])
        expected = by_scipy(p[others], labels[others], group_weights(groups[others]))
        assert found[tested] == pytest.approx(expected, rel=1e-3)


def test_without_other_groups_nothing_is_changed():
    p = np.array([[0.9, 0.1], [0.3, 0.7]])
    folds = [np.array([0]), np.array([1])]
    assert crossed_temperatures(p, np.eye(2), np.array(["a", "a"]), folds).tolist() == [1, 1]
