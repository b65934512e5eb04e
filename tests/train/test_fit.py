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
from cry_model.results import score
from tests.train.small_fit import CHECKPOINT, RESULTS, SYSTEM, fit
from train.__main__ import main
from train.cli.grid import BUSY
from train.data.cache import find_corpus
from train.data.datasets.donateacry import LABELS
from train.fit.cross_validation import saved_folds
from train.fit.predict import piece_probabilities
from train.fit.presets import BEST, BEST_SETTINGS
from train.scoring import results
from train.scoring.calibration import calibrate


@pytest.fixture
def results_folder(finished_fit):
    return finished_fit / RESULTS


def test_predictions_cover_every_recording_once(results_folder):
    table = pd.read_csv(results_folder / "predictions.csv")
    columns = ["clip", "recording", "group", "fold", "seed", "label", *(f"p_{n}" for n in LABELS)]
    assert list(table.columns) == columns
    assert table["recording"].nunique() == 30
    assert table.groupby("group")["fold"].nunique().max() == 1
    np.testing.assert_allclose(table[columns[6:]].sum(axis=1), 1, atol=1e-5)


def test_run_json_holds_configuration_cost_and_metrics(finished_fit, results_folder):
    record = json.loads((results_folder / "run.json").read_text())
    assert record["configuration"]["preset"]["epochs"] == 1
    model, _ = cry_model.load_checkpoint(finished_fit / CHECKPOINT)
    assert record["parameters"] == sum(weight.numel() for weight in model.parameters())
    assert set(record["wall_seconds"]) == {"seed 0, fold 0", "seed 0, fold 1"}
    assert record["environment"]["device"] == "cpu"
    table = pd.read_csv(results_folder / "predictions.csv")
    columns = [f"p_{n}" for n in LABELS]
    mean = table.groupby(["recording", "label"], as_index=False)[columns].mean()
    guess = np.array(LABELS)[mean[columns].to_numpy().argmax(1)]
    measured = record["metrics"]["recording"]["metrics"]["balanced_accuracy"]["value"]
    assert measured == pytest.approx(balanced_accuracy_score(mean["label"], guess))


def test_the_checkpoint_answers_and_carries_the_measured_numbers(
    finished_fit, results_folder, made_up_root
):
    classifier = cry_model.CryClassifier.from_pretrained(finished_fit / CHECKPOINT)
    prediction = classifier.predict(next(made_up_root.rglob("*.wav")))
    assert tuple(prediction.probabilities) == LABELS
    record = json.loads((results_folder / "run.json").read_text())
    assert prediction.evaluation.recall == record["metrics"]["recording"]["recall"]
    assert prediction.calibration == read_calibration(record["calibration"])
    assert prediction.calibration.promised == 0.8
    assert prediction.prediction_set is not None
    assert classifier.config.training["recordings"] == 30


def test_a_run_that_was_cut_off_goes_on_and_ends_the_same(copied_fit, made_up_root):
    path = copied_fit / RESULTS / "predictions.csv"
    whole = path.read_bytes()
    table = pd.read_csv(path)
    table[table["fold"] == 0].to_csv(path, index=False, float_format="%.6f")
    assert fit(made_up_root, copied_fit) == 0
    assert path.read_bytes() == whole


def test_other_settings_do_not_mix_with_an_earlier_run(finished_fit, made_up_root, capsys):
    assert fit(made_up_root, finished_fit, "--preset", "paper") == 2
    assert "other settings" in capsys.readouterr().err


@pytest.mark.parametrize("option", [("--folds", "1"), ("--epochs", "0"), ("--epochs", "many")])
def test_numbers_that_make_no_sense_are_refused(made_up_root, tmp_path, option, capsys):
    assert fit(made_up_root, tmp_path, *option) == 2
    assert option[0] in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--set", "colour=red"], ["has no such setting", "channels", "mixup", "batch", "fft"]),
        (["--set", "chanels=8"], ["has no such setting; it has channels."]),
        (["--set", "channels=none"], [f"{SYSTEM} cannot be built with", "channels=none"]),
        (["--set", "channels=-1"], [f"{SYSTEM} cannot be built with", "channels=-1"]),
        (["--set", "reused_classifier={}"], ["--teacher"]),
        (["--folds", "40"], ["15 groups cannot be spread over 40 folds"]),
        (["--folds", "4000000000"], ["groups cannot be spread"]),
        (["--unlabelled", "donateacry"], ["need a --teacher"]),
    ],
)
def test_what_makes_no_sense_is_refused_before_a_recording_is_read(
    made_up_root, tmp_path, monkeypatch, capsys, words, said
):
    monkeypatch.setattr("train.cli.fit.find_corpus", None)  # would be called
    assert fit(made_up_root, tmp_path, *words) == 2
    error = capsys.readouterr().err
    assert all(part in error for part in said)
    assert len(error.splitlines()) == 1


