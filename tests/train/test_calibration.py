"""What is measured of a calibration, and the command that calibrates an earlier fit."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize_scalar

import cry_model
from cry_model import CheckpointConfig, FrontEndConfig, save_checkpoint
from cry_model.calibration import Calibration
from train.__main__ import main
from train.data.corpus import DataError
from train.scoring.calibration import calibrate

LABELS = ("awake", "hug", "hungry")
P = [f"p_{label}" for label in LABELS]
FACTS = {"dataset": "donateacry", "protocol": "baby", "folds": 4}


def synthetic(babies=40, folds=4, seeds=(0, 1), pieces=2):
    """Predictions of recordings in pieces; a baby is in one fold, another one for each seed."""
    rng, rows = np.random.default_rng(0), []
    for seed in seeds:
        for baby in range(babies):
            for take in range(1 + baby % 5):
                label = LABELS[(baby * 7 + take * baby) % 3]
                for piece in range(pieces):
                    logits = rng.normal(0, 1, 3) + 1.5 * (np.array(LABELS) == label)
                    name = f"{baby}-{take}"
                    row = {"clip": f"{name}#{piece}", "recording": name, "group": f"b{baby:02}"}
                    row |= {"fold": (baby + seed) // 2 % folds, "seed": seed, "label": label}
                    rows.append(row | dict(zip(P, np.exp(logits) / np.exp(logits).sum())))  # noqa: B905
    return pd.DataFrame(rows)


def by_hand(table, promised, targets_of):
    """Cross-conformal prediction written out: a dict of (seed, recording) -> set and the rest."""
    rows = table.groupby(["seed", "recording", "group", "fold", "label"])[P].mean().reset_index()

    def settled(part):
        weight = 1 / part.groupby("group")["recording"].transform("size").to_numpy()
        targets, logs = np.stack([targets_of(r) for r in part.itertuples()]), np.log(part[P])

        def loss(t):
            scaled = logs.to_numpy() / t
            scaled -= np.log(np.exp(scaled).sum(1, keepdims=True))
            return -(weight @ (targets * scaled).sum(1))

        t = minimize_scalar(loss, bounds=(0.05, 20), method="bounded", options={"xatol": 1e-8}).x
        hot = np.exp(logs / t)
        scores = 1 - hot.div(hot.sum(axis=1), axis=0).to_numpy()
        share = weight[:, None] * targets / (part["group"].nunique() + 1)
        for score in np.sort(scores.ravel()):
            if share[scores <= score].sum() >= promised:
                return t, score
        return t, 1.0

    out = []
    for (seed, _), tested in rows.groupby(["seed", "fold"]):
        t, threshold = settled(rows[~rows["group"].isin(tested["group"])])
        for r in tested.itertuples():
            hot = np.array([getattr(r, p) for p in P]) ** (1 / t)
            inside = 1 - hot / hot.sum() <= threshold + 1e-6  # the optimisers end apart
            out.append({"seed": seed, "group": r.group, "size": inside.sum()})
            out[-1]["held"] = (inside * targets_of(r)).sum()
    return pd.DataFrame(out), settled(rows)


@pytest.mark.parametrize("taught", [False, True])
def test_what_is_measured_is_what_is_counted_by_hand(taught):
    table, rng = synthetic(), np.random.default_rng(3)
    told = {name: rng.dirichlet([1, 1, 1]) for name in table["recording"].unique()}

    def targets_of(row):
        if not taught:
            return (np.array(LABELS) == row.label).astype(float)
        hot = told[row.recording] ** (1 / 0.9)
        return hot / hot.sum()

    found = calibrate(table, LABELS, 0.7, told if taught else None, 0.9, **FACTS)
    rows, (temperature, threshold) = by_hand(table, 0.7, targets_of)
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


def test_a_higher_promise_is_kept_by_larger_sets():
    modest, bold = (calibrate(synthetic(), LABELS, share, **FACTS) for share in (0.6, 0.9))
    assert modest.size.value < bold.size.value
    assert modest.coverage.value == pytest.approx(0.6, abs=0.1)
    assert bold.coverage.value == pytest.approx(0.9, abs=0.06)
    assert sum(s >= 0.9 for s in bold.by_label.values()) >= 1


def test_always_the_same_labels_are_as_many_as_it_takes():
    table = synthetic(seeds=(0,), pieces=1)
    share = 1 / table.groupby("group")["clip"].transform("size")
    often = share.groupby(table["label"]).sum().sort_values(ascending=False) / 40
    found = calibrate(table, LABELS, float(often.iloc[0]) + 0.01, **FACTS)
    assert found.constant_set == tuple(often.index[:2])
    assert found.constant_coverage == pytest.approx(often.iloc[:2].sum())


def test_the_error_of_overconfident_answers_falls():
    table = synthetic(babies=200, pieces=1)
    sure = table[P] ** 4
    sure = table.assign(**sure.div(sure.sum(axis=1), axis=0))
    found = calibrate(sure, LABELS, **FACTS)
    assert found.temperature > 2
    assert found.error_after.value < found.error_before.value / 2


def test_pieces_heard_in_training_promise_nothing():
    table = synthetic()
    table["fold"] = np.arange(len(table)) % 4
    with pytest.raises(DataError, match="another protocol than clip"):
        calibrate(table, LABELS, **FACTS)


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


def test_the_command_writes_it_into_run_and_checkpoint_and_leaves_the_rest(finished, capsys):
    folder, checkpoint = finished
    before = {
        p: p.read_bytes() for p in (folder / "predictions.csv", checkpoint / "model.safetensors")
    }
    words = ["calibrate", str(folder), "--checkpoint", str(checkpoint), "--coverage", "0.7"]
    assert main(words) == 0
    assert "coverage" in capsys.readouterr().out
    record = json.loads((folder / "run.json").read_text())
    assert record["metrics"] == {"x": 1}
    loaded = cry_model.load_checkpoint(checkpoint)[1].calibration
    assert isinstance(loaded, Calibration)
    assert loaded.promised == 0.7
    again = json.loads((checkpoint / "config.json").read_text())["calibration"]
    assert again == record["calibration"]
    assert {p: p.read_bytes() for p in before} == before


def test_a_seed_that_was_cut_off_does_not_count(finished):
    folder, _ = finished
    table = synthetic()
    table[(table["seed"] == 0) | (table["fold"] == 0)].to_csv(folder / "predictions.csv")
    assert main(["calibrate", str(folder)]) == 0
    assert json.loads((folder / "run.json").read_text())["calibration"]["seeds"] == [0]


def test_a_student_is_calibrated_against_its_calibrated_teacher(finished, tmp_path):
    folder, teacher = finished
    _, config = cry_model.load_checkpoint(teacher)
    told = synthetic(seeds=(5,), pieces=1).drop_duplicates("recording")
    told = told[["recording", *P]].rename(columns={p: f"t{p[1:]}" for p in P})
    told.to_csv(folder / "teacher.csv", index=False)

    def measured(*more):
        assert main(["calibrate", str(folder), *more]) == 0
        return json.loads((folder / "run.json").read_text())["calibration"]

    raw = measured()
    assert (raw["against"], raw["teacher_temperature"]) == ("teacher", 1.0)
    teacher_predictions = dict(zip(told["recording"], told.iloc[:, 1:].to_numpy(), strict=True))
    expected = calibrate(synthetic(), LABELS, 0.8, teacher_predictions, 1.0, **FACTS)
    assert raw["threshold"] == pytest.approx(expected.threshold, abs=1e-4)
    surer = replace(expected, temperature=0.4)
    save_checkpoint(teacher, config.build(), replace(config, calibration=surer))
    there = measured("--teacher", str(teacher))
    assert there["teacher_temperature"] == 0.4
    assert there["temperature"] < raw["temperature"]


@pytest.mark.parametrize(
    ("change", "words", "said"),
    [
        ({}, ["--teacher", "CHECKPOINT"], "learnt from labels"),
        ({"data": "d2"}, ["--checkpoint", "CHECKPOINT"], "was not fitted as this run was"),
        ({"system": "ecapa-tdnn"}, ["--checkpoint", "CHECKPOINT"], "was not fitted as this run"),
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


@pytest.mark.parametrize("coverage", ["0", "1", "80", "most", "nan"])
def test_a_promise_lies_between_none_and_all(finished, coverage, capsys):
    assert main(["calibrate", str(finished[0]), "--coverage", coverage]) == 2
    assert "must lie between 0 and 1" in capsys.readouterr().err


def test_a_folder_without_a_run_is_one_sentence(tmp_path, capsys):
    assert main(["calibrate", str(tmp_path)]) == 2
    assert "There is no finished run in" in capsys.readouterr().err
