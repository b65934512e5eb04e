"""Test calibrated probabilities, prediction sets and the answers that they lead to."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.special import softmax

from cry_model import CheckpointConfig, CryClassifier, DetectionScores, Estimate
from cry_model.calibration import apply_temperature
from cry_model.networks.registry import usual_config
from cry_model.prediction import Answer
from tests.stand_ins import CALIBRATION, EVALUATION

LABELS = ("a", "b_c", "d")
MADE_UP = replace(
    CALIBRATION,
    temperature=2.0,
    constant_set=("d", "b_c"),
    by_label={"a": 0.5, "b_c": 0.9},
)


def classifier(calibration):
    """Return a classifier with the same random weights under any calibration."""
    torch.manual_seed(0)
    config = CheckpointConfig("ecapa-tdnn", LABELS, usual_config("ecapa-tdnn"))
    model = config.build()
    model.classifier.bias.data = torch.tensor([0.8, 0.0, 0.4])
    return CryClassifier(model, replace(config, calibration=calibration))


def noise(seconds):
    return 0.1 * np.random.default_rng(0).standard_normal(round(16000 * seconds))


@pytest.fixture(scope="module")
def prediction():
    return classifier(MADE_UP).predict(noise(3), 16000)


@pytest.mark.parametrize("temperature", [0.25, 3.0])
def test_temperature_scaling_divides_log_probabilities(temperature):
    rows = np.random.default_rng(0).dirichlet([1, 1, 1, 1], 20)
    expected = softmax(np.log(rows) / temperature, axis=1)
    np.testing.assert_allclose(apply_temperature(rows, temperature), expected, atol=1e-5)
    assert apply_temperature(np.array([1.0, 0, 0]), 0.05).tolist() == pytest.approx([1, 0, 0])


def test_temperature_applies_to_recording_and_pieces():
    before, after = (classifier(c).predict(noise(12), 16000) for c in (None, MADE_UP))
    assert len(after.pieces) > 1
    for old, new in ((before, after), *zip(before.pieces, after.pieces, strict=True)):
        root = np.sqrt(list(old.probabilities.values()))
        assert list(new.probabilities.values()) == pytest.approx(root / root.sum(), abs=1e-6)
    assert before.prediction_set is None
    assert before.answer == Answer("set", (before.label,))


@pytest.mark.parametrize("count", range(4))
def test_prediction_set_is_thresholded_and_ordered_by_probability(prediction, count):
    probabilities = prediction.probabilities
    ranked = sorted(LABELS, key=lambda label: -probabilities[label])
    values = [1.0, *(probabilities[label] for label in ranked), 0.0]
    threshold = 1 - (values[count] + values[count + 1]) / 2  # between two of the scores
    found = classifier(replace(MADE_UP, threshold=threshold)).predict(noise(3), 16000)
    assert found.prediction_set == tuple(ranked[:count])


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
def test_answer_has_the_right_kind_and_reason(prediction, named, changes, why, score):
    track = None if score is None else DetectionScores(0.5, (score,), 0.5, 0.8, maybe=0.5)
    labels = () if why else named
    if score == 0.1:
        expected = Answer("not_a_cry", (), "no cry")
    elif score == 0.6:
        expected = Answer("maybe_cry", labels, why)
    else:
        expected = Answer("cannot_tell" if why else "set", labels, why)
    assert replace(prediction, prediction_set=named, track=track, **changes).answer == expected