def test_several_systems_and_seeds_each_have_their_results(made_up_root, tmp_path):
    systems = f"{SYSTEM} improved-ecapa-tdnn-no-rse"
    more = ["--seeds", "0", "1", "--no-checkpoint", "--protocol", "clip"]
    assert fit(made_up_root, tmp_path, *more, system=systems) == 0
    for system in systems.split():
        folder = tmp_path / "results" / "donateacry" / "clip" / system
        record = json.loads((folder / "run.json").read_text())
        assert record["calibration"] is None  # the other pieces were heard
        assert len(record["wall_seconds"]) == 4
        assert record["metrics"]["recording"]["seeds"] == [0, 1]
        assert record["metrics"]["recording"]["recordings"] == 30
    assert not (tmp_path / "checkpoints").exists()
    assert not (tmp_path / "folds").exists()


def test_what_is_there_is_not_fitted_again(finished_fit, made_up_root, monkeypatch):
    before = {p: p.read_bytes() for p in finished_fit.rglob("*.*") if p.is_file()}
    monkeypatch.setattr("train.fit.trainer.fit", None)  # would be called
    assert fit(made_up_root, finished_fit) == 0
    assert {p: p.read_bytes() for p in finished_fit.rglob("*.*") if p.is_file()} == before


FORMER = {
    "samples_per_epoch": "draws",
    "class_balance": "balance",
    "mil_candidates": "tries",
    "ema_decay": "average",
}


def test_what_the_last_release_wrote_is_gone_on_with(copied_fit, made_up_root, monkeypatch):
    """Its preset had other names for four fields."""
    for path in (copied_fit / RESULTS / "run.json", copied_fit / CHECKPOINT / "config.json"):
        text = path.read_text()
        for name, former in FORMER.items():
            assert text.count(f'"{name}"') == 1
            text = text.replace(f'"{name}"', f'"{former}"')
        path.write_text(text)
    monkeypatch.setattr("train.fit.trainer.fit", None)  # would be called
    assert fit(made_up_root, copied_fit) == 0
    assert '"ema_decay"' in (copied_fit / RESULTS / "run.json").read_text()
    words = ["calibrate", copied_fit / RESULTS, "--checkpoint", copied_fit / CHECKPOINT]
    assert main([str(word) for word in words]) == 0


def test_a_seed_counts_once_and_only_if_it_is_whole(copied_fit, made_up_root):
    folder = copied_fit / RESULTS

    def measured():
        record = json.loads((folder / "run.json").read_text())
        return record["seeds"], record["metrics"]["recording"]["metrics"]["accuracy"]["value"]

    alone = measured()
    assert fit(made_up_root, copied_fit, "--no-checkpoint", "--seeds", "0", "0") == 0
    table = pd.read_csv(folder / "predictions.csv")
    assert len(table) == table["clip"].nunique() == 30
    assert fit(made_up_root, copied_fit, "--no-checkpoint", "--seeds", "0", "1") == 0
    assert measured()[0] == [0, 1]
    table = pd.read_csv(folder / "predictions.csv")
    half = table[(table["seed"] == 0) | (table["fold"] == 0)]  # as a kill would leave it
    half.to_csv(folder / "predictions.csv", index=False, float_format="%.6f")
    assert fit(made_up_root, copied_fit, "--no-checkpoint", "--seeds", "0") == 0
    assert measured() == alone


def test_other_sound_under_the_same_names_is_other_data(
    finished_fit, made_up_root, tmp_path, capsys
):
    root = tmp_path / "data"
    shutil.copytree(made_up_root / "donateacry", root / "donateacry")
    file = next(root.rglob("*.wav"))
    samples, rate = soundfile.read(file)
    soundfile.write(file, samples[::-1], rate, subtype="PCM_16")
    assert fit(root, finished_fit) == 2
    assert "other settings or data" in capsys.readouterr().err


def test_the_promise_is_an_option_and_fits_nothing_again(copied_fit, made_up_root, monkeypatch):
    table = results.read_predictions(copied_fit / RESULTS)
    monkeypatch.setattr("train.fit.trainer.fit", None)  # would be called
    assert fit(made_up_root, copied_fit, "--coverage", "0.5") == 0
    found = json.loads((copied_fit / RESULTS / "run.json").read_text())["calibration"]
    expected = calibrate(table, LABELS, 0.5, dataset="donateacry", protocol="baby", folds=2)
    assert read_calibration(found) == expected
    assert cry_model.load_checkpoint(copied_fit / CHECKPOINT)[1].calibration == expected


