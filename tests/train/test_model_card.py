"""The model card says what the config says, in a form that the Hub's own classes read back."""

import ast
import json
from dataclasses import replace

import pytest
import yaml
from huggingface_hub import ModelCard

from cry_model import CheckpointConfig, CheckpointError
from cry_model.backends.onnx_export import export_checkpoint
from cry_model.checkpoint import ASSETS, CONFIG, DEFAULT, WEIGHTS
from cry_model.records import UNMEASURED, DetectorRecord, Estimate, percent_interval
from tests.stand_ins import AGREEMENT, CLASSIFIERS, detector_config
from train.publish.card import model_card
from train.publish.exported import add_measurement
from train.publish.hub import checkpoint_upload

RAW = json.loads((ASSETS / "donateacry-improved-ecapa-tdnn" / CONFIG).read_text(encoding="utf-8"))
REASONS = CheckpointConfig.from_json(json.dumps(RAW))


def card(config=REASONS):
    return model_card(config, 1_545_545, "user/cry")


def metadata(text):
    return yaml.safe_load(text.split("---\n")[1])


def row(value):
    """As a table of the card has an estimate."""
    return f"| {value.value:.3f} | {value.low:.3f} to {value.high:.3f} |"


def test_the_hub_reads_the_metadata_and_every_metric_with_dataset_and_protocol():
    text = card()
    read = ModelCard(text)
    assert str(read) == text
    assert (read.data.license, read.data.pipeline_tag) == ("apache-2.0", "audio-classification")
    assert {"audio-classification", "infant-cry"} <= set(read.data.tags)
    assert "datasets" not in metadata(text)  # none of those that it could name is on the Hub
    measured = RAW["evaluation"]["metrics"]
    hub_names = {"macro_f1": "f1", "macro_auc": "roc_auc"}
    found = {result.metric_type: result for result in read.data.eval_results}
    assert len(found) == len(measured)
    assert metadata(text)["metrics"] == [hub_names.get(name, name) for name in measured]
    for name, value in measured.items():
        result = found[hub_names.get(name, name)]
        assert result.metric_value == value["value"]
        assert result.metric_args == {"interval_95": [value["low"], value["high"]]}
        assert result.dataset_name in result.metric_name
        assert result.dataset_name == "Donate-a-Cry, protocol baby"


@pytest.mark.parametrize("folder", CLASSIFIERS, ids=lambda folder: folder.name)
def test_every_measured_number_stands_in_the_text(folder):
    config = CheckpointConfig.from_json((folder / CONFIG).read_text(encoding="utf-8"))
    text, measured, found = card(config), config.evaluation, config.calibration
    for value in measured.metrics.values():
        assert row(value) in text
    assert percent_interval(measured.metrics["balanced_accuracy"]) in text
    assert ("No better than chance" in text) != measured.better_than_chance
    for label in config.labels:
        recall = measured.recall.get(label)
        shown = "not measured" if recall is None else f"{recall:.3f}"
        spoken, count = label.replace("_", " "), measured.support.get(label, 0)
        assert f"| {spoken} | {count} | {shown} |" in text
        assert f"`{label}`" in text
    for value in (found.coverage, found.size, found.error_before, found.error_after):
        assert row(value) in text
    for label, share in found.by_label.items():
        assert f"| {label.replace('_', ' ')} | {share:.3f} |" in text
    assert found.condition in text
    assert f"{100 * found.constant_coverage:.0f}%" in text
    assert config.training["licence"] in text
    assert "prediction set" not in card(replace(config, calibration=None)).lower()


def test_what_was_not_measured_is_said_to_be_so():
    text = card(replace(REASONS, evaluation=None))
    assert UNMEASURED in text
    assert "model-index" not in text
    assert "| recall |" not in text
    nan = float("nan")
    metrics = {**REASONS.evaluation.metrics, "macro_auc": Estimate(nan, nan, nan)}
    recall = {**REASONS.evaluation.recall, "burping": nan}
    text = card(
        replace(REASONS, evaluation=replace(REASONS.evaluation, metrics=metrics, recall=recall))
    )
    types = {m["type"] for m in metadata(text)["model-index"][0]["results"][0]["metrics"]}
    assert len(types) == 4
    assert "roc_auc" not in types
    assert "| burping | 8 | not measured |" in text


def test_the_card_of_a_student_says_whom_it_imitates_and_how_far():
    config = CheckpointConfig.from_json((DEFAULT / CONFIG).read_text(encoding="utf-8"))
    text, alike = card(replace(config, agreement=AGREEMENT, evaluation=None)), AGREEMENT
    assert UNMEASURED not in text
    assert percent_interval(alike.agreement) in text
    assert percent_interval(alike.teacher_evaluation.metrics["balanced_accuracy"]) in text
    for value in (alike.agreement, alike.constant, alike.gain, alike.divergence):
        assert row(value) in text
    assert alike.teacher in text
    assert "model-index" not in text  # no metric on labels was measured


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


@pytest.mark.parametrize(
    ("training", "datasets", "base"),
    [
        ({"dataset": "esc10", "teacher": None}, ["ashraq/esc50"], None),
        ({"dataset": "donateacry", "teacher": {"name": "my-folder"}}, None, None),
        ({"dataset": "cries", "teacher": {"name": "me/t"}}, ["ashraq/esc50"], ["me/t"]),
        ({"teacher": {"name": "me/t"}, "start": {"name": "me/s"}}, None, ["me/t", "me/s"]),
    ],
)
def test_the_metadata_links_what_is_on_the_hub(training, datasets, base):
    found = metadata(card(replace(REASONS, training=training)))
    assert (found.get("datasets"), found.get("base_model")) == (datasets, base)


def test_the_card_tells_of_exported_files_what_was_measured(tmp_path):
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    for path in DEFAULT.iterdir():
        (tmp_path / path.name).symlink_to(path)
    written = export_checkpoint(DEFAULT, tmp_path)
    add_measurement(written[0])
    text = checkpoint_upload(tmp_path, "user/cry").files["README.md"].decode()
    for path in written:
        facts = {entry.key: entry.value for entry in onnx.load(path).metadata_props}
        (line,) = (line for line in text.splitlines() if line.startswith(f"| `{path.name}`"))
        assert f"| {path.stat().st_size / 2**20:.1f} MB |" in line
        assert ("not measured" in line) == ("milliseconds" not in facts)
        if "milliseconds" in facts:
            assert f"{float(facts['milliseconds']):.1f} ms" in line
    assert "labels" in facts or "threshold" in facts  # what was there is still there
    code = text.split("## Without torch")[1].split("```python\n")[1].split("```")[0]
    assert len([line for line in code.splitlines() if line]) == 3
    ast.parse(code)
    other = next(own for own in CLASSIFIERS if own != DEFAULT)
    for name in (CONFIG, WEIGHTS):
        (tmp_path / name).unlink()
        (tmp_path / name).symlink_to(other / name)
    with pytest.raises(CheckpointError, match="another checkpoint"):
        checkpoint_upload(tmp_path, "user/cry")
