"""README and the shipped files say the same, and the numbers follow from the predictions."""

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score

import cry_model
from cry_model.checkpoint import DEFAULT
from cry_model.complexity import MEBI, measure

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
RESULTS = ROOT / "assets" / "results" / "donateacry"
RUNS = {p: RESULTS / p / "improved-ecapa-tdnn" for p in ("clip", "recording", "baby")}


def record_of(protocol):
    return json.loads((RUNS[protocol] / "run.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    "command",
    [
        "pip install -r requirements.txt && python app.py",
        "pip install -r requirements-dev.txt && pytest",
    ],
)
def test_the_two_commands_are_there(command):
    assert f"```bash\n{command}\n```" in README


def test_the_measured_table_is_that_of_the_results():
    measured = [record_of(protocol)["metrics"]["recording"]["metrics"] for protocol in RUNS]
    for name in measured[0]:
        cells = [
            f"{m[name]['value']:.3f} [{m[name]['low']:.3f}, {m[name]['high']:.3f}]"
            for m in measured
        ]
        assert f"| {name.replace('_', ' ')} | {' | '.join(cells)} |" in README
    recalls = [record_of(protocol)["metrics"]["recording"]["recall"] for protocol in RUNS]
    support = record_of("baby")["metrics"]["recording"]["support"]
    for label, count in support.items():
        cells = [f"{100 * recall[label]:.0f} %" for recall in recalls]
        row = f"| found of {count} {label.replace('_', ' ')} | {' | '.join(cells)} |"
        assert row in README


def test_the_verdict_is_that_of_the_checkpoint():
    config = cry_model.CheckpointConfig.from_json((DEFAULT / "config.json").read_text("utf-8"))
    assert config.evaluation.verdict in " ".join(README.split())


def test_the_size_table_is_what_is_counted():
    rows = re.findall(r"^\| (?:Improved|\.\.\.|ECAPA|ResNet).*", README, flags=re.MULTILINE)
    written = [re.findall(r"\d+\.\d+", row) for row in rows if " G |" in row]
    for name, numbers in zip(cry_model.list_models(), written, strict=True):
        cost = measure(cry_model.build_model(name))
        assert f"{cost.parameters / MEBI:.2f}" == numbers[0]
        assert f"{cost.multiply_adds / 1e9:.2f}" in numbers[1:]


def test_the_checkpoint_carries_the_measured_run():
    record = record_of("baby")
    config = json.loads((DEFAULT / "config.json").read_text(encoding="utf-8"))
    assert config["evaluation"] == record["metrics"]["recording"]
    assert config["training"]["preset"] == record["configuration"]["preset"]


@pytest.mark.parametrize("protocol", RUNS)
def test_the_metrics_follow_from_the_predictions(protocol):
    record = record_of(protocol)
    table = pd.read_csv(RUNS[protocol] / "predictions.csv")
    columns = [f"p_{label}" for label in record["labels"]]
    mean = table.groupby(["recording", "label"], as_index=False)[columns].mean()
    guess = np.array(record["labels"])[mean[columns].to_numpy().argmax(1)]
    expected = {
        "accuracy": accuracy_score(mean["label"], guess),
        "balanced_accuracy": balanced_accuracy_score(mean["label"], guess),
        "macro_f1": f1_score(mean["label"], guess, average="macro"),
    }
    measured = record["metrics"]["recording"]["metrics"]
    for name, value in expected.items():
        assert measured[name]["value"] == pytest.approx(value, abs=1e-9)
    assert len(mean) == record["metrics"]["recording"]["recordings"]


def test_no_baby_was_tested_by_a_model_that_had_heard_it():
    table = pd.read_csv(RUNS["baby"] / "predictions.csv")
    assert table.groupby("group")["fold"].nunique().max() == 1
    assert table["fold"].nunique() == 5


def test_the_protocols_differ_only_in_the_split():
    first, *others = (record_of(p)["configuration"] for p in RUNS)
    for other in others:
        assert {k for k in first if first[k] != other[k]} == {"protocol"}
