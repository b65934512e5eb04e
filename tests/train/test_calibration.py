"""Temperature and threshold against plain computations, the promise, and the command."""

import json

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

import cry_model
from cry_model import CheckpointConfig, FrontEndConfig, save_checkpoint
from cry_model.calibration import fit_temperature, group_weights
from train.__main__ import main
from train.data.corpus import DataError
from train.scoring.calibration import EVERYTHING, calibrate, fit_threshold

LABELS = ("awake", "hug", "hungry")
P = [f"p_{label}" for label in LABELS]
FACTS = {"dataset": "donateacry", "protocol": "baby", "folds": 4}


def one_hot(labels, classes=3):
    return np.eye(classes)[labels]


# The threshold


def babies(rng, count):
    """Recordings of ``count`` babies: some cry often and are easy, others seldom and are hard.

    All cries of one are alike, and how sure the model is of their labels varies with the baby.
    """
    rows, labels, groups = [], [], []
    for baby in range(count):
        often = rng.random() < 0.5
        size = rng.integers(20, 40) if often else rng.integers(1, 4)
        truth = rng.integers(3, size=size)
        skill = rng.normal(2.0 if often else 0.0, 0.7)
        rows.append(softmax(skill * one_hot(truth) + rng.normal(0, 0.3, (size, 3)), axis=1))
        labels.append(truth)
        groups += [f"baby{baby}"] * size
    return np.concatenate(rows), np.concatenate(labels), np.array(groups)


@pytest.mark.parametrize(
    ("groups", "promised", "expected"),
    [(4, 0.8, 0.4), (4, 0.81, EVERYTHING), (3, 0.8, EVERYTHING), (0, 0.8, EVERYTHING)],
)
def test_four_groups_promise_four_fifths_and_no_more(groups, promised, expected):
    probabilities = np.array([[0.9, 0.1], [0.8, 0.2], [0.7, 0.3], [0.6, 0.4]])[:groups]
    targets, names = one_hot(np.zeros(groups, dtype=int), 2), np.arange(groups).astype(str)
    found = fit_threshold(probabilities, targets, names, promised)
    assert found == pytest.approx(expected)
    if not groups:
        assert fit_temperature(probabilities, targets, group_weights(names)) == 1


def test_the_promise_holds_for_a_new_baby_and_not_where_recordings_are_taken_for_babies():
    """The threshold for 25 babies, asked about the cries of another one, 400 times over."""
    rng, by_group, by_recording = np.random.default_rng(0), [], []
    for _ in range(400):
        probabilities, labels, groups = babies(rng, 26)
        new = groups == "baby25"
        known, targets = probabilities[~new], one_hot(labels[~new])
        scores = 1 - probabilities[new, labels[new]]
        by_group.append(np.mean(scores <= fit_threshold(known, targets, groups[~new], 0.8)))
        ungrouped = fit_threshold(known, targets, np.arange((~new).sum()).astype(str), 0.8)
        by_recording.append(np.mean(scores <= ungrouped))
    error = np.std(by_group) / np.sqrt(400)
    assert np.mean(by_group) > 0.8 - 2 * error
    assert np.mean(by_group) < 0.8 + 1 / 26 + 2 * error  # and promises no more than it must
    assert np.mean(by_recording) < 0.75


# What is measured


def synthetic(babies=40, folds=4, seeds=(0, 1), pieces=2):
    """Predictions of recordings in pieces; a baby is in one fold, another one for each seed."""
    rng, rows = np.random.default_rng(0), []
    for seed in seeds:
        for baby in range(babies):
            for take in range(1 + baby % 5):
                label = LABELS[(baby * 7 + take * baby) % 3]
                name = f"{baby}-{take}"
                for piece in range(pieces):
                    row = {"clip": f"{name}#{piece}", "recording": name, "group": f"b{baby:02}"}
                    row |= {"fold": (baby + seed) // 2 % folds, "seed": seed, "label": label}
                    logits = rng.normal(0, 1, 3) + 1.5 * (np.array(LABELS) == label)
                    rows.append(row | dict(zip(P, softmax(logits), strict=True)))
    return pd.DataFrame(rows)


def by_hand(table, promised, targets_of):
    """Cross-conformal prediction written out: size of each set and share held, and of all rows."""
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
            inside = 1 - answer <= threshold + 1e-6  # the optimisers end apart
            held = (inside * targets_of(r)).sum()
            out.append({"group": r.group, "size": inside.sum(), "held": held})
    return pd.DataFrame(out), settled(rows)


@pytest.mark.parametrize(("taught", "promised"), [(False, 0.7), (False, 0.9), (True, 0.7)])
def test_what_is_measured_is_what_is_counted_by_hand(taught, promised):
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


def test_pieces_heard_in_training_promise_nothing():
    table = synthetic()
    table["fold"] = np.arange(len(table)) % 4
    with pytest.raises(DataError, match="another protocol than clip"):
        calibrate(table, LABELS, **FACTS)


# The command


@pytest.fixture
def finished(tmp_path):
    """The folder of a run, and the checkpoint of the same fit."""
    folder = tmp_path / "results"
    folder.mkdir()
    synthetic().to_csv(folder / "predictions.csv", index=False, float_format="%.6f")
    how = {"system": "resnet18", "data": "d1", "settings": {}, "preset": {"name": "best"}}
    run = {"configuration": {**how, **FACTS}, "labels": list(LABELS), "metrics": {"x": 1}}
    (folder / "run.json").write_text(json.dumps(run))
    training = {"dataset": "donateacry", **how}
    config = CheckpointConfig("resnet18", LABELS, FrontEndConfig(), training=training)
    save_checkpoint(tmp_path / "checkpoint", config.build(), config)
    return folder, tmp_path / "checkpoint"


def calibrated(folder, *more):
    """What the command writes."""
    assert main(["calibrate", str(folder), *map(str, more)]) == 0
    return json.loads((folder / "run.json").read_text())["calibration"]


def test_the_command_writes_it_into_run_and_checkpoint_and_leaves_the_rest(finished):
    folder, checkpoint = finished
    stay = (folder / "predictions.csv", checkpoint / "model.safetensors")
    before = [path.read_bytes() for path in stay]
    found = calibrated(folder, "--checkpoint", checkpoint, "--coverage", "0.7")
    assert json.loads((checkpoint / "config.json").read_text())["calibration"] == found
    assert cry_model.load_checkpoint(checkpoint)[1].calibration.promised == 0.7
    assert json.loads((folder / "run.json").read_text())["metrics"] == {"x": 1}
    assert [path.read_bytes() for path in stay] == before


@pytest.mark.parametrize(
    ("change", "words", "said"),
    [
        ({}, ["--teacher", "CHECKPOINT"], "learnt from labels"),
        ({"data": "d2"}, ["--checkpoint", "CHECKPOINT"], "was not fitted as this run was"),
        ({}, ["--checkpoint", "nowhere"], "There is no config.json"),
    ],
)
def test_what_does_not_belong_together_is_one_sentence(finished, change, words, said, capsys):
    folder, checkpoint = finished
    record = json.loads((folder / "run.json").read_text())
    record["configuration"].update(change)
    (folder / "run.json").write_text(json.dumps(record))
    words = [str(checkpoint) if word == "CHECKPOINT" else word for word in words]
    assert main(["calibrate", str(folder), *words]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert "Traceback" not in error
    assert "calibration" not in json.loads((folder / "run.json").read_text())
    assert main(["calibrate", str(folder.parent)]) == 2
    assert "There is no finished run in" in capsys.readouterr().err
