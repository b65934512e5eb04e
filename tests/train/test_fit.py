"""Test ``python -m train fit``: from recordings to a working checkpoint, and resuming."""

import json

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import balanced_accuracy_score

import cry_model
from cry_model.checkpoint import WEIGHTS
from cry_model.declared import read
from cry_model.fingerprint import load_fingerprints
from cry_model.records import Calibration
from cry_model.sound import audio
from tests.train.folders import contents
from tests.train.small_fit import CHECKPOINT, RESULTS, SYSTEM, fit, python, words
from train.data.cache import DATASETS, cache_path, prepare
from train.data.corpus import cut_before_splitting
from train.data.datasets import synthetic6
from train.data.datasets.public import REASONS as LABELS
from train.data.splits import PROTOCOLS, OuterFold, split
from train.fit.presets import BEST
from train.scoring.results import Cell

P = [f"p_{label}" for label in LABELS]


def results_in(out):
    """Return the prediction table and the record of a run."""
    record = json.loads((out / RESULTS / "run.json").read_text())
    return pd.read_csv(out / RESULTS / "predictions.csv"), record


@pytest.mark.parametrize(
    ("name", "below"),
    [
        ("synthetic6", ""),
        pytest.param("challenge6", "synthetic6", marks=pytest.mark.slow),  # the same layout
        pytest.param("folder", "synthetic6/train", marks=pytest.mark.slow),
    ],
)
def test_a_fit_yields_a_working_checkpoint(name, below, synthetic, tmp_path):
    where = ("--data-root", synthetic / below, "--cache", tmp_path / "cache")
    assert fit(synthetic, tmp_path, "--dataset", name, *where) == 0
    (checkpoint,) = (tmp_path / "checkpoints").iterdir()
    classifier = cry_model.CryClassifier.from_pretrained(checkpoint)
    assert classifier.config.evaluation.recordings == 36
    answer = classifier.predict(next(synthetic.rglob("*.wav")))
    assert set(answer.probabilities) == set(synthetic6.LABELS)


def test_predictions_cover_every_recording_and_match_the_record(finished_fit):
    table, record = results_in(finished_fit)
    assert list(table) == ["clip", "recording", "group", "fold", "seed", "label", *P]
    assert table["recording"].nunique() == 30
    assert table.groupby("group")["fold"].nunique().max() == 1
    np.testing.assert_allclose(table[P].sum(axis=1), 1, atol=1e-5)
    mean = table.groupby(["recording", "label"], as_index=False)[P].mean()
    guess = np.array(LABELS)[mean[P].to_numpy().argmax(1)]
    measured = record["metrics"]["recording"]["metrics"]["balanced_accuracy"]["value"]
    assert measured == pytest.approx(balanced_accuracy_score(mean["label"], guess))
    assert record["configuration"]["preset"]["epochs"] == 1
    assert set(record["wall_seconds"]) == {"seed 0, fold 0", "seed 0, fold 1"}
    assert record["environment"]["device"] == "cpu"
    model, _ = cry_model.load_checkpoint(finished_fit / CHECKPOINT)
    assert record["parameters"] == sum(weight.numel() for weight in model.parameters())


def test_the_checkpoint_predicts_with_the_measured_numbers_and_remembers(
    finished_fit, made_up_root
):
    classifier = cry_model.CryClassifier.from_pretrained(finished_fit / CHECKPOINT)
    files = list(made_up_root.rglob("*.wav"))
    prediction = classifier.predict(files[0])
    assert tuple(prediction.probabilities) == LABELS
    _, record = results_in(finished_fit)
    assert prediction.evaluation.recall == record["metrics"]["recording"]["recall"]
    assert prediction.calibration == read(Calibration, record["calibration"])
    assert prediction.calibration.promised == 0.8
    assert prediction.prediction_set is not None
    assert classifier.config.training["recordings"] == 30
    known = load_fingerprints(finished_fit / CHECKPOINT)
    assert sum(known.know(audio.load(path)) for path in files) > 0.9 * len(files)


def test_tensorboard_gets_the_curves_of_every_fit(made_up_root, tmp_path):
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    more = ("--track", "--epochs", "2", "--set", "validation=0.34")
    assert fit(made_up_root, tmp_path, *more) == 0
    assert not (tmp_path / "folds").exists()
    folder = tmp_path / "curves" / "donateacry" / "baby" / SYSTEM
    fits = {"seed 0, fold 0", "seed 0, fold 1", "seed 0, all recordings"}
    assert {path.name for path in folder.iterdir()} == fits
    curves = events.EventAccumulator(str(folder / "seed 0, fold 0")).Reload()
    tags = {"loss", "rate", "validation loss", "validation balanced accuracy"}
    assert set(curves.Tags()["scalars"]) == tags
    assert [event.step for event in curves.Scalars("loss")][:2] == [1, 2]


