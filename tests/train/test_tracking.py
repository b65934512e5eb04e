"""Live curves go where they are asked for."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.train.killed_fit import SYSTEM, arguments
from train.data.corpus import DataError
from train.fit.devices import make_accelerator

ROOT = Path(__file__).parents[2]


def test_tensorboard_gets_the_curves_of_every_fit(made_up_root, tmp_path):
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    words = arguments(str(made_up_root), str(tmp_path))
    done = subprocess.run(
        [sys.executable, "-m", "train", *words, "--track"], cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "curves" / "donateacry" / "baby" / SYSTEM
    assert {p.name for p in folder.iterdir()} == {
        "seed 0, fold 0", "seed 0, fold 1", "seed 0, all recordings",
    }  # fmt: skip
    curves = events.EventAccumulator(str(folder / "seed 0, fold 0")).Reload()
    tags = {"loss", "rate", "validation loss", "validation balanced accuracy"}
    assert set(curves.Tags()["scalars"]) == tags
    assert [event.step for event in curves.Scalars("loss")][:2] == [1, 2]
    record = tmp_path / "results" / "donateacry" / "baby" / SYSTEM / "run.json"
    assert json.loads(record.read_text())["metrics"]


def test_tensorboard_that_is_not_installed_is_one_sentence(monkeypatch):
    monkeypatch.setattr("train.fit.devices.is_tensorboard_available", lambda: False)
    with pytest.raises(DataError, match="pip install tensorboard"):
        make_accelerator("cpu", curves=Path("nowhere"))
