"""Recompute the numbers of committed results, checkpoints and trials from their predictions."""

import json
from dataclasses import asdict

import numpy as np
import pandas as pd
import pytest

from cry_model.checkpoint import ASSETS, DEFAULT
from cry_model.metrics import METRICS
from cry_model.results import read_record
from tests.conftest import ROOT
from tests.plain import plain
from train.data.splits import PROTOCOLS
from train.fit.presets import usual_preset, usual_settings
from train.scoring.calibration import calibrate
from train.scoring.results import read_teacher

RESULTS = ROOT / "assets" / "results"
CUTS = RESULTS / "challenge6_cuts" / "checked" / "probable"
FEATURES = RESULTS / "challenge6-features-16khz" / "recording" / "feature-mlp"
REASONS = RESULTS / "donateacry" / "baby" / "improved-ecapa-tdnn"
DISTILLED = RESULTS / "cries" / "baby" / "improved-ecapa-tdnn"
WORDS = dict.fromkeys(("clip", "recording", "group"), str)
TRIALS = sorted((ROOT / "assets" / "search").iterdir())
SCORED = sorted(  # against labels, including permuted ones
    path.parent for path in RESULTS.rglob("predictions.csv") if path.parent != DISTILLED
)
BUNDLED = {
    "challenge6-features-16khz-feature-mlp": FEATURES,
    DEFAULT.name: CUTS / "ensemble",
    "donateacry-improved-ecapa-tdnn": REASONS,
}
"""Checkpoint -> folder of the run that measured it."""


def name_of(folder):
    return folder.relative_to(RESULTS).as_posix()


def read(folder):
    table = pd.read_csv(folder / "predictions.csv", dtype=WORDS)
    record = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    return table, record, [f"p_{label}" for label in record["labels"]]


def means(folder):
    """Return label indices and mean probabilities of each recording and seed."""
    table, record, columns = read(folder)
    rows = table.groupby(["seed", "recording", "label"], as_index=False)[columns].mean()
    return rows["label"].map(record["labels"].index).to_numpy(), rows[columns].to_numpy()


def config_of(name):
    return json.loads((ASSETS / name / "config.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("folder", SCORED, ids=name_of)
def test_metrics_follow_from_predictions_and_groups_stay_in_a_fold(folder):
    table, record, _ = read(folder)
    truth, p = means(folder)
    ran, measured = record["configuration"], record["metrics"]["recording"]
    close = 5e-6 if "checked" in record else 1e-9  # a check scores unrounded probabilities
    for name in METRICS:
        value = plain(name, truth, p)
        assert measured["metrics"][name]["value"] == pytest.approx(value, abs=close), name
    seeds = record.get("seeds") or ran["seeds"]
    assert len(p) == measured["recordings"] * len(seeds)
    guess = np.array(record["labels"])[p.argmax(1)]
    for label, share in record.get("checked", {}).get("answered", {}).items():
        assert share == pytest.approx((guess == label).mean()), label
    assert not table.duplicated(["seed", "clip"]).any()
    by_seed = table.groupby("seed")
    assert sorted(by_seed.groups) == seeds
    assert by_seed["recording"].nunique().nunique() == 1
    assert (by_seed["fold"].nunique() == ran["folds"]).all()
    # In the feature table and ESC-10 a group is one source recording.
    of_features = ran["dataset"].startswith("challenge6")
    kept = "group" if ran["protocol"] == "baby" or of_features else "recording"
    if ran["protocol"] != "clip":
        assert table.groupby(["seed", kept])["fold"].nunique().max() == 1


@pytest.mark.parametrize("name", BUNDLED)
def test_a_checkpoint_has_its_measured_numbers(name):
    _, record, _ = read(BUNDLED[name])
    config = config_of(name)
    assert config["evaluation"] == record["metrics"]["recording"]
    assert config["agreement"] is None
    if "preset" in record["configuration"]:
        assert config["training"]["preset"] == record["configuration"]["preset"]
    assert set(config["labels"]) == set(record["labels"])


@pytest.mark.parametrize("name", [*BUNDLED, "cries"])
def test_calibration_follows_from_the_predictions(name):
    folder = BUNDLED.get(name, DISTILLED)
    table, record, _ = read(folder)
    found = record["calibration"] if name == "cries" else config_of(name)["calibration"]
    assert record.get("calibration", found) == found
    facts = {key: found[key] for key in ("dataset", "protocol", "folds")}
    told = read_teacher(folder, record["labels"]), found["teacher_temperature"] or 1.0
    again = calibrate(table, record["labels"], found["promised"], *told, **facts)
    for key, value in json.loads(json.dumps(asdict(again))).items():
        if isinstance(value, float | dict):
            assert found[key] == pytest.approx(value, abs=1e-6), key
        else:
            assert found[key] == value, key


def test_agreement_of_the_student_follows_from_the_predictions():
    table, record, columns = read(DISTILLED)
    mean = table.groupby("recording")[columns].mean()
    told = pd.read_csv(DISTILLED / "teacher.csv").set_index("recording").loc[mean.index]
    same = (mean.to_numpy().argmax(1) == told.to_numpy().argmax(1)).mean()
    assert record["agreement"]["agreement"]["value"] == pytest.approx(same)
    assert table.groupby("group")["fold"].nunique().max() == 1
    teacher = config_of("challenge6-features-16khz-feature-mlp")["calibration"]
    assert record["calibration"]["teacher_temperature"] == teacher["temperature"]


@pytest.mark.parametrize("dataset", ["donateacry", "donateacry_ios", "esc10", "synthetic6"])
def test_permutation_tests_support_the_conclusion_in_readme(dataset):
    """Check that p > 0.05 on Donate-a-Cry for every score, and p <= 0.05 on other corpora."""
    for path in (RESULTS / dataset).glob("*/chance.json"):
        record = json.loads(path.read_text(encoding="utf-8"))
        for name, score in record["scores"].items():
            related = not dataset.startswith("donateacry")
            assert (score["p"] <= 0.05) == related, (path, name)
            assert score["p"] >= 1 / (record["permutations"] + 1)


@pytest.mark.parametrize("trial", TRIALS, ids=lambda trial: trial.name)
def test_trials_use_no_held_out_recordings(trial):
    table, record, _ = read(trial)
    ran = record["configuration"]
    reported = read(RESULTS / ran["dataset"] / ran["protocol"] / ran["system"])[0]
    reported = reported[reported["seed"] == 0]
    seen = set(reported["recording"])  # all folds, if the choice was made within the first
    if "within" in ran:
        assert ran["within"] == {"fold": 0, "folds": 5, "seed": 0}
        seen = set(reported.loc[reported["fold"] != 0, "recording"])
    assert set(table["recording"]) == seen


@pytest.mark.parametrize("dataset", ["esc10", "donateacry", "synthetic6", "challenge6_cuts"])
def test_reported_results_used_the_chosen_preset(dataset):
    for protocol in PROTOCOLS:
        for path in (RESULTS / dataset / protocol).glob("*/run.json"):
            ran = read_record(path)["configuration"]
            preset = usual_preset(ran["system"], dataset)
            assert ran["preset"] == json.loads(json.dumps(asdict(preset)))
            assert ran["settings"] == dict(usual_settings(preset, ran["system"]))
