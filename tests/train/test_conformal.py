"""The threshold against plain computations; the promise against simulated babies."""

import numpy as np
import pytest
from scipy.special import softmax

from cry_model.calibration import fit_temperature, group_weights
from train.scoring.calibration import EVERYTHING, fit_threshold


def one_hot(labels, classes):
    return np.eye(classes)[labels]


def babies(rng, count):
    """Recordings of ``count`` babies: some cry often and are easy, others seldom and are hard.

    All cries of one are alike, and how sure the model is of their labels varies with the baby.
    """
    rows, labels, groups = [], [], []
    for baby in range(count):
        often = rng.random() < 0.5
        size = rng.integers(20, 40) if often else rng.integers(1, 4)
        truth = rng.integers(3, size=size)
        skill = rng.normal(2.0 if often else 0.0, 0.7)
        logits = skill * one_hot(truth, 3) + rng.normal(0, 0.3, (size, 3))
        rows.append(softmax(logits, axis=1))
        labels.append(truth)
        groups += [f"baby{baby}"] * size
    return np.concatenate(rows), np.concatenate(labels), np.array(groups)


@pytest.mark.parametrize("seed", range(4))
def test_the_threshold_is_the_weighted_quantile_counted_one_by_one(seed):
    rng = np.random.default_rng(seed)
    probabilities, labels, groups = babies(rng, 12)
    found = fit_threshold(probabilities, one_hot(labels, 3), groups, 0.8)
    scores = [1 - p[c] for p, c in zip(probabilities, labels, strict=True)]
    members = {g: [s for s, h in zip(scores, groups, strict=True) if h == g] for g in set(groups)}

    def reached(threshold):
        within = [np.mean([s <= threshold for s in own]) for own in members.values()]
        return sum(within) / (len(members) + 1)

    assert found == min(s for s in scores if reached(s) >= 0.8)


def test_a_label_that_is_only_probable_counts_by_its_probability():
    probabilities = np.array([[0.5, 0.3, 0.2], [0.6, 0.1, 0.3]] * 5)
    targets = np.array([[0.7, 0.2, 0.1], [0.2, 0.2, 0.6]] * 5)
    groups = np.arange(10).astype(str)
    copies = (
        (10 * targets).round().astype(int)
    )  # ten drawn labels a recording, as often as probable
    drawn = [(p, c, g) for p, n, g in zip(probabilities, copies, groups, strict=True)
             for c in range(3) for _ in range(n[c])]  # fmt: skip
    rows, labels, owners = (np.array(column) for column in zip(*drawn, strict=True))
    for coverage in (0.3, 0.5, 0.8, 0.9):
        expected = fit_threshold(rows, one_hot(labels, 3), owners, coverage)
        assert fit_threshold(probabilities, targets, groups, coverage) == expected
    weights = group_weights(groups)
    assert fit_temperature(probabilities, targets, weights) == pytest.approx(
        fit_temperature(rows, one_hot(labels, 3), group_weights(owners)), rel=1e-3
    )


@pytest.mark.parametrize(("groups", "promised"), [(4, 0.81), (3, 0.8), (0, 0.8)])
def test_too_few_groups_promise_only_everything(groups, promised):
    probabilities = np.full((groups, 2), 0.5)
    targets, names = one_hot(np.zeros(groups, dtype=int), 2), np.arange(groups).astype(str)
    assert fit_threshold(probabilities, targets, names, promised) == EVERYTHING
    if not groups:
        assert fit_temperature(probabilities, targets, group_weights(names)) == 1


def test_four_groups_promise_four_fifths():
    probabilities = np.array([[0.9, 0.1], [0.8, 0.2], [0.7, 0.3], [0.6, 0.4]])
    targets = one_hot(np.zeros(4, dtype=int), 2)
    assert fit_threshold(probabilities, targets, list("abcd"), 0.8) == pytest.approx(0.4)


def test_the_promise_holds_for_a_new_baby_and_not_where_recordings_are_taken_for_babies():
    """The threshold for 25 babies, asked about the cries of another one, 1,500 times over."""
    rng = np.random.default_rng(0)
    by_group, by_recording = [], []
    for _ in range(1500):
        probabilities, labels, groups = babies(rng, 26)
        new = groups == "baby25"
        known, targets = probabilities[~new], one_hot(labels[~new], 3)
        scores = 1 - probabilities[new, labels[new]]
        threshold = fit_threshold(known, targets, groups[~new], 0.8)
        by_group.append(np.mean(scores <= threshold))
        ungrouped = fit_threshold(known, targets, np.arange((~new).sum()).astype(str), 0.8)
        by_recording.append(np.mean(scores <= ungrouped))
    error = np.std(by_group) / np.sqrt(1500)
    assert np.mean(by_group) > 0.8 - 2 * error
    assert np.mean(by_group) < 0.8 + 1 / 26 + 2 * error  # and promises no more than it must
    assert np.mean(by_recording) < 0.75
