"""``prepare`` and ``fit`` from the files of every dataset to a checkpoint that answers."""

import csv
import itertools
import json
import shutil

import pytest

import cry_model
from train.__main__ import main
from train.data.cache import DATASETS
from train.data.datasets import challenge6, detector, other_sounds, public, synthetic6

SYSTEM = "improved-ecapa-tdnn-no-mca"


OWN = (public.CRIES, other_sounds.NAME, detector.NAME)
"""No labels; one label; several corpora, and a command of its own."""


@pytest.fixture(
    params=[
        pytest.param(name, marks=[pytest.mark.slow] if name != synthetic6.NAME else [])
        for name in DATASETS
        if name not in OWN
    ]
)
def corpus(request, tmp_path, synthetic):
    """A part of each dataset under a root of its own, real where the recordings are there."""
    name, root = request.param, tmp_path / "data"
    if name == synthetic6.NAME:
        return name, synthetic
    if name == challenge6.NAME:  # the same layout; the real one is not at hand
        shutil.copytree(synthetic / synthetic6.NAME / "train", root / name / "train")
        return name, root
    if name == "folder":
        shutil.copytree(synthetic / synthetic6.NAME / "train", root / "mine")
        return name, root / "mine"
    real = request.getfixturevalue("data_root")
    taken = {}
    for item in DATASETS[name].read(real).items:
        taken.setdefault((item.label, item.fold), []).append(item.path)
    if name == challenge6.CUTS:  # its table names every recording
        (root / name).mkdir(parents=True)
        with (real / name / challenge6.CUTS_TABLE).open(newline="") as stream:
            head, *rows = csv.reader(stream)
        few = [row for _, own in itertools.groupby(rows, lambda r: r[1]) for row in list(own)[:6]]
        with (root / name / challenge6.CUTS_TABLE).open("w", newline="") as stream:
            csv.writer(stream).writerows([head, *few])
    most = 6 if name != "esc10" else 1  # of each label, and there of each fold
    for path in itertools.chain.from_iterable(paths[:most] for paths in taken.values()):
        target = root / path.relative_to(real)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    return name, root


def test_from_files_to_an_answer(corpus, tmp_path, capsys):
    name, root = corpus
    where = ["--data-root", str(root), "--cache", str(tmp_path / "cache")]
    assert main(["prepare", name, *where]) == 0
    assert " MB." in capsys.readouterr().out
    folds = "5" if name == "esc10" else "2"
    for protocol in ("clip", "baby"):
        words = ["fit", "--system", SYSTEM, "--dataset", name, *where, "--protocol", protocol]
        words += ["--folds", folds, "--epochs", "1", "--out", str(tmp_path)]
        assert main([*words, "--set", "channels=8", "stages=1"]) == 0
        (folder,) = (tmp_path / "results").glob(f"*/{protocol}/{SYSTEM}")
        record = json.loads((folder / "run.json").read_text())
        assert record["metrics"]["recording"]["folds"] == int(folds)
    (checkpoint,) = (tmp_path / "checkpoints").iterdir()
    classifier = cry_model.CryClassifier.from_pretrained(checkpoint)
    assert classifier.config.evaluation.protocol == "baby"
    sound = next(p for p in sorted(root.rglob("*")) if p.suffix in (".wav", ".ogg", ".flac"))
    assert set(classifier.predict(sound).probabilities) == set(record["labels"])


@pytest.mark.long
def test_esc10_is_learnt(data_root, tmp_path):
    """The whole of it on its official folds, in a quarter of an hour: far above chance (0.1)."""
    words = ["fit", "--system", "improved-ecapa-tdnn", "--dataset", "esc10", "--no-checkpoint"]
    words += ["--data-root", str(data_root), "--cache", str(tmp_path), "--out", str(tmp_path)]
    assert main([*words, "--epochs", "15"]) == 0
    record = next((tmp_path / "results").rglob("run.json"))
    measured = json.loads(record.read_text())["metrics"]["recording"]["metrics"]
    assert measured["accuracy"]["low"] > 0.5
