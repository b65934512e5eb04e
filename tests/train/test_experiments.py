"""The tables of trials in docs/experiments.md say what the committed files say."""

import json
import re
from dataclasses import asdict

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score, balanced_accuracy_score

from cry_model.results import read_record
from tests.conftest import ROOT
from train.data.splits import PROTOCOLS
from train.fit.presets import WIDE, usual_preset, usual_settings

PAGE = (ROOT / "docs" / "experiments.md").read_text(encoding="utf-8")
SEARCH, RESULTS = ROOT / "assets" / "search", ROOT / "assets" / "results"
NUMBER = r"([+-]?[\d.]+)"
ROW = rf"^\| `([\w-]+)` \|[^|]*\|[^|]*\| {NUMBER} \[{NUMBER}, {NUMBER}\] \| {NUMBER} \|"
AHEAD = r"^\| `([\w-]+)` \|.*\| ([+-][\d.]+) \[([+-][\d.]+), ([+-][\d.]+)\] \|"
SCORES = {
    "esc10": ("accuracy", accuracy_score),
    "donateacry": ("balanced_accuracy", balanced_accuracy_score),
}
"""What the table of a corpus shows beside the macro AUC."""
ROWS = {row[1]: row.groups()[1:] for row in re.finditer(ROW, PAGE, re.MULTILINE)}
TRIALS = {folder.name: read_record(folder / "run.json") for folder in sorted(SEARCH.iterdir())}
RAN = {name: record["configuration"] for name, record in TRIALS.items()}
FOLDS = [name for name, ran in RAN.items() if "within" not in ran]
"""Trials on all folds, of choices that were made within the first."""
BEFORE = {RAN[name]["system"]: name for name in TRIALS if name.startswith("pcen-folds")}
"""What was reported of each system on ESC-10 before the seventh round: 240 steps with PCEN."""


def read(folder):
    words = dict.fromkeys(("clip", "recording", "group"), str)
    return pd.read_csv(folder / "predictions.csv", dtype=words)


def answers(table):
    """One row a recording and seed: its label, and the mean answer."""
    columns = [name for name in table if name.startswith("p_")]
    kept = ["seed", "recording", "group", "fold", "label"]
    mean = table.groupby(kept)[columns].mean().reset_index()
    mean["guess"] = mean[columns].idxmax(axis=1).str.removeprefix("p_")
    mean["right"] = (mean["guess"] == mean["label"]).astype(float)
    return mean.set_index("recording")


def metrics(name):
    return TRIALS[name]["metrics"]["recording"]["metrics"]


def test_every_trial_has_a_row_and_every_row_a_trial():
    assert set(ROWS) == set(TRIALS)


@pytest.mark.parametrize("name", TRIALS)
def test_a_row_says_what_was_measured(name):
    ran, table = RAN[name], read(SEARCH / name)
    reported = read(RESULTS / ran["dataset"] / ran["protocol"] / ran["system"])
    reported = reported[reported["seed"] == 0]
    if "within" in ran:
        assert ran["within"] == {"fold": 0, "folds": 5, "seed": 0}
        put_aside = set(reported.loc[reported["fold"] == 0, "recording"])
        assert put_aside
        assert not set(table["recording"]) & put_aside
    else:  # all folds, of a choice that was made within the first
        assert set(table["recording"]) == set(reported["recording"])
    mean, (metric, score) = answers(table), SCORES[ran["dataset"]]
    shown = [score(mean["label"], mean["guess"])]
    shown += [metrics(name)[metric][end] for end in ("low", "high")]
    assert ROWS[name] == tuple(f"{x:.3f}" for x in [*shown, metrics(name)["macro_auc"]["value"]])


@pytest.mark.parametrize(
    "row",
    [row for row in re.finditer(AHEAD, PAGE, re.MULTILINE) if row[1] not in FOLDS],
    ids=lambda row: row[1],
)
def test_how_far_a_trial_is_ahead_follows_from_both(row):
    start = re.findall(r"ahead of `(.*?)` \|", PAGE[: row.start()])[-1]  # the table's head says so
    one, other = (answers(read(SEARCH / name)) for name in (row[1], start))
    ahead = one["right"] - other["right"].loc[one.index]
    assert f"{ahead.mean():+.3f}" == row[2]
    sums = ahead.groupby(one["group"]).agg(["sum", "size"]).to_numpy()
    drawn = sums[np.random.default_rng(1).integers(len(sums), size=(4000, len(sums)))].sum(1)
    bounds = np.percentile(drawn[:, 0] / drawn[:, 1], [2.5, 97.5])
    np.testing.assert_allclose(bounds, [float(row[3]), float(row[4])], atol=0.01)


@pytest.mark.parametrize("dataset", ["esc10", "donateacry", "synthetic6"])
def test_the_reported_results_were_fitted_with_the_preset_that_was_decided(dataset):
    for protocol in PROTOCOLS:
        for path in (RESULTS / dataset / protocol).glob("*/run.json"):
            ran = read_record(path)["configuration"]
            preset = usual_preset(ran["system"], dataset)
            assert ran["preset"] == json.loads(json.dumps(asdict(preset)))
            assert ran["settings"] == dict(usual_settings(preset, ran["system"]))


@pytest.mark.parametrize("name", [name for name in FOLDS if name not in BEFORE.values()])
def test_all_folds_of_a_choice_beside_240_steps_with_pcen(name):
    tried = answers(read(SEARCH / name))
    before = answers(read(SEARCH / BEFORE[RAN[name]["system"]])).loc[tried.index]
    assert (tried["fold"] == before["fold"]).all()
    first = [one.loc[one["fold"] == 0, "right"].mean() for one in (tried, before)]
    ahead = tried["right"].mean() - before["right"].mean()
    row = next(line for line in PAGE.splitlines() if line.startswith(f"| `{name}` |"))
    written = re.search(r"\| ([\d.]+) \(([\d.]+)\) \| ([+-][\d.]+) \[", row).groups()
    # Of 80 and of 400 recordings: some lie in the middle of two thousandths.
    np.testing.assert_allclose([float(w) for w in written], [*first, ahead], atol=0.000501)


def test_the_rule_of_the_seventh_round_gives_the_preset():
    plainest_first = ("steps600", "steps1200", "steps1200-augmented")
    accuracy = {name: metrics(name)["accuracy"]["value"] for name in plainest_first}
    assert all(TRIALS[name]["seeds"] == [0, 1, 2] for name in plainest_first)
    best = max(accuracy.values())
    assert next(n for n in plainest_first if accuracy[n] >= best - 0.005) == "steps1200"
    tried, chosen = RAN["steps1200"]["preset"], json.loads(json.dumps(asdict(WIDE)))
    assert tried == {**chosen, "samples_per_epoch": 320}  # a fold of ESC-10 has as many to learn


def test_what_log_mel_says_of_differential_attention_is_in_its_file():
    found = json.loads((SEARCH / "log-mel-folds" / "attention_effect.json").read_text())
    gain = found["ablated"]["differential"]["metrics"]["balanced_accuracy"]["difference"]
    said = "uniform the fitted system gains {value:.3f} [{low:.3f}, {high:.3f}]".format(**gain)
    assert said in " ".join(PAGE.split())
