"""Live curves go where they are asked for."""

import json
from pathlib import Path

import pytest

from tests.train.small_fit import RESULTS, SYSTEM, fit
from train.data.corpus import DataError
from train.fit.devices import make_accelerator


def test_tensorboard_gets_the_curves_of_every_fit(made_up_root, tmp_path):
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    more = ("--track", "--epochs", "2", "--set", "validation=0.34")
    assert fit(made_up_root, tmp_path, *more) == 0
    folder = tmp_path / "curves" / "donateacry" / "baby" / SYSTEM
    assert {p.name for p in folder.iterdir()} == {
        "seed 0, fold 0", "seed 0, fold 1", "seed 0, all recordings",
    }  # fmt: skip
    curves = events.EventAccumulator(str(folder / "seed 0, fold 0")).Reload()
    tags = {"loss", "rate", "validation loss", "validation balanced accuracy"}
    assert set(curves.Tags()["scalars"]) == tags
    assert [event.step for event in curves.Scalars("loss")][:2] == [1, 2]
    record = tmp_path / RESULTS / "run.json"
    assert json.loads(record.read_text())["metrics"]


def test_tensorboard_that_is_not_installed_is_one_sentence(monkeypatch):
    monkeypatch.setattr("train.fit.devices.is_tensorboard_available", lambda: False)
    with pytest.raises(DataError, match="pip install tensorboard"):
        make_accelerator("cpu", curves=Path("nowhere"))
