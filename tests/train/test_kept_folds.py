"""The weights of a fold give the predictions that its results have."""

import numpy as np
import pandas as pd
import pytest

import cry_model
from train.__main__ import main
from train.data.cache import find_corpus
from train.fit.fold_checkpoints import saved_folds
from train.fit.predict import piece_probabilities
from train.fit.presets import BEST

SYSTEM = "improved-ecapa-tdnn-no-mca"


def fit(root, out, *more):
    words = ["fit", "--system", SYSTEM, "--dataset", "donateacry", "--data-root", str(root)]
    words += ["--cache", str(root / "cache"), "--out", str(out), "--folds", "2", "--epochs", "1"]
    small = ["--device", "cpu", "--no-checkpoint"]
    return main([*words, *small, "--set", "channels=8", "stages=1", *more])


@pytest.fixture(scope="module")
def out(made_up_root, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs")
    assert fit(made_up_root, out, "--save-folds") == 0
    return out


def test_each_fold_answers_for_what_it_has_not_heard(out, made_up_root):
    table = pd.read_csv(out / "results" / "donateacry" / "baby" / SYSTEM / "predictions.csv")
    folds = list(saved_folds(out, "donateacry", "baby", SYSTEM))
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


def test_what_results_have_is_not_fitted_again_for_its_weights(out, made_up_root, monkeypatch):
    folder = next(folder for _, _, folder in saved_folds(out, "donateacry", "baby", SYSTEM))
    (folder / "config.json").unlink()  # as if the writing had been cut off
    monkeypatch.setattr("train.fit.trainer.fit", None)  # would be called
    assert fit(made_up_root, out, "--save-folds") == 0
    assert [fold for _, fold, _ in saved_folds(out, "donateacry", "baby", SYSTEM)] == [1]


def test_weights_are_only_kept_if_asked_for_also_within_a_fold(made_up_root, tmp_path):
    assert fit(made_up_root, tmp_path / "a") == 0
    assert not (tmp_path / "a" / "folds").exists()
    assert list(saved_folds(tmp_path / "a", "donateacry", "baby", SYSTEM)) == []
    assert fit(made_up_root, tmp_path / "b", "--outer-fold", "1", "--save-folds") == 0
    (_, _, folder), _ = saved_folds(tmp_path / "b", "donateacry", "baby", SYSTEM)
    assert cry_model.load_checkpoint(folder)[1].training["within"]["fold"] == 1
