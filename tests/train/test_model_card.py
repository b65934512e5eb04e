"""The model card says what the config says, in a form that the Hub's own classes read back."""

import ast
import json
import re
from dataclasses import replace

import pytest
import yaml
from huggingface_hub import ModelCard

from cry_model import CheckpointConfig
from cry_model.checkpoint import ASSETS, CONFIG, DEFAULT
from cry_model.records import UNMEASURED, DetectorRecord, Estimate, percent_interval
from tests.stand_ins import AGREEMENT, CLASSIFIERS, detector_config
from train.publish.card import model_card

RAW = json.loads((ASSETS / "donateacry-improved-ecapa-tdnn" / CONFIG).read_text(encoding="utf-8"))
BUNDLED = CheckpointConfig.from_json(json.dumps(RAW))


def card(config=BUNDLED):
    return model_card(config, 1_545_545, "user/cry")


def metadata(text):
    return yaml.safe_load(text.split("---\n")[1])


@pytest.fixture(scope="module")
def text():
    return card()


def test_the_metadata_is_what_the_hub_searches(text):
    data = metadata(text)
    assert data["license"] == "apache-2.0"
    assert data["pipeline_tag"] == "audio-classification"
    assert {"audio-classification", "infant-cry"} <= set(data["tags"])
    assert data["library_name"]
    assert "datasets" not in data  # none of those that it could name is on the Hub


def test_the_model_index_holds_every_metric_with_dataset_and_protocol(text):
    (model,) = metadata(text)["model-index"]
    (result,) = model["results"]
    assert result["dataset"]["name"] == "Donate-a-Cry, protocol baby"
    values = {m["type"]: m["value"] for m in result["metrics"]}
    measured = {k: v["value"] for k, v in RAW["evaluation"]["metrics"].items()}
    assert sorted(values.values()) == sorted(measured.values())
    assert values["f1"] == measured["macro_f1"]
    assert values["roc_auc"] == measured["macro_auc"]
    for metric in result["metrics"]:
        assert "Donate-a-Cry, protocol baby" in metric["name"]
        low, high = metric["args"]["interval_95"]
        assert low <= metric["value"] <= high


def test_the_library_reads_the_card_back(text):
    read = ModelCard(text)
    assert str(read) == text
    values = {r.metric_type: r.metric_value for r in read.data.eval_results}
    assert values["accuracy"] == RAW["evaluation"]["metrics"]["accuracy"]["value"]


def test_metrics_and_recall_stand_in_the_text_with_interval_and_count(text):
    for value in RAW["evaluation"]["metrics"].values():
        assert f"| {value['value']:.3f} | {value['low']:.3f} to {value['high']:.3f} |" in text
    assert percent_interval(BUNDLED.evaluation.metrics["balanced_accuracy"]) in text
    assert ("No better than chance" in text) != BUNDLED.evaluation.better_than_chance
    for label, recall in RAW["evaluation"]["recall"].items():
        count = RAW["evaluation"]["support"][label]
        assert f"| {label.replace('_', ' ')} | {count} | {recall:.3f} |" in text
        assert f"`{label}`" in text


@pytest.mark.parametrize("folder", CLASSIFIERS, ids=lambda folder: folder.name)
def test_the_card_says_what_an_answer_names_and_how_often_it_holds_the_label(folder):
    config = CheckpointConfig.from_json((folder / CONFIG).read_text(encoding="utf-8"))
    text, found = card(config), config.calibration
    for value in (found.coverage, found.size, found.error_before, found.error_after):
        assert f"| {value.value:.3f} | {value.low:.3f} to {value.high:.3f} |" in text
    for label, share in found.by_label.items():
        assert f"| {label.replace('_', ' ')} | {share:.3f} |" in text
    assert found.condition in text
    assert f"{100 * found.constant_coverage:.0f}%" in text
    assert "prediction set" not in card(replace(config, calibration=None)).lower()


def test_the_card_says_how_it_was_trained_on_what_and_how_to_load_it(text):
    for words in (
        "457 recordings of Donate-a-Cry",
        RAW["training"]["licence"],
        "| preset.epochs | 30 |",
        "| preset.augmentation.mixup | 0.0 |",
        'CryClassifier.from_pretrained("user/cry", revision="main")',
        "1,545,545 parameters",
    ):
        assert words in text


