"""``prepare`` and ``fit`` from files to a checkpoint that answers."""

import json

import pytest

import cry_model
from train.__main__ import main

SYSTEM = "improved-ecapa-tdnn-no-mca"


@pytest.mark.parametrize(
    ("name", "below"),
    [
        ("synthetic6", ""),
        pytest.param("challenge6", "synthetic6", marks=pytest.mark.slow),  # the same layout
        pytest.param("folder", "synthetic6/train", marks=pytest.mark.slow),
    ],
)
def test_from_files_to_an_answer(name, below, synthetic, tmp_path, capsys):
    where = ["--data-root", str(synthetic / below), "--cache", str(tmp_path / "cache")]
    assert main(["prepare", name, *where]) == 0
    assert " MB." in capsys.readouterr().out
    for protocol in ("clip", "baby"):
        words = ["fit", "--system", SYSTEM, "--dataset", name, *where, "--protocol", protocol]
        words += ["--folds", "2", "--epochs", "1", "--out", str(tmp_path)]
        assert main([*words, "--set", "channels=8", "stages=1"]) == 0
        (folder,) = (tmp_path / "results").glob(f"*/{protocol}/{SYSTEM}")
        record = json.loads((folder / "run.json").read_text())
        assert record["metrics"]["recording"]["folds"] == 2
    (checkpoint,) = (tmp_path / "checkpoints").iterdir()
    classifier = cry_model.CryClassifier.from_pretrained(checkpoint)
    assert classifier.config.evaluation.protocol == "baby"
    sound = next(synthetic.rglob("*.wav"))
    assert set(classifier.predict(sound).probabilities) == set(record["labels"])
