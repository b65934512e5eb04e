"""A calibrated checkpoint: its probabilities, the set that it names; temperatures against SciPy."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax

from cry_model import CheckpointConfig, CheckpointError, CryClassifier, DetectionScores, Estimate
from cry_model.__main__ import as_text
from cry_model.calibration import apart, apply_temperature, crossed_temperatures, group_weights
from cry_model.networks.registry import usual_config
from cry_model.prediction import CANT_TELL, Answer
from tests.stand_ins import CALIBRATION, EVALUATION

LABELS = ("a", "b_c", "d")
MADE_UP = replace(
    CALIBRATION,
    temperature=2.0,
    threshold=0.7,
    coverage=Estimate(0.81, 0.74, 0.87),
    constant_set=("d", "b_c"),
    by_label={"a": 0.5, "b_c": 0.9},
)


def classifiers(calibration, system="ecapa-tdnn"):
    """The same weights without and with a calibration."""
    torch.manual_seed(0)
    config = CheckpointConfig(system, LABELS, usual_config(system))
    model = config.build()
    model.classifier.bias.data = torch.tensor([0.8, 0.0, 0.4])
    return (
        CryClassifier(model, config),
        CryClassifier(model, replace(config, calibration=calibration)),
    )


def noise(seconds):
    return 0.1 * np.random.default_rng(0).standard_normal(round(16000 * seconds))


@pytest.mark.parametrize("temperature", [0.25, 1.0, 3.0])
def test_tempering_is_a_softmax_of_divided_logarithms(temperature):
    rows = np.random.default_rng(0).dirichlet([1, 1, 1, 1], 20)
    expected = torch.from_numpy(rows).log().div(temperature).softmax(-1).numpy()
    np.testing.assert_allclose(apply_temperature(rows, temperature), expected, atol=1e-5)


def test_no_probability_is_too_small_to_be_tempered():
    scaled = apply_temperature(np.array([1.0, 0.0, 0.0]), 0.05)
    assert np.isfinite(scaled).all()
    assert scaled.tolist() == pytest.approx([1, 0, 0])


def test_the_answer_of_a_recording_is_tempered_and_so_is_each_piece():
    plain, calibrated = classifiers(MADE_UP)
    before, after = (c.predict(noise(12), 16000) for c in (plain, calibrated))
    assert len(after.pieces) > 1
    for old, new in ((before, after), *zip(before.pieces, after.pieces, strict=True)):
        root = np.sqrt(list(old.probabilities.values()))
        assert list(new.probabilities.values()) == pytest.approx(root / root.sum(), abs=1e-6)
    assert after.label == before.label
    short = calibrated.predict(noise(3), 16000)
    assert short.pieces[0].probabilities == pytest.approx(dict(short.probabilities))


def test_without_a_calibration_nothing_changes():
    prediction = classifiers(None)[0].predict(noise(3), 16000)
    assert prediction.prediction_set is None
    assert prediction.answer == Answer("set", (prediction.label,))
    assert prediction.to_dict(full=True)["calibration"] is None
    assert "Sounds most like" in as_text(prediction)
    assert "Can't tell" not in as_text(prediction)


@pytest.mark.parametrize("count", range(4))
def test_the_set_holds_what_is_probable_enough_the_most_probable_first(count):
    probabilities = classifiers(MADE_UP)[1].predict(noise(3), 16000).probabilities
    ranked = sorted(LABELS, key=lambda label: -probabilities[label])
    values = [1.0, *(probabilities[label] for label in ranked), 0.0]
    threshold = 1 - (values[count] + values[count + 1]) / 2  # between two of them
    prediction = classifiers(replace(MADE_UP, threshold=threshold))[1].predict(noise(3), 16000)
    assert prediction.prediction_set == tuple(ranked[:count])
    assert (prediction.answer.kind == "set") == (0 < count < 3)


def answer(named, **changes):
    prediction = classifiers(MADE_UP)[1].predict(noise(3), 16000)
    return replace(prediction, prediction_set=named, **changes)


AT_CHANCE = replace(EVALUATION, metrics={"balanced_accuracy": Estimate(0.2, 0.1, 0.3)})


@pytest.mark.parametrize(
    ("named", "changes", "why"),
    [
        (("d",), {}, None),
        (("d", "a"), {"cautions": ("Less sure.",), "evaluation": EVALUATION}, None),
        ((), {}, "no reason likely"),
        (("d", "a", "b_c"), {}, "every reason possible"),
        (("d",), {"outside": True, "evaluation": AT_CHANCE}, "out of distribution"),
        (("d",), {"evaluation": AT_CHANCE}, "at chance"),
        (None, {"evaluation": AT_CHANCE}, "at chance"),
    ],
)
@pytest.mark.parametrize("score", [None, 0.9, 0.6, 0.1])
def test_one_answer_is_told_with_its_reason(named, changes, why, score):
    track = None if score is None else DetectionScores(0.5, (score,), 0.5, 0.8, maybe=0.5)
    prediction = answer(named, **changes, track=track)
    labels = () if why else named
    if score == 0.1:
        expected = Answer("not_a_cry", (), "no cry")
    elif score == 0.6:
        expected = Answer("maybe_cry", labels, why)
    else:
        expected = Answer("cannot_tell" if why else "set", labels, why)
    assert prediction.answer == expected
    text = as_text(prediction)
    if expected.kind == "cannot_tell":
        assert f"Can't tell: {CANT_TELL[why]}." in text
    assert ("Sounds like d" in text) == (expected.kind == "set")


def test_a_program_gets_the_set_and_what_it_is_worth():
    document = json.loads(json.dumps(answer(("d", "a")).to_dict(full=True)))
    assert document["answer"] == {"kind": "set", "labels": ["d", "a"], "reason": None}
    assert document["calibration"]["coverage"] == {"value": 0.81, "low": 0.74, "high": 0.87}


def test_the_record_survives_and_a_config_from_before_it_is_read():
    config = CheckpointConfig("ecapa-tdnn", LABELS, usual_config("ecapa-tdnn"), calibration=MADE_UP)
    written = json.loads(config.to_json())
    assert CheckpointConfig.from_json(json.dumps(written)).calibration == MADE_UP
    for name, wrong in (("temperature", 0), ("threshold", 1.2), ("against", "hearsay")):
        damaged = {**written, "calibration": {**written["calibration"], name: wrong}}
        with pytest.raises(CheckpointError, match=name):
            CheckpointConfig.from_json(json.dumps(damaged))
    del written["calibration"]
    assert CheckpointConfig.from_json(json.dumps(written)).calibration is None


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