def test_what_was_never_measured_is_said_to_be_so():
    text = card(replace(BUNDLED, evaluation=None))
    assert UNMEASURED in text
    assert "model-index" not in text
    assert "| recall |" not in text


def test_a_metric_without_a_value_is_left_out_of_the_index():
    nan = float("nan")
    metrics = {**BUNDLED.evaluation.metrics, "macro_auc": Estimate(nan, nan, nan)}
    recall = {**BUNDLED.evaluation.recall, "burping": nan}
    evaluation = replace(BUNDLED.evaluation, metrics=metrics, recall=recall)
    text = card(replace(BUNDLED, evaluation=evaluation))
    types = {m["type"] for m in metadata(text)["model-index"][0]["results"][0]["metrics"]}
    assert len(types) == 4
    assert "roc_auc" not in types
    assert "| burping | 8 | not measured |" in text


def test_a_config_that_says_little_or_odd_things_still_gives_a_card():
    odd = "a | <b>\n---"
    text = card(replace(BUNDLED, labels=("x", odd), training={"note": odd}, evaluation=None))
    assert "| note | a \\| &lt;b> --- |" in text
    assert "<b>" not in text
    assert metadata(text)["license"] == "apache-2.0"


def test_the_card_of_a_student_says_whom_it_imitates_and_how_far():
    config = CheckpointConfig.from_json((DEFAULT / CONFIG).read_text(encoding="utf-8"))
    student = replace(config, agreement=AGREEMENT, evaluation=None)
    text, alike = card(student), student.agreement
    assert UNMEASURED not in text
    assert percent_interval(alike.agreement) in text
    assert percent_interval(alike.teacher_evaluation.metrics["balanced_accuracy"]) in text
    for value in (alike.agreement, alike.constant, alike.gain, alike.divergence):
        assert f"| {value.value:.3f} | {value.low:.3f} to {value.high:.3f} |" in text
    assert alike.teacher in text
    assert "model-index" not in text  # no metric on labels was measured


def test_the_card_of_the_adapted_network_says_how_often_it_is_right_and_what_is_not_known():
    config = CheckpointConfig.from_json((DEFAULT / CONFIG).read_text(encoding="utf-8"))
    text, measured = card(config), config.evaluation
    for name in ("accuracy", "balanced_accuracy", "macro_auc"):
        found = measured.metrics[name]
        assert f"| {found.value:.3f} | {found.low:.3f} to {found.high:.3f} |" in text
    for label in config.labels:
        if label in measured.recall:
            assert f"| {label} | 44 | {measured.recall[label]:.3f} |" in text
    assert "| hungry | 0 | not measured |" in text
    assert config.training["licence"] in text


def test_the_card_of_a_detector_says_what_it_is_and_what_it_lets_pass():
    config = detector_config()
    text = card(config)
    record = config.detector
    for kind, share in (*record.unheard.items(), *record.kinds.items(), *record.conditions.items()):
        assert f"| {kind.replace('_', ' ')} | {share:.3f} |" in text
    for name in ("area", "accepted", "false_accepts"):
        value = getattr(config.detector, name)
        assert f"| {value.value:.3f} | {value.low:.3f} to {value.high:.3f} |" in text
    for number in (record.threshold, record.maybe, record.tagger):
        assert f" {number:.3f}" in text
    older = replace(config, detector=DetectorRecord(0.5, *[record.area] * 3))
    assert "YAMNet" not in card(older)


@pytest.mark.parametrize("config", [BUNDLED, detector_config()], ids=["classifier", "detector"])
def test_the_python_of_a_card_imports_what_there_is(config):
    (code,) = re.findall(r"^```python\n(.*?)^```", card(config), re.MULTILINE | re.DOTALL)
    imported = [node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.ImportFrom)]
    for name in (alias.name for node in imported for alias in node.names):
        exec(f"from cry_model import {name}")
    assert 'from_pretrained("user/cry"' in code
