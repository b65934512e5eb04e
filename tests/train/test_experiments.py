"""The tables of trials in docs/experiments.md say what the committed files say."""

import json
import re
from dataclasses import asdict

import pandas as pd
import pytest
from sklearn.metrics import accuracy_score, balanced_accuracy_score

from cry_model.results import read_record
from tests.conftest import ROOT
from train.data.splits import PROTOCOLS
from train.fit.presets import usual_preset, usual_settings

PAGE = (ROOT / "docs" / "experiments.md").read_text(encoding="utf-8")
SEARCH, RESULTS = ROOT / "assets" / "search", ROOT / "assets" / "results"
NUMBER = r"([+-]?[\d.]+)"
ROW = rf"^\| `([\w-]+)` \|[^|]*\|[^|]*\| {NUMBER} \[{NUMBER}, {NUMBER}\] \| {NUMBER} \|"
SCORES = {
    "esc10": ("accuracy", accuracy_score),
    "donateacry": ("balanced_accuracy", balanced_accuracy_score),
}
"""What the table of a corpus shows beside the macro AUC."""
ROWS = {row[1]: row.groups()[1:] for row in re.finditer(ROW, PAGE, re.MULTILINE)}
TRIALS = {folder.name: read_record(folder / "run.json") for folder in sorted(SEARCH.iterdir())}
RAN = {name: record["configuration"] for name, record in TRIALS.items()}


def read(folder):
    words = dict.fromkeys(("clip", "recording", "group"), str)
    return pd.read_csv(folder / "predictions.csv", dtype=words)


def answers(table):
    """One row a recording and seed: its label, and what it is most on average."""
    columns = [name for name in table if name.startswith("p_")]
    mean = table.groupby(["seed", "recording", "label"])[columns].mean()
    return mean.idxmax(axis=1).str.removeprefix("p_").rename("guess").reset_index()


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


@pytest.mark.parametrize("dataset", ["esc10", "donateacry", "synthetic6"])
def test_the_reported_results_were_fitted_with_the_preset_that_was_decided(dataset):
    for protocol in PROTOCOLS:
        for path in (RESULTS / dataset / protocol).glob("*/run.json"):
            ran = read_record(path)["configuration"]
            preset = usual_preset(ran["system"], dataset)
            assert ran["preset"] == json.loads(json.dumps(asdict(preset)))
            assert ran["settings"] == dict(usual_settings(preset, ran["system"]))
