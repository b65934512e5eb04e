"""A calibrated checkpoint: its probabilities, the set that it names, and what it says of them."""

import json
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch

import cry_model
from cry_model import Calibration, CheckpointConfig, CheckpointError, CryClassifier, Estimate
from cry_model.__main__ import as_text
from cry_model.calibration import apply_temperature, one_of
from cry_model.registry import usual_config

LABELS = ("a", "b_c", "d")
MADE_UP = Calibration(
    dataset="donateacry",
    protocol="baby",
    against="labels",
    teacher_temperature=None,
    recordings=60,
    groups=20,
    folds=5,
    seeds=(0,),
    temperature=2.0,
    promised=0.8,
    threshold=0.7,
    coverage=Estimate(0.81, 0.74, 0.87),
    size=Estimate(1.84, 1.7, 2.0),
    empty=0.0,
    single=0.2,
    full=0.1,
    error_before=Estimate(0.2, 0.1, 0.3),
    error_after=Estimate(0.1, 0.05, 0.2),
    constant_set=("d", "b_c"),
    constant_coverage=0.83,
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
    assert not prediction.decides
    assert prediction.abstain_reason is None
    assert prediction.to_dict()["calibration"] is None
    assert "Sounds like" not in as_text(prediction)
    assert "Can't tell" not in as_text(prediction)


@pytest.mark.parametrize("count", range(4))
def test_the_set_holds_what_is_probable_enough_the_most_probable_first(count):
    probabilities = classifiers(MADE_UP)[1].predict(noise(3), 16000).probabilities
    ranked = sorted(LABELS, key=lambda label: -probabilities[label])
    values = [1.0, *(probabilities[label] for label in ranked), 0.0]
    threshold = 1 - (values[count] + values[count + 1]) / 2  # between two of them
    prediction = classifiers(replace(MADE_UP, threshold=threshold))[1].predict(noise(3), 16000)
    assert prediction.prediction_set == tuple(ranked[:count])
    assert prediction.decides == (0 < count < 3)


def answer(named, **changes):
    prediction = classifiers(MADE_UP)[1].predict(noise(3), 16000)
    return replace(prediction, prediction_set=named, **changes)


@pytest.mark.parametrize(
    ("named", "cautions", "why"),
    [
        (("d",), (), None),
        (("d", "a"), (), None),
        ((), (), "no reason likely"),
        (("d", "a", "b_c"), (), "every reason possible"),
        (("d",), ("Too far.",), "out of distribution"),
    ],
)
def test_it_says_why_it_cannot_tell(named, cautions, why):
    prediction = answer(named, cautions=cautions)
    text = as_text(prediction)
    assert prediction.abstain_reason == why
    if why is None:
        assert f"Sounds like {' or '.join(named)}." in text
    else:
        assert f"Can't tell: {why}." in text
        assert "Sounds like" not in text
    assert "80% prediction set" in text
    assert "81% (95% interval 74% to 87%)" in text


def test_a_program_gets_the_set_and_what_it_is_worth():
    document = json.loads(json.dumps(answer(("d", "a")).to_dict()))
    assert document["prediction_set"] == ["d", "a"]
    assert document["decides"] is True
    assert document["calibration"]["coverage"] == {"value": 0.81, "low": 0.74, "high": 0.87}


def test_names_are_listed_as_one_says_them():
    assert one_of(["a"]) == "a"
    assert one_of(["a", "b"]) == "a or b"
    assert one_of(["a", "b", "c"]) == "a, b or c"


@pytest.fixture
def written():
    config = CheckpointConfig("ecapa-tdnn", LABELS, usual_config("ecapa-tdnn"), calibration=MADE_UP)
    return json.loads(config.to_json())


def test_the_record_survives_and_a_config_from_before_it_is_read(written):
    assert CheckpointConfig.from_json(json.dumps(written)).calibration == MADE_UP
    del written["calibration"]
    assert CheckpointConfig.from_json(json.dumps(written)).calibration is None


@pytest.mark.parametrize(
    "edit",
    [
        {"temperature": 0},
        {"temperature": float("inf")},
        {"temperature": "warm"},
        {"threshold": 1.2},
        {"threshold": None},
        {"promised": -0.1},
        {"against": "hearsay"},
        {"coverage": 0.8},
        {"size": {"value": "2", "low": 1, "high": 3}},
        {"by_label": {"a": 2}},
        {"by_label": []},
        {"constant_set": "d"},
        {"constant_set": []},
        {"colour": "red"},
        {"teacher_temperature": "warm"},
        {"teacher_temperature": 0},
        {"empty": "<b>"},
    ],
)
def test_a_damaged_record_is_refused(written, edit):
    written["calibration"] = {**written["calibration"], **edit}
    with pytest.raises(CheckpointError):
        CheckpointConfig.from_json(json.dumps(written))


@pytest.mark.parametrize("name", [f for f in asdict(MADE_UP) if f != "by_label"])
def test_a_record_with_a_gap_is_refused(written, name):
    del written["calibration"][name]
    with pytest.raises(CheckpointError):
        CheckpointConfig.from_json(json.dumps(written))


def test_the_default_checkpoint_names_a_set(examples):
    prediction = CryClassifier.from_pretrained().predict(examples / "synthetic_rhythmic.wav")
    assert prediction.calibration.against == "labels"
    kept = {
        k for k, p in prediction.probabilities.items() if 1 - p <= prediction.calibration.threshold
    }
    assert set(prediction.prediction_set) == kept
    assert cry_model.Calibration is type(prediction.calibration)
