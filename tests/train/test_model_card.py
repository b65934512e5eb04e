"""Test that the model card states the config's facts and parses with the Hub's own classes."""

import ast
from dataclasses import replace

import pytest
import yaml
from huggingface_hub import ModelCard

from cry_model import CheckpointError
from cry_model.backends.onnx_export import export_checkpoint
from cry_model.checkpoint import ASSETS, CONFIG, DEFAULT, WEIGHTS, read_config
from cry_model.records import UNMEASURED, DetectorRecord, Estimate, percent_interval
from tests.stand_ins import AGREEMENT, CLASSIFIERS, DETECTOR_RECORD, detector_config
from train.publish.card import add_measurement, model_card
from train.publish.hub import checkpoint_upload

REASONS = read_config(ASSETS / "donateacry-improved-ecapa-tdnn")


def card(config=REASONS):
    return model_card(config, 1_545_545, "user/cry")


def metadata(text):
    return yaml.safe_load(text.split("---\n")[1])


def row(value):
    """Format an estimate as a table row of the card."""
    return f"| {value.value:.3f} | {value.low:.3f} to {value.high:.3f} |"


def shares(rows):
    """Format shares of labels, sounds or conditions as table rows of the card."""
    return [f"| {name.replace('_', ' ')} | {share:.3f} |" for name, share in rows.items()]


def test_the_hub_parses_the_metadata_and_every_metric():
    text, measured = card(), REASONS.evaluation.metrics
    read = ModelCard(text)
    assert str(read) == text
    assert (read.data.license, read.data.pipeline_tag) == ("apache-2.0", "audio-classification")
    assert {"audio-classification", "infant-cry"} <= set(read.data.tags)
    names = [{"macro_f1": "f1", "macro_auc": "roc_auc"}.get(name, name) for name in measured]
    assert [result.metric_type for result in read.data.eval_results] == names
    assert metadata(text)["metrics"] == names
    for result, value in zip(read.data.eval_results, measured.values(), strict=True):
        assert result.metric_value == value.value
        assert result.metric_args == {"interval_95": [value.low, value.high]}
        assert result.dataset_name == "Donate-a-Cry, protocol baby"
        assert result.dataset_name in result.metric_name


@pytest.mark.parametrize("folder", CLASSIFIERS, ids=lambda folder: folder.name)
def test_the_text_has_every_measured_number(folder):
    config = read_config(folder)
    text, measured, found = card(config), config.evaluation, config.calibration
    estimates = [found.coverage, found.size, found.error_before, found.error_after]
    parts = [row(value) for value in (*measured.metrics.values(), *estimates)]
    parts += shares(found.by_label)
    for label in config.labels:
        recall = measured.recall.get(label)
        shown = "not measured" if recall is None else f"{recall:.3f}"
        count = measured.support.get(label, 0)
        parts += [f"| {label.replace('_', ' ')} | {count} | {shown} |", f"`{label}`"]
    parts += [percent_interval(measured.metrics["balanced_accuracy"]), found.condition]
    parts += [f"{100 * found.constant_coverage:.0f}%", config.training["licence"]]
    assert [part for part in parts if part not in text] == []
    assert ("No better than chance" in text) != measured.better_than_chance
    assert "prediction set" not in card(replace(config, calibration=None)).lower()


def test_the_card_says_what_was_not_measured():
    text = card(replace(REASONS, evaluation=None))
    assert UNMEASURED in text
    assert "model-index" not in text
    assert "| recall |" not in text
    nan, measured = float("nan"), REASONS.evaluation
    metrics = {**measured.metrics, "macro_auc": Estimate(nan, nan, nan)}
    recall = {**measured.recall, "burping": nan}
    text = card(replace(REASONS, evaluation=replace(measured, metrics=metrics, recall=recall)))
    types = {m["type"] for m in metadata(text)["model-index"][0]["results"][0]["metrics"]}
    assert len(types) == 4
    assert "roc_auc" not in types
    assert "| burping | 8 | not measured |" in text


def test_the_card_of_a_student_reports_its_agreement():
    text = card(replace(read_config(DEFAULT), agreement=AGREEMENT, evaluation=None))
    recall = AGREEMENT.teacher_evaluation.metrics["balanced_accuracy"]
    parts = [AGREEMENT.teacher, percent_interval(AGREEMENT.agreement), percent_interval(recall)]
    for name in ("agreement", "constant", "gain", "divergence"):
        parts.append(row(getattr(AGREEMENT, name)))
    assert [part for part in parts if part not in text] == []
    assert UNMEASURED not in text
    assert "model-index" not in text  # no metric against labels was measured


def test_the_card_of_a_detector_reports_its_record():
    text, record = card(detector_config()), DETECTOR_RECORD
    parts = shares({**record.unheard, **record.kinds, **record.conditions})
    parts += [row(value) for value in (record.area, record.accepted, record.false_accepts)]
    parts += [f" {number:.3f}" for number in (record.threshold, record.maybe, record.tagger)]
    assert [part for part in parts if part not in text] == []
    older = DetectorRecord(0.5, *[record.area] * 3)
    assert "YAMNet" not in card(replace(detector_config(), detector=older))


@pytest.mark.parametrize(
    ("training", "datasets", "base"),
    [
        (REASONS.training, None, None),
        ({"dataset": "esc10", "teacher": None}, ["ashraq/esc50"], None),
        ({"dataset": "donateacry", "teacher": {"name": "my-folder"}}, None, None),
        ({"dataset": "cries", "teacher": {"name": "me/t"}}, ["ashraq/esc50"], ["me/t"]),
        ({"teacher": {"name": "me/t"}, "start": {"name": "me/s"}}, None, ["me/t", "me/s"]),
    ],
)
def test_the_metadata_links_what_is_on_the_hub(training, datasets, base):
    found = metadata(card(replace(REASONS, training=training)))
    assert (found.get("datasets"), found.get("base_model")) == (datasets, base)


def test_the_card_reports_size_and_speed_of_exports(tmp_path):
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    for path in DEFAULT.iterdir():
        (tmp_path / path.name).symlink_to(path)
    measured, *others = export_checkpoint(DEFAULT, tmp_path)
    add_measurement(measured)
    facts = {entry.key: entry.value for entry in onnx.load(measured).metadata_props}
    assert "labels" in facts  # earlier metadata is kept
    text = checkpoint_upload(tmp_path, "user/cry").files["README.md"].decode()
    times = {measured: f"{float(facts['milliseconds']):.1f} ms"}
    times |= dict.fromkeys(others, "not measured")
    for path, time in times.items():
        (line,) = (line for line in text.splitlines() if line.startswith(f"| `{path.name}`"))
        assert f"| {path.stat().st_size / 2**20:.1f} MB |" in line
        assert time in line
    code = text.split("## Without torch")[1].split("```python\n")[1].split("```")[0]
    assert len([line for line in code.splitlines() if line]) == 3
    ast.parse(code)
    other = next(own for own in CLASSIFIERS if own != DEFAULT)
    for name in (CONFIG, WEIGHTS):
        (tmp_path / name).unlink()
        (tmp_path / name).symlink_to(other / name)
    with pytest.raises(CheckpointError, match="another checkpoint"):
        checkpoint_upload(tmp_path, "user/cry")
