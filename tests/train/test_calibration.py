"""Test temperature and threshold against plain computations, the coverage, the command."""

import json
from dataclasses import replace
from itertools import product

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

import cry_model
from cry_model.calibration import fit_temperature, group_weights
from tests.train.folders import contents
from tests.train.small_fit import CHECKPOINT, RESULTS
from train.__main__ import main
from train.data.corpus import DataError
from train.scoring.calibration import EVERYTHING, calibrate, fit_threshold

LABELS = ("awake", "hug", "hungry")
P = [f"p_{label}" for label in LABELS]
FACTS = {"dataset": "donateacry", "protocol": "baby", "folds": 4}


def one_hot(labels, classes=3):
    return np.eye(classes)[labels]


def babies(rng, count):
    """Simulate recordings of ``count`` babies: frequent criers are easy, rare ones are hard.

    Cries of one baby are alike, and the model's confidence in their labels varies between babies.
    """
    often = rng.random(count) < 0.5
    sizes = np.where(often, rng.integers(20, 40, count), rng.integers(1, 4, count))
    skill = rng.normal(2.0 * often, 0.7).repeat(sizes)[:, None]
    labels = rng.integers(3, size=sizes.sum())
    logits = skill * one_hot(labels) + rng.normal(0, 0.3, (len(labels), 3))
    return softmax(logits, axis=1), labels, np.arange(count).repeat(sizes).astype(str)


@pytest.mark.parametrize(
    ("groups", "promised", "expected"),
    [(4, 0.8, 0.4), (4, 0.81, EVERYTHING), (3, 0.8, EVERYTHING), (0, 0.8, EVERYTHING)],
)
def test_four_groups_allow_a_coverage_of_four_fifths_at_most(groups, promised, expected):
    probabilities = np.array([[0.9, 0.1], [0.8, 0.2], [0.7, 0.3], [0.6, 0.4]])[:groups]
    targets, names = one_hot(np.zeros(groups, dtype=int), 2), np.arange(groups).astype(str)
    found = fit_threshold(probabilities, targets, names, promised)
    assert found == pytest.approx(expected)
    if not groups:
        assert fit_temperature(probabilities, targets, group_weights(names)) == 1


def test_coverage_holds_for_new_babies_only_if_groups_are_used():
    """Measure the coverage on a new baby of a threshold fitted to 25 babies, 400 times."""
    rng, by_group, by_recording = np.random.default_rng(0), [], []
    for _ in range(400):
        probabilities, labels, groups = babies(rng, 26)
        new = groups == "25"
        known, targets = probabilities[~new], one_hot(labels[~new])
        scores = 1 - probabilities[new, labels[new]]
        by_group.append(np.mean(scores <= fit_threshold(known, targets, groups[~new], 0.8)))
        ungrouped = fit_threshold(known, targets, np.arange((~new).sum()).astype(str), 0.8)
        by_recording.append(np.mean(scores <= ungrouped))
    error = np.std(by_group) / np.sqrt(400)
    assert np.mean(by_group) > 0.8 - 2 * error
    assert np.mean(by_group) < 0.8 + 1 / 26 + 2 * error  # and is not too conservative
    assert np.mean(by_recording) < 0.75


