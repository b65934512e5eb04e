"""Test that a fit resumes bit for bit after a kill, an interrupt or a full disk."""

import errno
import os
from dataclasses import replace
from pathlib import Path
from unittest.mock import Mock

import pandas as pd
import pytest
import torch

from cry_model.results import read_record, write_run
from tests.train import small_fit
from tests.train.small_fit import CHECKPOINT, RESULTS, arguments, python
from train.__main__ import main
from train.data.corpus import DataError
from train.fit.devices import as_found, ask_for_determinism
from train.fit.presets import BEST
from train.fit.state import TrainingState


def outcome(out):
    """Return name -> bytes of a run's predictions and weights."""
    folders, names = (out / RESULTS, out / CHECKPOINT), ("predictions.csv", "model.safetensors")
    return {p.name: p.read_bytes() for f in folders for p in f.iterdir() if p.name in names}


@pytest.mark.slow
def test_a_fit_killed_in_any_write_ends_with_the_same_weights(made_up_root, tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert main(arguments(made_up_root, whole)) == 0
    threads = f"{torch.get_num_threads()}"
    python("-m", "tests.train.small_fit", made_up_root, killed, OMP_NUM_THREADS=threads)
    assert len(outcome(whole)) == 2
    assert outcome(killed) == outcome(whole)
    assert not list(killed.rglob("*.pt"))  # a finished fit keeps no state


@pytest.mark.parametrize("changes", [{}, {"ema_decay": 0.0, "weight_decay": 0.0}])
def test_a_fit_resumes_after_its_last_epoch(fitted, tmp_path, changes):
    preset = replace(BEST, epochs=2, batch=8, **changes)
    whole, _ = fitted(preset, channels=8, stages=1)
    state, stop = TrainingState(tmp_path / "fit.pt", "this"), Mock(side_effect=KeyboardInterrupt)
    with pytest.raises(KeyboardInterrupt):
        fitted(preset, channels=8, stages=1, state=state, report=stop)
    resumed, epochs = fitted(preset, channels=8, stages=1, state=state)
    assert [epoch["epoch"] for epoch in epochs] == [2]
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, resumed.state_dict()[name]), name
    _, epochs = fitted(preset, channels=8, stages=1, state=replace(state, resume=False))
    assert [epoch["epoch"] for epoch in epochs] == [1, 2]


def test_incompatible_or_damaged_states_are_refused(tmp_path, capsys):
    state = TrainingState(tmp_path / "a" / "fit.pt", "this", threads=2)
    assert state.load() is None
    state.save({"epoch": 1})
    assert state.load() == {"epoch": 1}
    with pytest.raises(DataError, match="other settings or data"):
        replace(state, identity="that").load()
    assert replace(state, threads=3).load()
    assert "OMP_NUM_THREADS=2" in capsys.readouterr().err
    with as_found():
        ask_for_determinism()
        with pytest.raises(DataError, match="OMP_NUM_THREADS=2"):
            replace(state, threads=3).load()
    for damaged in (state.path.read_bytes()[:100], b"nonsense"):
        state.path.write_bytes(damaged)
        with pytest.raises(DataError, match="damaged"):
            state.load()
    state.delete()
    assert state.load() is None


def test_other_threads_are_reported_and_refused_if_deterministic(copied_fit, made_up_root, capsys):
    """Change the number of threads, which changes the order of sums."""
    folder = copied_fit / RESULTS
    table, record = pd.read_csv(folder / "predictions.csv"), read_record(folder / "run.json")
    table[table["fold"] == 0].to_csv(folder / "predictions.csv", index=False)
    record["environment"]["threads"] += 1
    write_run(folder, record)
    here, there = torch.get_num_threads(), f"OMP_NUM_THREADS={record['environment']['threads']}"
    words = small_fit.words(made_up_root, copied_fit, "--no-checkpoint")
    assert main([*words, "--deterministic"]) == 2
    assert there in capsys.readouterr().err
    assert main(words) == 0
    assert there in capsys.readouterr().err
    assert read_record(folder / "run.json")["environment"]["threads"] == here
    assert main([*words, "--deterministic"]) == 0  # nothing remains to be fitted


@pytest.mark.parametrize(
    ("number", "advice"),
    [
        (errno.EROFS, "is not writable"),
        (errno.ENOSPC, "The disk is full"),
        (errno.EEXIST, "not a folder"),
        (errno.EIO, "cannot be used"),
    ],
)
def test_disk_errors_during_a_run_are_reported(
    made_up_root, tmp_path, monkeypatch, capsys, number, advice
):
    whole = Path.write_bytes

    def fail(self, data):
        if self.name.endswith(".pt.part"):
            whole(self, data[:100])
            raise OSError(number, os.strerror(number), str(self))
        return whole(self, data)

    monkeypatch.setattr(Path, "write_bytes", fail)
    assert main(small_fit.words(made_up_root, tmp_path)) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert advice in error
    assert str(tmp_path) in error
    assert not list(tmp_path.rglob("*.part"))
