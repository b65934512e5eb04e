"""``python -m train fit`` from recordings to a checkpoint that answers."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
import soundfile
from filelock import FileLock
from sklearn.metrics import balanced_accuracy_score

import cry_model
from cry_model.checkpoint import read_calibration
from train.__main__ import main
from train.cli.grid import BUSY
from train.data.datasets.donateacry import LABELS
from train.fit.presets import BEST_SETTINGS
from train.scoring import results
from train.scoring.calibration import calibrate

SYSTEM = "improved-ecapa-tdnn-no-mca"  # the smallest


def fit(root, out, *more):
    arguments = ["fit", "--system", SYSTEM, "--dataset", "donateacry", "--data-root", str(root)]
    arguments += ["--cache", str(root / "cache"), "--out", str(out)]
    return main([*arguments, "--folds", "2", "--epochs", "1", *more])


@pytest.fixture(scope="module")
def run(made_up_root, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs")
    assert fit(made_up_root, out) == 0
    return out / "results" / "donateacry" / "baby" / SYSTEM, out


def test_predictions_cover_every_recording_once(run):
    table = pd.read_csv(run[0] / "predictions.csv")
    columns = ["clip", "recording", "group", "fold", "seed", "label", *(f"p_{n}" for n in LABELS)]
    assert list(table.columns) == columns
    assert table["recording"].nunique() == 30
    assert table.groupby("group")["fold"].nunique().max() == 1
    np.testing.assert_allclose(table[columns[6:]].sum(axis=1), 1, atol=1e-5)


def test_run_json_holds_configuration_cost_and_metrics(run):
    record = json.loads((run[0] / "run.json").read_text())
    assert record["configuration"]["preset"]["epochs"] == 1
    assert record["parameters"] > 800_000
    assert set(record["wall_seconds"]) == {"seed 0, fold 0", "seed 0, fold 1"}
    assert record["environment"]["device"] == "cpu"
    table = pd.read_csv(run[0] / "predictions.csv")
    columns = [f"p_{n}" for n in LABELS]
    mean = table.groupby(["recording", "label"], as_index=False)[columns].mean()
    guess = np.array(LABELS)[mean[columns].to_numpy().argmax(1)]
    measured = record["metrics"]["recording"]["metrics"]["balanced_accuracy"]["value"]
    assert measured == pytest.approx(balanced_accuracy_score(mean["label"], guess))


def test_the_checkpoint_answers_and_carries_the_measured_numbers(run, made_up_root):
    classifier = cry_model.CryClassifier.from_pretrained(
        run[1] / "checkpoints" / f"donateacry-{SYSTEM}"
    )
    prediction = classifier.predict(next(made_up_root.rglob("*.wav")))
    assert tuple(prediction.probabilities) == LABELS
    record = json.loads((run[0] / "run.json").read_text())
    assert prediction.evaluation.recall == record["metrics"]["recording"]["recall"]
    assert prediction.calibration == read_calibration(record["calibration"])
    assert prediction.calibration.promised == 0.8
    assert prediction.prediction_set is not None
    assert classifier.config.training["recordings"] == 30


def test_a_run_that_was_cut_off_goes_on_and_ends_the_same(run, made_up_root, tmp_path):
    assert fit(made_up_root, tmp_path) == 0
    folder = tmp_path / "results" / "donateacry" / "baby" / SYSTEM
    whole = (run[0] / "predictions.csv").read_bytes()
    assert (folder / "predictions.csv").read_bytes() == whole
    table = pd.read_csv(folder / "predictions.csv")
    first = table[table["fold"] == 0]
    first.to_csv(folder / "predictions.csv", index=False, float_format="%.6f")
    assert fit(made_up_root, tmp_path) == 0
    assert (folder / "predictions.csv").read_bytes() == whole


def test_other_settings_do_not_mix_with_an_earlier_run(run, made_up_root, capsys):
    assert fit(made_up_root, run[1], "--preset", "paper") == 2
    assert "other settings" in capsys.readouterr().err


@pytest.mark.parametrize("option", [("--folds", "1"), ("--epochs", "0"), ("--epochs", "many")])
def test_numbers_that_make_no_sense_are_refused(made_up_root, tmp_path, option, capsys):
    assert fit(made_up_root, tmp_path, *option) == 2
    assert option[0] in capsys.readouterr().err


@pytest.mark.parametrize("setting", ["colour=red", "channels=none", "channels=-1"])
def test_settings_that_the_system_has_not_are_refused(made_up_root, tmp_path, setting, capsys):
    assert fit(made_up_root, tmp_path, "--set", setting) == 2
    error = capsys.readouterr().err
    assert f"{SYSTEM} cannot be built with" in error
    assert setting in error
    assert "Traceback" not in error


def test_several_systems_and_seeds_each_have_their_results(made_up_root, tmp_path):
    systems = [SYSTEM, "ecapa-tdnn"]
    more = ["--system", *systems, "--seeds", "0", "1", "--no-checkpoint", "--protocol", "clip"]
    assert fit(made_up_root, tmp_path, *more, "--set", "channels=16") == 0
    for system in systems:
        folder = tmp_path / "results" / "donateacry" / "clip" / system
        record = json.loads((folder / "run.json").read_text())
        assert record["calibration"] is None  # the other pieces were heard
        assert len(record["wall_seconds"]) == 4
        assert record["metrics"]["recording"]["seeds"] == [0, 1]
        assert record["metrics"]["recording"]["recordings"] == 30
    assert not (tmp_path / "checkpoints").exists()


def test_what_is_there_is_not_fitted_again(run, made_up_root, monkeypatch):
    before = {p: p.read_bytes() for p in run[1].rglob("*.*") if p.is_file()}
    monkeypatch.setattr("train.fit.trainer.fit", None)  # would be called
    assert fit(made_up_root, run[1]) == 0
    assert {p: p.read_bytes() for p in run[1].rglob("*.*") if p.is_file()} == before


def test_a_seed_counts_once_and_only_if_it_is_whole(made_up_root, tmp_path):
    small = ("--set", "channels=16", "--no-checkpoint", "--seeds")
    folder = tmp_path / "results" / "donateacry" / "baby" / SYSTEM

    def measured():
        record = json.loads((folder / "run.json").read_text())
        return record["seeds"], record["metrics"]["recording"]["metrics"]["accuracy"]["value"]

    assert fit(made_up_root, tmp_path, *small, "0", "0") == 0
    table = pd.read_csv(folder / "predictions.csv")
    assert len(table) == table["clip"].nunique() == 30
    alone = measured()
    assert fit(made_up_root, tmp_path, *small, "0", "1") == 0
    assert measured()[0] == [0, 1]
    table = pd.read_csv(folder / "predictions.csv")
    half = table[(table["seed"] == 0) | (table["fold"] == 0)]  # as a kill would leave it
    half.to_csv(folder / "predictions.csv", index=False, float_format="%.6f")
    assert fit(made_up_root, tmp_path, *small, "0") == 0
    assert measured() == alone


def test_other_sound_under_the_same_names_is_other_data(made_up_root, tmp_path, capsys):
    root = tmp_path / "data"
    shutil.copytree(made_up_root / "donateacry", root / "donateacry")
    small = ("--set", "channels=16", "--no-checkpoint")
    assert fit(root, tmp_path, *small) == 0
    file = next(root.rglob("*.wav"))
    samples, rate = soundfile.read(file)
    soundfile.write(file, samples[::-1], rate, subtype="PCM_16")
    assert fit(root, tmp_path, *small) == 2
    assert "other settings or data" in capsys.readouterr().err


def test_the_promise_is_an_option_and_fits_nothing_again(run, made_up_root, tmp_path, monkeypatch):
    out = tmp_path / "runs"
    shutil.copytree(run[1], out)
    folder = out / run[0].relative_to(run[1])
    table = results.read_predictions(folder)
    monkeypatch.setattr("train.fit.trainer.fit", None)  # would be called
    assert fit(made_up_root, out, "--coverage", "0.5") == 0
    found = json.loads((folder / "run.json").read_text())["calibration"]
    expected = calibrate(table, LABELS, 0.5, dataset="donateacry", protocol="baby", folds=2)
    assert read_calibration(found) == expected
    weights = out / "checkpoints" / f"donateacry-{SYSTEM}"
    assert cry_model.load_checkpoint(weights)[1].calibration == expected


def test_two_fits_into_one_folder_do_not_mix(made_up_root, tmp_path, capsys):
    lock = tmp_path / "state" / f"results-donateacry-baby-{SYSTEM}.lock"
    lock.parent.mkdir(parents=True)
    with FileLock(lock):
        assert fit(made_up_root, tmp_path, "--set", "channels=16") == BUSY
    assert "Another process writes to" in capsys.readouterr().err


@pytest.mark.parametrize("labels", [("0", "1"), ("True", "False"), ("NA", "None")])
def test_labels_and_groups_that_look_like_something_else(made_up_root, tmp_path, labels):
    root = tmp_path / "mine"
    files = sorted(made_up_root.rglob("*.wav"))[:12]
    rows = ["file,group"]
    for i, file in enumerate(files):
        name = f"{labels[i % 2]}/{i}.wav"
        (root / labels[i % 2]).mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, root / name)
        rows.append(f"{name},{('NA', '007', 'null')[i // 4]}")
    (root / "groups.csv").write_text("\n".join(rows))
    words = ["fit", "--system", SYSTEM, "--dataset", "folder", "--data-root", str(root)]
    words += ["--folds", "3", "--epochs", "1", "--out", str(tmp_path), "--cache", str(tmp_path)]
    assert main([*words, "--set", "channels=16", "--set", "batch=8"]) == 0
    folder = tmp_path / "results" / "folder-mine" / "baby" / SYSTEM
    record = json.loads((folder / "run.json").read_text())
    # The first --set counts too.
    assert record["configuration"]["settings"] == {**BEST_SETTINGS, "channels": 16}
    assert record["metrics"]["recording"]["support"] == dict.fromkeys(sorted(labels), 6)
    assert record["metrics"]["recording"]["groups"] == 3


DAMAGES = {
    "empty": lambda table: "",
    "cut in a row": lambda table: table[: table.rindex(",")],
    "cut between rows": lambda table: "".join(table.splitlines(keepends=True)[:-9]),
    "rows twice": lambda table: table + table.split("\n", 1)[1],
    "another column": lambda table: table.replace(f"p_{LABELS[0]}", "p_other"),
    "no number": lambda table: table.replace(",0,0,", ",zero,0,"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_table_is_refused_before_anything_is_fitted(
    run, made_up_root, tmp_path, capsys, damage
):
    out = shutil.copytree(run[1], tmp_path / "runs")
    folder = out / run[0].relative_to(run[1])
    path = folder / "predictions.csv"
    path.write_text(DAMAGES[damage](path.read_text()))
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    capsys.readouterr()
    assert fit(made_up_root, out, "--seeds", "0", "1") == 2
    said = capsys.readouterr().err
    assert str(path) in said
    assert "restore" in said
    assert "epoch" not in said
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == before


@pytest.mark.parametrize("content", ["", "[]", '{"configuration": {}}', '{"configuration": NaN}'])
def test_a_damaged_record_is_refused_before_anything_is_fitted(
    run, made_up_root, tmp_path, capsys, content
):
    out = shutil.copytree(run[1], tmp_path / "runs")
    path = out / run[0].relative_to(run[1]) / "run.json"
    path.write_text(content)
    capsys.readouterr()
    assert fit(made_up_root, out) == 2
    said = capsys.readouterr().err
    assert str(path) in said
    assert "epoch" not in said


def test_the_checkpoint_carries_the_hardest_protocol_measured(made_up_root, tmp_path):
    def evaluation():
        folder = tmp_path / "checkpoints" / f"donateacry-{SYSTEM}"
        return cry_model.load_checkpoint(folder)[1].evaluation

    small = ("--set", "channels=16")
    assert fit(made_up_root, tmp_path, *small, "--protocol", "recording") == 0
    weights = next(tmp_path.rglob("model.safetensors")).read_bytes()
    assert evaluation().protocol == "recording"
    assert fit(made_up_root, tmp_path, *small, "--protocol", "baby") == 0
    assert evaluation().protocol == "baby"
    assert fit(made_up_root, tmp_path, *small, "--protocol", "clip") == 0
    assert evaluation().protocol == "baby"
    assert next(tmp_path.rglob("model.safetensors")).read_bytes() == weights


def test_predictions_without_their_run_are_not_trusted(made_up_root, tmp_path, capsys):
    folder = tmp_path / "results" / "donateacry" / "baby" / SYSTEM
    folder.mkdir(parents=True)
    (folder / "predictions.csv").write_text("clip\n")
    assert fit(made_up_root, tmp_path) == 2
    assert "unknown run" in capsys.readouterr().err


def test_several_seeds_do_not_multiply_the_recordings(run):
    table = pd.read_csv(run[0] / "predictions.csv")
    twice = pd.concat([table, table.assign(seed=1)])
    evaluation = results.score(twice, LABELS, dataset="donateacry", protocol="baby", folds=2)
    assert evaluation.recordings == 30
    assert set(evaluation.support.values()) == {6}
    assert evaluation.seeds == (0, 1)


def test_a_wrong_folder_is_one_sentence(tmp_path, capsys):
    assert fit(tmp_path, tmp_path) == 2
    error = capsys.readouterr().err
    assert "There are no recordings in" in error
    assert "Traceback" not in error


def test_without_a_folder_it_asks_for_one(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CRY_DATA", raising=False)
    assert main(["fit", "--system", SYSTEM, "--dataset", "donateacry"]) == 2
    assert "--data-root" in capsys.readouterr().err
