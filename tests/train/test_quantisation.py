"""``export`` and ``measure-int8``: files of a fitted fold, and how its int8 answers."""

import json

import pandas as pd
import pytest
from sklearn.metrics import accuracy_score

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")


from cry_model import CryClassifier
from cry_model.checkpoint import ASSETS, read_config
from cry_model.results import probabilities_of, recording_means
from tests.train import small_fit
from tests.train.conftest import write_corpus
from train.__main__ import main
from train.data.datasets.public import REASONS as LABELS

SYSTEM = "improved-ecapa-tdnn"


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return write_corpus(tmp_path_factory.mktemp("data"), 2, 1, 7.0)


@pytest.fixture(scope="module")
def out(root, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs")
    how = ("--protocol", "clip", "--epochs", "2", "--save-folds", "--no-checkpoint")
    assert small_fit.fit(root, out, *how, "--set", "batch=8", system=SYSTEM) == 0
    return out


def run(root, *words):
    where = ("--data-root", root, "--cache", root / "cache")
    return main([str(word) for word in (*words, *where)])


def test_int8_is_measured_on_what_a_fold_has_not_heard(root, out, capsys):
    assert run(root, "measure-int8", "--out", out) == 0
    assert "another first label for" in capsys.readouterr().out
    folder = out / "results" / "donateacry" / "clip" / SYSTEM
    found = json.loads((folder / "int8.json").read_text())
    rows = recording_means(pd.read_csv(folder / "predictions.csv"), LABELS)
    names = [LABELS[i] for i in probabilities_of(rows, LABELS).argmax(1)]
    assert found["float32"]["accuracy"]["value"] == pytest.approx(
        accuracy_score(rows["label"], names)
    )
    assert found["recordings"] == rows["recording"].nunique()
    assert 0 < found["distance"]["value"] < 0.1
    assert found["difference"]["accuracy"]["value"] == pytest.approx(
        found["int8"]["accuracy"]["value"] - found["float32"]["accuracy"]["value"]
    )


def test_a_fold_is_exported_in_int8_and_answers(root, out, examples, tmp_path, capsys):
    fold = next((out / "folds").rglob("config.json")).parent
    assert run(root, "export", fold, "--out", tmp_path, "--int8", "--dataset", "donateacry") == 0
    assert "model.onnx: " in capsys.readouterr().out
    clip = examples / "synthetic_rhythmic.wav"
    exported = CryClassifier.from_pretrained(tmp_path, backend="onnx").predict(clip)
    expected = CryClassifier.from_pretrained(fold).predict(clip).probabilities
    assert exported.probabilities == pytest.approx(expected, abs=0.1)
    assert read_config(fold).labels == tuple(exported.probabilities)


def test_a_detector_stays_in_float32(root, tmp_path, capsys):
    detector = ASSETS / "detector-resnet18"
    assert run(root, "export", detector, "--out", tmp_path, "--int8") == 2
    assert "leave --int8 out" in capsys.readouterr().err