def test_two_fits_into_one_folder_do_not_mix(made_up_root, tmp_path, capsys):
    lock = tmp_path / "state" / f"results-donateacry-baby-{SYSTEM}.lock"
    lock.parent.mkdir(parents=True)
    with FileLock(lock):
        assert fit(made_up_root, tmp_path) == BUSY
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
    assert main([*words, "--set", "channels=8", "stages=1", "--set", "batch=8"]) == 0
    folder = tmp_path / "results" / "folder-mine" / "baby" / SYSTEM
    record = json.loads((folder / "run.json").read_text())
    # The first --set counts too.
    small = {"channels": 8, "stages": 1}
    assert record["configuration"]["settings"] == {**BEST_SETTINGS, **small}
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
    copied_fit, made_up_root, capsys, damage
):
    path = copied_fit / RESULTS / "predictions.csv"
    path.write_text(DAMAGES[damage](path.read_text()))
    before = {file.name: file.read_bytes() for file in path.parent.iterdir()}
    capsys.readouterr()
    assert fit(made_up_root, copied_fit, "--seeds", "0", "1") == 2
    said = capsys.readouterr().err
    assert str(path) in said
    assert "restore" in said
    assert "epoch" not in said
    assert {file.name: file.read_bytes() for file in path.parent.iterdir()} == before


@pytest.mark.parametrize("content", ["", "[]", '{"configuration": {}}', '{"configuration": NaN}'])
def test_a_damaged_record_is_refused_before_anything_is_fitted(
    copied_fit, made_up_root, capsys, content
):
    path = copied_fit / RESULTS / "run.json"
    path.write_text(content)
    capsys.readouterr()
    assert fit(made_up_root, copied_fit) == 2
    said = capsys.readouterr().err
    assert str(path) in said
    assert "epoch" not in said


def test_the_checkpoint_carries_the_hardest_protocol_measured(made_up_root, tmp_path):
    def evaluation():
        return cry_model.load_checkpoint(tmp_path / CHECKPOINT)[1].evaluation

    assert fit(made_up_root, tmp_path, "--protocol", "recording") == 0
    weights = next(tmp_path.rglob("model.safetensors")).read_bytes()
    assert evaluation().protocol == "recording"
    assert fit(made_up_root, tmp_path, "--protocol", "baby") == 0
    assert evaluation().protocol == "baby"
    assert fit(made_up_root, tmp_path, "--protocol", "clip") == 0
    assert evaluation().protocol == "baby"
    assert next(tmp_path.rglob("model.safetensors")).read_bytes() == weights


def test_predictions_without_their_run_are_not_trusted(made_up_root, tmp_path, capsys):
    folder = tmp_path / "results" / "donateacry" / "baby" / SYSTEM
    folder.mkdir(parents=True)
    (folder / "predictions.csv").write_text("clip\n")
    assert fit(made_up_root, tmp_path) == 2
    assert "unknown run" in capsys.readouterr().err


def test_several_seeds_do_not_multiply_the_recordings(results_folder):
    table = pd.read_csv(results_folder / "predictions.csv")
    twice = pd.concat([table, table.assign(seed=1)])
    evaluation = score(twice, LABELS, dataset="donateacry", protocol="baby", folds=2)
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


def test_each_fold_answers_for_what_it_has_not_heard(finished_fit, results_folder, made_up_root):
    table = pd.read_csv(results_folder / "predictions.csv")
    folds = list(saved_folds(finished_fit, "donateacry", "baby", SYSTEM))
    assert [(seed, fold) for seed, fold, _ in folds] == [(0, 0), (0, 1)]
    clips = find_corpus("donateacry", None, made_up_root / "cache", BEST.front_end).clips
    for _, fold, folder in folds:
        model, config = cry_model.load_checkpoint(folder)
        tested = table[table["fold"] == fold]
        names = set(tested["recording"])
        part = clips.subset([i for i, it in enumerate(clips.items) if it.recording in names])
        front_end = cry_model.FrontEnd(config.front_end)
        again = np.concatenate(piece_probabilities(model, front_end, part))
        written = tested[[f"p_{label}" for label in config.labels]].to_numpy()
        np.testing.assert_allclose(again, written, atol=2e-6)
        facts = config.training
        assert (facts["seed"], facts["fold"], facts["folds"]) == (0, fold, 2)
        assert (facts["protocol"], facts["recordings"]) == ("baby", 30 - len(names))


def test_what_results_have_is_not_fitted_again_for_its_weights(
    copied_fit, made_up_root, monkeypatch
):
    folder = next(folder for *_, folder in saved_folds(copied_fit, "donateacry", "baby", SYSTEM))
    (folder / "config.json").unlink()  # as if the writing had been cut off
    monkeypatch.setattr("train.fit.trainer.fit", None)  # would be called
    assert fit(made_up_root, copied_fit, "--save-folds") == 0
    assert [fold for _, fold, _ in saved_folds(copied_fit, "donateacry", "baby", SYSTEM)] == [1]