def test_finished_folds_are_not_fitted_again(finished_fit, made_up_root, monkeypatch):
    monkeypatch.setattr("train.fit.trainer.fit", None)  # would raise if called
    before = contents(finished_fit)
    assert fit(made_up_root, finished_fit) == 0
    assert contents(finished_fit) == before


def test_an_interrupted_run_resumes_to_the_same_predictions(copied_fit, made_up_root):
    path = copied_fit / RESULTS / "predictions.csv"
    whole, table = path.read_bytes(), pd.read_csv(path)
    table[table["fold"] == 0].to_csv(path, index=False, float_format="%.6f")
    assert fit(made_up_root, copied_fit) == 0
    assert path.read_bytes() == whole


def test_only_complete_seeds_count_and_each_once(copied_fit, made_up_root):
    path = copied_fit / RESULTS / "predictions.csv"

    def measured(*seeds):
        assert fit(made_up_root, copied_fit, "--no-checkpoint", "--seeds", *seeds) == 0
        table, record = results_in(copied_fit)
        return table, record["seeds"], record["metrics"]

    table, *alone = measured("0", "0")
    assert len(table) == table["clip"].nunique() == 30
    table, seeds, _ = measured("0", "1")
    assert seeds == [0, 1]
    half = table[(table["seed"] == 0) | (table["fold"] == 0)]  # as after a kill
    half.to_csv(path, index=False, float_format="%.6f")
    _, *again = measured("0")
    assert again == alone


def test_the_checkpoint_reports_the_hardest_protocol(made_up_root, tmp_path):
    weights = set()
    for protocol, hardest in (("recording", "recording"), ("baby", "baby"), ("clip", "baby")):
        assert fit(made_up_root, tmp_path, "--protocol", protocol) == 0
        evaluation = cry_model.load_checkpoint(tmp_path / CHECKPOINT)[1].evaluation
        assert evaluation.protocol == hardest
        weights.add((tmp_path / CHECKPOINT / "model.safetensors").read_bytes())
    assert len(weights) == 1


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_training_part_excludes_the_outer_test_fold(clips, protocol):
    units = cut_before_splitting(clips, BEST.front_end) if protocol == "clip" else clips
    key = PROTOCOLS[protocol]
    part = OuterFold(1, 3).training_part(units, protocol, 2)
    tested = units.subset(np.flatnonzero(split(units.items, protocol, 3, 0) == 1))
    assert len(part.items) + len(tested.items) == len(units.items)
    assert not {key(item) for item in part.items} & {key(item) for item in tested.items}


def test_a_trial_is_scored_on_inner_folds_without_a_final_model(made_up_root, tmp_path, clips):
    more = ("--folds", "3", "--outer-fold", "0", "--save-folds")
    assert fit(made_up_root, tmp_path, *more) == 0
    table, record = results_in(tmp_path)
    tested = np.flatnonzero(split(clips.items, "baby", 3, 0) == 0)
    assert set(table["fold"]) == {0, 1}
    names = {item.recording for item in clips.items} - {clips.items[i].recording for i in tested}
    assert set(table["recording"]) == names
    assert record["configuration"]["within"]["fold"] == 0
    assert not (tmp_path / "checkpoints").exists()
    (_, _, folder), _ = Cell(tmp_path, "donateacry", "baby", SYSTEM).saved
    assert cry_model.load_checkpoint(folder)[1].training["within"]["fold"] == 0


BARE = """
import sys
absent = "gradio", "plotly", "librosa", "soundfile", "av", "soxr", "matplotlib", "tensorboard"
sys.modules.update(dict.fromkeys(absent))  # each import of one raises ImportError
from train.__main__ import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.slow
def test_a_fit_from_a_prepared_corpus_needs_no_audio_library(made_up_root, tmp_path):
    prepare(DATASETS["donateacry"], made_up_root, tmp_path, BEST.front_end)
    path = cache_path(tmp_path, "donateacry", BEST.front_end)
    python("-c", BARE, *words(tmp_path / "nowhere", tmp_path, "--dataset", path))
    assert (tmp_path / CHECKPOINT / WEIGHTS).exists()
