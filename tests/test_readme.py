"""README and the shipped files say the same, and the numbers follow from the predictions."""

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score, roc_auc_score

import cry_model
from cry_model.checkpoint import ASSETS, DEFAULT
from cry_model.complexity import MEBI, measure
from cry_model.registry import get_system
from tests.stand_ins import CLASSIFIERS
from train.datasets.esc10 import LABELS as ESC10
from train.gate_check import FAMILIES

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


CALIBRATED = {
    "challenge6-features-16khz-feature-mlp": ("challenge6-features-16khz", "recording"),
    "cries-improved-ecapa-tdnn": ("cries", "baby"),
    "donateacry-improved-ecapa-tdnn": ("donateacry", "baby"),
}


def calibrations():
    for name, (dataset, protocol) in CALIBRATED.items():
        folder = ROOT / "assets" / "results" / dataset / protocol / name[len(dataset) + 1 :]
        record = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        config = json.loads((ASSETS / name / "config.json").read_text(encoding="utf-8"))
        yield folder, record, config


def test_the_table_of_coverage_is_that_of_the_results_and_of_the_checkpoints():
    found = [record["calibration"] for _, record, _ in calibrations()]
    assert found == [config["calibration"] for _, _, config in calibrations()]

    def row(title, write):
        return f"| {title} | {' | '.join(map(write, found))} |"

    for line in (
        row("promised coverage", lambda c: f"{c['promised']:.3f}"),
        row("measured coverage", lambda c: cell(c["coverage"])),
        row("labels named", lambda c: cell(c["size"])),
        row('all named: "can\'t tell"', lambda c: f"{100 * c['full']:.1f} %"),
        row("none named", lambda c: f"{100 * c['empty']:.2f} %"),
        row("labels to name each time for as much", lambda c: str(len(c["constant_set"]))),
        row("expected calibration error before", lambda c: cell(c["error_before"])),
        row("expected calibration error after", lambda c: cell(c["error_after"])),
        row("temperature", lambda c: f"{c['temperature']:.3f}"),
    ):
        assert line in README
    features, pupil, reasons = found
    words, always = " ".join(README.split()), reasons["constant_coverage"]
    rare = features["by_label"]["uncomfortable"]
    size, held = reasons["size"]["value"], reasons["coverage"]["value"]
    for sentence in (
        f"{features['size']['value']:.1f} and {pupil['size']['value']:.1f} of six labels named",
        f'"uncomfortable" is among those that the feature MLP names for {100 * rare:.0f} %',
        f'"belly pain" for {100 * reasons["by_label"]["belly_pain"]:.0f} % of those',
        f'always saying "hungry" would be enough for {100 * always:.0f} %, every baby counting '
        f"alike, so sets of {size:.1f} reasons that hold {100 * held:.0f} %",
    ):
        assert sentence in words
    assert reasons["constant_set"] == ["hungry"]
    assert pupil["teacher_temperature"] == features["temperature"]
    assert features["empty"] == pupil["empty"] == 0


@pytest.mark.parametrize("name", CALIBRATED)
def test_threshold_and_coverage_follow_from_the_predictions(name):
    folder, record, _ = dict(zip(CALIBRATED, calibrations(), strict=True))[name]
    found, columns = record["calibration"], [f"p_{label}" for label in record["labels"]]
    table = pd.read_csv(folder / "predictions.csv", dtype={"group": str, "recording": str})
    rows = table.groupby(["recording", "group", "seed", "fold", "label"])[columns].mean()
    rows = rows.reset_index()
    hot = rows[columns].to_numpy() ** (1 / found["temperature"])
    scores = 1 - hot / hot.sum(1, keepdims=True)
    targets = np.array(record["labels"])[None] == rows["label"].to_numpy()[:, None]
    if found["against"] == "teacher":
        told = pd.read_csv(folder / "teacher.csv").set_index("recording").loc[rows["recording"]]
        targets = told.to_numpy() ** (1 / found["teacher_temperature"])
        targets /= targets.sum(1, keepdims=True)
    share = 1 / rows.groupby("group")["seed"].transform("size").to_numpy()
    held = share @ ((scores <= found["threshold"] + 1e-9) * targets).sum(1)
    groups = rows["group"].nunique()
    assert held / (groups + 1) >= found["promised"] - 1e-9
    below = share @ ((scores < found["threshold"] - 1e-9) * targets).sum(1)
    assert below / (groups + 1) < found["promised"]
    # Leaving a fold out moves the threshold little, so this is near what was measured.
    assert found["coverage"]["value"] == pytest.approx(held / groups, abs=0.01)
    assert groups == found["groups"]


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
    mean = table.groupby(["seed", "recording", "label"], as_index=False)[columns].mean()
    guess = np.array(record["labels"])[mean[columns].to_numpy().argmax(1)]
    expected = {
        "accuracy": accuracy_score(mean["label"], guess),
        "balanced_accuracy": balanced_accuracy_score(mean["label"], guess),
        "macro_f1": f1_score(mean["label"], guess, average="macro"),
    }
    measured = record["metrics"]["recording"]["metrics"]
    for name, value in expected.items():
        assert measured[name]["value"] == pytest.approx(value, abs=1e-9)
    assert sorted(mean["seed"].unique()) == record["seeds"]
    assert len(mean) == record["metrics"]["recording"]["recordings"] * len(record["seeds"])


