"""Test the challenge's feature table: rows, sample rates, groups, and fits on it."""

import json
from collections import Counter

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.model_selection import PredefinedSplit, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

import cry_model
from cry_model.sound.front_end_config import FEATURES
from tests.train import small_fit
from train.data.corpus import DataError
from train.data.datasets.challenge6 import ALL, LABELS, ONE_RATE, read_features


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Write the tables: per label 8 pairs of equal length, one pair in four at 44.1 kHz."""
    folder = tmp_path_factory.mktemp("tables") / "challenge6"
    folder.mkdir()
    rng = np.random.default_rng(0)
    label, pair, half = np.indices((len(LABELS), 8, 2)).reshape(3, -1)
    values = 0.4 * rng.normal(size=(len(LABELS), 26))[label]
    values += 0.5 * rng.normal(size=(len(LABELS), 8, 26))[label, pair]
    values += 0.2 * rng.normal(size=values.shape)
    table = pd.DataFrame(values, columns=FEATURES)
    table["rms"] = rng.uniform(0.02, 0.03, len(table))
    table["label"] = np.array(LABELS)[label]
    table["filename"] = table["label"] + [f"_{n}.wav" for n in 2 * pair + half]
    rates = np.where(pair % 4 == 3, 44_100, 16_000)
    lengths = table.assign(duration=10 + (60 * (100 * label + pair) + 1) / rates)
    table.to_csv(folder / "train_features.csv", index=False)
    lengths[["filename", "duration"]].to_csv(folder / "durations.csv", index=False)
    return folder.parent


def test_the_real_table_has_the_documented_counts(data_root):
    whole, part = read_features(data_root, ALL), read_features(data_root, ONE_RATE)
    assert len(whole.clips.items) == 918
    assert len(part.clips.items) == 720
    assert len({(item.group, item.label) for item in whole.clips.items}) == 426
    sizes = Counter(Counter(item.group for item in whole.clips.items).values())
    assert sizes == {2: 399, 4: 22, 6: 4, 8: 1}
    rates = pd.crosstab([i.label for i in whole.clips.items], list(whole.clips.rates))
    assert rates.loc["uncomfortable", 44_100] == 104
    assert rates.loc["awake", 44_100] == 2
    raw = pd.read_csv(data_root / "challenge6" / "train_features.csv").set_index("filename")
    for item, row in list(zip(whole.clips.items, whole.clips.waveforms, strict=True))[::100]:
        expected = raw.loc[item.path.name, list(FEATURES)].to_numpy(dtype=float)
        np.testing.assert_allclose(row, expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("file", "change", "words"),
    [
        ("durations.csv", lambda t: t.iloc[1:], "do not name the same"),
        ("durations.csv", lambda t: pd.concat([t, t.iloc[:1]]), "twice"),
        ("durations.csv", lambda t: t.assign(duration=1.23456789), "not a whole number"),
        ("train_features.csv", lambda t: t.drop(columns="mfcc7"), "no column mfcc7"),
        ("train_features.csv", lambda t: t.assign(rms=np.nan), "empty cell"),
        ("train_features.csv", lambda t: t.assign(rms="loud"), "without a finite number"),
        ("train_features.csv", lambda t: t.assign(rms=np.inf), "without a finite number"),
    ],
)
def test_a_damaged_table_is_refused(root, tmp_path, file, change, words):
    folder = tmp_path / "challenge6"
    folder.mkdir()
    for name in ("train_features.csv", "durations.csv"):
        table = pd.read_csv(root / "challenge6" / name)
        (change(table) if name == file else table).to_csv(folder / name, index=False)
    with pytest.raises(DataError, match=words):
        read_features(tmp_path, ALL)


def test_one_command_measures_both_tables_and_ships_the_16_khz_one(root, tmp_path):
    how = ("--system", "feature-mlp", "--dataset", ALL, "--protocol", "recording", "--folds", 2)
    how += ("--seeds", 0, 1, "--epochs", 25, "--set", "hidden=32", "members=2", "batch=16")
    assert small_fit.command("fit", root, tmp_path, *how) == 0
    for name, count in ((ALL, 96), (ONE_RATE, 72)):
        folder = tmp_path / "results" / name / "recording" / "feature-mlp"
        record = json.loads((folder / "run.json").read_text())
        table = pd.read_csv(folder / "predictions.csv")
        assert record["metrics"]["recording"]["recordings"] == count
        assert table.groupby(["seed", "group"])["fold"].nunique().max() == 1
        assert record["baselines"]["rbf_svm"]["accuracy"]["value"] == pytest.approx(
            svm(read_features(root, name), table), abs=1e-9
        )
        assert ("sample_rate" in record["baselines"]) == (name == ALL)
        assert ("recording_16000_hz" in record["metrics"]) == (name == ALL)
    assert record["metrics"]["recording"]["metrics"]["accuracy"]["value"] > 0.5
    (checkpoint,) = (tmp_path / "checkpoints").iterdir()
    config = cry_model.CryClassifier.from_pretrained(checkpoint).config
    assert config.evaluation.dataset == ONE_RATE
    assert config.training["recordings"] == 72


def svm(data, table):
    """Compute the SVM's accuracy on the folds of a prediction table with scikit-learn alone."""
    names = [item.recording for item in data.clips.items]
    x, y = torch.stack(data.clips.waveforms).double().numpy(), data.clips.labels.numpy()
    machine, right = make_pipeline(StandardScaler(), SVC(C=10, gamma=0.05)), []
    for _, rows in table.groupby("seed"):
        folds = PredefinedSplit(rows.set_index("recording")["fold"].loc[names])
        right.append(cross_val_predict(machine, x, y, cv=folds) == y)
    return np.mean(right)


def test_features_of_any_audio_corpus_can_be_fitted(made_up_root, tmp_path):
    how = ("--system", "feature-mlp", "--dataset", "donateacry", "--folds", 3, "--epochs", 5)
    for protocol in ("baby", "clip"):
        more = (*how, "--protocol", protocol, "--set", "hidden=16", "batch=8")
        assert small_fit.command("fit", made_up_root, tmp_path, *more) == 0
        folder = tmp_path / "results" / "donateacry" / protocol / "feature-mlp"
        record = json.loads((folder / "run.json").read_text())
        assert record["metrics"]["recording"]["recordings"] == 30
    (checkpoint,) = (tmp_path / "checkpoints").iterdir()
    config = cry_model.load_checkpoint(checkpoint)[1]
    assert config.evaluation.protocol == "baby"  # the shipped weights are the same under both
    assert config.training["recordings"] == 30