def synthetic():
    """Return predictions of recordings in pieces; the fold of a baby depends on the seed."""
    rng, rows = np.random.default_rng(0), []
    for seed, baby, take, piece in product((0, 1), range(40), range(5), (0, 1)):
        if take > baby % 5:
            continue
        label, name = LABELS[(baby * 7 + take * baby) % 3], f"{baby}-{take}"
        row = {"clip": f"{name}#{piece}", "recording": name, "group": f"b{baby:02}"}
        row |= {"fold": (baby + seed) // 2 % 4, "seed": seed, "label": label}
        logits = rng.normal(0, 1, 3) + 1.5 * (np.array(LABELS) == label)
        rows.append(row | dict(zip(P, softmax(logits), strict=True)))
    return pd.DataFrame(rows)


def by_hand(table, promised, targets_of):
    """Spell out cross-conformal prediction: size and coverage of each set, and the final fit."""
    rows = table.groupby(["seed", "recording", "group", "fold", "label"])[P].mean().reset_index()

    def settled(part):
        weight = 1 / part.groupby("group")["recording"].transform("size").to_numpy()
        targets = np.stack([targets_of(r) for r in part.itertuples()])
        logs = np.log(part[P].to_numpy())

        def loss(t):
            return -(weight @ (targets * log_softmax(logs / t, axis=1)).sum(1))

        t = minimize_scalar(loss, bounds=(0.05, 20), method="bounded", options={"xatol": 1e-8}).x
        scores = 1 - softmax(logs / t, axis=1)
        share = weight[:, None] * targets / (part["group"].nunique() + 1)
        reached = (s for s in np.sort(scores.ravel()) if share[scores <= s].sum() >= promised)
        return t, next(reached, 1.0)

    out = []
    for _, tested in rows.groupby(["seed", "fold"]):
        t, threshold = settled(rows[~rows["group"].isin(tested["group"])])
        for r in tested.itertuples():
            answer = softmax(np.log([getattr(r, p) for p in P]) / t)
            inside = 1 - answer <= threshold + 1e-6  # the optimisers differ a little
            held = (inside * targets_of(r)).sum()
            out.append({"group": r.group, "size": inside.sum(), "held": held})
    return pd.DataFrame(out), settled(rows)


@pytest.mark.parametrize(("taught", "promised"), [(False, 0.7), (False, 0.9), (True, 0.7)])
def test_coverage_and_size_match_a_plain_computation(taught, promised):
    table, rng = synthetic(), np.random.default_rng(3)
    told = {name: rng.dirichlet([1, 1, 1]) for name in table["recording"].unique()}

    def targets_of(row):
        if not taught:
            return (np.array(LABELS) == row.label).astype(float)
        return softmax(np.log(told[row.recording]) / 0.9)

    found = calibrate(table, LABELS, promised, told if taught else None, 0.9, **FACTS)
    rows, (temperature, threshold) = by_hand(table, promised, targets_of)
    assert found.temperature == pytest.approx(temperature, rel=1e-3)
    assert found.threshold == pytest.approx(threshold, abs=1e-3)
    alike = rows.groupby("group").mean()
    assert found.coverage.value == pytest.approx(alike["held"].mean(), abs=2e-3)
    assert found.size.value == pytest.approx(alike["size"].mean(), abs=5e-3)
    full = (rows["size"] == 3).groupby(rows["group"]).mean().mean()
    assert found.full == pytest.approx(full, abs=5e-3)
    assert found.coverage.low < found.coverage.value < found.coverage.high
    assert (found.groups, found.recordings, found.seeds) == (40, 120, (0, 1))
    assert found.against == ("teacher" if taught else "labels")
    assert found.teacher_temperature == (0.9 if taught else None)


def test_calibration_refuses_recordings_split_over_folds():
    table = synthetic()
    table["fold"] = np.arange(len(table)) % 4
    with pytest.raises(DataError, match="a protocol other than clip"):
        calibrate(table, LABELS, **FACTS)


def test_the_command_changes_only_run_and_config(copied_fit):
    folder, checkpoint = copied_fit / RESULTS, copied_fit / CHECKPOINT
    before, run = contents(copied_fit), json.loads((folder / "run.json").read_text())
    words = [str(folder), "--checkpoint", str(checkpoint), "--coverage", "0.7"]
    assert main(["calibrate", *words]) == 0
    after, found = contents(copied_fit), json.loads((folder / "run.json").read_text())
    changed = {folder / "run.json", checkpoint / "config.json"}
    assert {copied_fit / name for name in after if after[name] != before.get(name)} == changed
    assert found == {**run, "calibration": found["calibration"]}
    config = json.loads((checkpoint / "config.json").read_text())
    assert config["calibration"] == found["calibration"]
    assert cry_model.load_checkpoint(checkpoint)[1].calibration.promised == 0.7


@pytest.mark.parametrize(
    ("where", "more", "said"),
    [
        (RESULTS, ["--checkpoint", "other"], "is not a checkpoint of this run"),
        (RESULTS, ["--checkpoint", "nowhere"], "There is no config.json"),
        (RESULTS.parent, [], "There is no finished run in"),
    ],
)
def test_mismatched_arguments_are_refused(copied_fit, monkeypatch, where, more, said, capsys):
    monkeypatch.chdir(copied_fit)
    model, config = cry_model.load_checkpoint(CHECKPOINT)
    other = replace(config, training={**config.training, "data": "d2"})
    cry_model.save_checkpoint("other", model, other)
    before = contents(copied_fit)
    assert main(["calibrate", str(where), *map(str, more)]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert "Traceback" not in error
    assert contents(copied_fit) == before