def test_no_baby_was_tested_by_a_model_that_had_heard_it():
    table = pd.read_csv(RUNS["baby"] / "predictions.csv")
    assert table.groupby(["seed", "group"])["fold"].nunique().max() == 1
    assert (table.groupby("seed")["fold"].nunique() == 5).all()


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
        preset = how["preset"]
        changed = {
            "batch": preset["batch"],
            "mixup": preset["augmentation"]["mixup"],
            "centre": preset["front_end"].get("centre", 0.0),  # older than this field
        }
        asked = " ".join(f"{name}={value}" for name, value in changed.items())
        command = f"--epochs {preset['epochs']} --set {asked} --folds {how['folds']}`"
        assert command in README
        accuracies.append(cell(record["metrics"]["recording"]["metrics"]["accuracy"]))
    said = "accuracy {} for the improved system, {} without RSE".format(*accuracies)
    assert said in " ".join(README.split())


GATE = ROOT / "assets" / "results" / "gate" / "baby" / "ecapa-tdnn"


def whole(share):
    return f"{100 * share:.0f} %"


def test_the_numbers_of_the_gate_are_those_of_the_results():
    gate = json.loads((GATE / "run.json").read_text(encoding="utf-8"))["gate"]
    for words, name in (
        ("ESC-10: area under the ROC curve", "area"),
        ("ESC-10: cries taken for cries", "accepted"),
        ("ESC-10: other sounds taken for cries", "false_accepts"),
        ("everything: area under the ROC curve", "area_all"),
    ):
        assert f"| {words} | {cell(gate[name])} |" in README
    assert f"| still heard | {' | '.join(map(whole, gate['mixed'].values()))} |" in README
    for family, share in gate["unheard"].items():
        kinds = FAMILIES[family]
        known = " / ".join(whole(gate["kinds"][kind]) for kind in kinds) if len(kinds) < 6 else "-"
        rows = [line for line in README.splitlines() if line.startswith(f"| {title(family)}")]
        assert any(line.endswith(f"| {known} | {whole(share)} |") for line in rows), family


def test_the_scores_of_the_gate_give_its_numbers():
    gate = json.loads((GATE / "run.json").read_text(encoding="utf-8"))["gate"]
    table = pd.read_csv(GATE / "scores.csv", keep_default_na=False)
    plain = table[(table["without"] == "") & (table["snr_db"] == "")]
    esc = plain[plain["kind"].isin(ESC10)]
    assert len(esc) == 400
    assert roc_auc_score(esc["label"] == "cry", esc["score"]) == pytest.approx(
        gate["area"]["value"], abs=1e-4
    )
    rooster = table[table["without"] == "rooster"]
    share = (rooster["score"] >= gate["threshold"]).mean()
    assert gate["unheard"]["rooster"] == pytest.approx(share)


def title(family):
    return family.replace("_", " ")


def test_the_costs_of_gate_minutes_and_stream_are_those_of_the_benchmark():
    path = ROOT / "assets" / "results" / "benchmark.json"
    record = json.loads(path.read_text(encoding="utf-8"))
    gate, live, text = record["gate"], record["live"], " ".join(README.split())
    assert f"{gate['with_gate']:.1f} ms instead of {gate['without']:.1f} ms" in text
    assert f"({gate['ratio']:.2f} times)" in text
    for cost in record["ten_minutes"]["costs"]:
        assert f"| {cost['recording']} | {cost['cries']} | {cost['seconds']:.1f} |" in README
    for name in ("quiet", "reasons"):
        assert f"{live[name]:.0f} ms" in text
    assert f"{live['memory_10_minutes']:.0f} MB after ten" in text


def test_the_folds_that_nobody_looked_at_are_those_of_the_scores():
    table = pd.read_csv(GATE / "scores.csv", keep_default_na=False)
    plain = table[(table["without"] == "") & (table["snr_db"] == "") & table["kind"].isin(ESC10)]
    unseen = plain[plain["fold"] >= 2]
    cry, scores = (unseen["label"] == "cry").to_numpy(), unseen["score"].to_numpy()
    threshold = np.sort(scores[cry])[::-1][int(np.ceil(0.95 * cry.sum())) - 1]
    text = " ".join(README.split())
    assert f"the area is {roc_auc_score(cry, scores):.4f}" in text
    assert f"{100 * (scores[~cry] >= threshold).mean():.1f} % of their other sounds do" in text
