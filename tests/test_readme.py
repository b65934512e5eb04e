"""README and the shipped files say the same, and the numbers follow from the predictions."""

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score

import cry_model
from cry_model.checkpoint import ASSETS, DEFAULT
from cry_model.complexity import MEBI, measure
from cry_model.gate import DEFAULT_GATE
from cry_model.registry import get_system

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


CLASSIFIERS = sorted(folder for folder in ASSETS.iterdir() if folder != DEFAULT_GATE)


@pytest.mark.parametrize("folder", CLASSIFIERS, ids=lambda folder: folder.name)
def test_the_verdicts_are_those_of_the_checkpoints(folder):
    config = cry_model.CheckpointConfig.from_json((folder / "config.json").read_text("utf-8"))
    record = config.evaluation or config.agreement
    assert record.verdict in " ".join(README.split())


SIX = ("challenge6-features", "challenge6-features-16khz")
COLUMNS = [(dataset, protocol) for protocol in ("clip", "recording") for dataset in SIX]


def six(dataset, protocol, system="feature-mlp"):
    folder = ROOT / "assets" / "results" / dataset / protocol / system
    return folder, json.loads((folder / "run.json").read_text(encoding="utf-8"))


def cell(estimate):
    return f"{estimate['value']:.3f} [{estimate['low']:.3f}, {estimate['high']:.3f}]"


def test_the_six_class_table_is_that_of_the_results():
    records = [six(*column)[1] for column in COLUMNS]
    for name in records[0]["metrics"]["recording"]["metrics"]:
        cells = [cell(r["metrics"]["recording"]["metrics"][name]) for r in records]
        assert f"| {name.replace('_', ' ')}, feature MLP | {' | '.join(cells)} |" in README
    for name, row in (("accuracy", "accuracy, RBF SVM"), ("ahead", "feature MLP ahead of it by")):
        cells = [cell(r["beside"]["rbf_svm"][name]) for r in records]
        assert f"| {row} | {' | '.join(cells)} |" in README


@pytest.mark.parametrize(("dataset", "protocol"), COLUMNS)
def test_the_six_class_numbers_follow_from_the_predictions(dataset, protocol):
    folder, record = six(dataset, protocol)
    table = pd.read_csv(folder / "predictions.csv")
    guess = table[[f"p_{label}" for label in record["labels"]]].to_numpy().argmax(1)
    right = (np.array(record["labels"])[guess] == table["label"]).mean()
    measured = record["metrics"]["recording"]["metrics"]["accuracy"]["value"]
    assert measured == pytest.approx(right, abs=1e-9)
    assert sorted(table["seed"].unique()) == [0, 1, 2, 3, 4]
    assert (table.groupby("seed")["recording"].nunique() == (918, 720)[SIX.index(dataset)]).all()
    sides = table.groupby(["seed", "group"])["fold"].nunique().max()
    assert (sides == 1) == (protocol == "recording")


def test_the_pupils_table_follows_from_what_it_and_its_teacher_answered():
    folder, record = six("cries", "baby", "improved-ecapa-tdnn")
    columns = record["labels"]
    table = pd.read_csv(folder / "predictions.csv")
    mean = table.groupby("recording")[[f"p_{label}" for label in columns]].mean()
    told = pd.read_csv(folder / "teacher.csv").set_index("recording").loc[mean.index]
    same = (mean.to_numpy().argmax(1) == told.to_numpy().argmax(1)).mean()
    measured = record["agreement"]
    assert measured["agreement"]["value"] == pytest.approx(same)
    assert table.groupby("group")["fold"].nunique().max() == 1
    for name in ("agreement", "constant", "gain", "divergence", "constant_divergence"):
        assert f"| {cell(measured[name])} |" in README
    for name, stays in record["teacher_stability"].items():
        row = f"| {name} | {100 * stays['agreement']:.0f} % | {stays['divergence']:.3f} |"
        assert f"{row} {100 * stays['outside']:.0f} % |" in README
    config = json.loads((DEFAULT / "config.json").read_text(encoding="utf-8"))
    assert config["agreement"] == measured


def test_the_size_table_is_what_is_counted():
    rows = re.findall(r"^\| (?:Improved|\.\.\.|ECAPA|ResNet|Feature).*", README, flags=re.MULTILINE)
    written = [re.findall(r"\d+\.\d+", row) for row in rows if " G |" in row]
    for name, numbers in zip(cry_model.list_models(), written, strict=True):
        cost = measure(cry_model.build_model(name), get_system(name).num_bands)
        assert f"{cost.parameters / MEBI:.2f}" == numbers[0]
        assert f"{cost.multiply_adds / 1e9:.2f}" in numbers[1:]


def test_the_checkpoint_carries_the_measured_run():
    record = record_of("baby")
    path = ASSETS / "donateacry-improved-ecapa-tdnn" / "config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
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


@pytest.mark.parametrize(
    ("system", "track", "row"),
    [
        ("improved-ecapa-tdnn", "gate", "improved: A<sub>t</sub>, mean of the blocks"),
        ("improved-ecapa-tdnn", "gate_3", "improved: A<sub>t</sub> of block 3"),
        ("improved-ecapa-tdnn", "untrained_gate", "improved, not fitted: A<sub>t</sub>"),
        ("improved-ecapa-tdnn", "gradient_x_input", "improved: gradient x input"),
        ("improved-ecapa-tdnn", "loudness", "loudness (improved)"),
        ("improved-ecapa-tdnn", "rise", "rise in loudness (improved)"),
        ("improved-ecapa-tdnn-no-rse", "gradient_x_input", "without RSE: gradient x input"),
    ],
)
def test_the_attention_table_follows_from_the_rows_of_its_recordings(system, track, row):
    folder, record = six("synthetic6", "attention", system)
    found = record["attention"]["tracks"][track]
    names = ("share", "share_minus_shuffled", "fall", "fall_minus_random")
    assert f"| {row} | {' | '.join(cell(found[name]) for name in names)} |" in README
    table = pd.read_csv(folder / "attention.csv")
    share = table[f"share_{track}"]
    assert found["share"]["value"] == pytest.approx(share.mean(), abs=1e-5)
    ahead = (share - table[f"shuffled_{track}"]).mean()
    assert found["share_minus_shuffled"]["value"] == pytest.approx(ahead, abs=1e-5)
    fell = (table[f"fall_{track}"] - table["fall_random"]).mean()
    assert found["fall_minus_random"]["value"] == pytest.approx(fell, abs=1e-5)


def test_what_attention_was_measured_on_is_what_the_runs_say():
    accuracies = []
    for system in ("improved-ecapa-tdnn", "improved-ecapa-tdnn-no-rse"):
        _, record = six("synthetic6", "attention", system)
        how = record["configuration"]
        asked = f"--epochs {how['preset']['epochs']} --set batch={how['preset']['batch']}"
        assert f"{asked} --folds {how['folds']}`" in README
        accuracies.append(cell(record["metrics"]["recording"]["metrics"]["accuracy"]))
    said = "accuracy {} for the improved system, {} without RSE".format(*accuracies)
    assert said in " ".join(README.split())
