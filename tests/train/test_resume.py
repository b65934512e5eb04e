"""A fit that was killed ends with the same weights, bit for bit, as one never interrupted."""

import itertools
import json
import os
import random
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.train.killed_fit import arguments
from tests.train.small_fit import CHECKPOINT, RESULTS
from train.__main__ import main
from train.data.corpus import DataError
from train.fit.devices import as_found, ask_for_determinism
from train.fit.presets import BEST
from train.fit.state import TrainingState

ROOT = Path(__file__).parents[2]


def outcome(out):
    """What a run leaves, by name."""
    folders = [out / RESULTS, out / CHECKPOINT]
    names = ["predictions.csv", "model.safetensors"]
    return {p.name: p.read_bytes() for f in folders for p in f.iterdir() if p.name in names}


@pytest.mark.slow
def test_killed_at_random_moments_it_ends_with_the_same_weights(made_up_root, tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert main(arguments(str(made_up_root), str(whole))) == 0
    seed = random.randrange(10**6)
    environment = {**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())}
    done = subprocess.run(
        [sys.executable, "-m", "tests.train.killed_fit", made_up_root, killed, str(seed)],
        cwd=ROOT, env=environment, capture_output=True, text=True,
    )  # fmt: skip
    said = f"seed {seed}: {done.stdout}\n{done.stderr}"
    assert done.returncode == 0, said
    assert ".pt.part" in done.stdout, said  # a kill did hit the writing
    assert len(outcome(whole)) == 2
    assert outcome(killed) == outcome(whole), said
    assert not list(killed.rglob("*.pt"))  # what is done needs no state


@pytest.fixture
def threads():
    """Sets their number, which is as before at the end."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


def broken_off(root, out, monkeypatch, epoch):
    """A small fit of 2 folds of 2 epochs, stopped after so many of all these."""
    words = arguments(str(root), str(out))
    words[words.index("--epochs") + 1] = "2"
    words += ["--precision", "float32", "--no-checkpoint", "--set", "validation=0", "patience=0"]
    count = itertools.count(1)

    def stop(_):
        if next(count) == epoch:
            raise KeyboardInterrupt
        return {}

    with monkeypatch.context() as patch:
        patch.setattr("train.fit.trainer.curves", stop)
        assert main(words) == 130
    return words


@pytest.mark.parametrize(
    ("epoch", "now"),
    [(1, 1), (1, 2), (3, 2)],
    ids=["same threads", "within a fold", "after a fold"],
)
def test_other_threads_are_named_and_refused_where_the_last_bit_was_promised(
    made_up_root, tmp_path, monkeypatch, capsys, threads, epoch, now
):
    threads(1)
    words = broken_off(made_up_root, tmp_path, monkeypatch, epoch)
    capsys.readouterr()
    threads(now)
    if now != 1:
        assert main([*words, "--deterministic"]) == 2
        error = capsys.readouterr().err
        assert "OMP_NUM_THREADS=1" in error
        assert "Traceback" not in error
    assert main(words) == 0
    assert ("OMP_NUM_THREADS=1" in capsys.readouterr().err) == (now != 1)
    record = json.loads((tmp_path / RESULTS / "run.json").read_text())
    assert record["environment"]["threads"] == now
    assert main([*words, "--deterministic"]) == 0  # nothing is left to do


def test_threads_do_not_matter_where_a_gpu_computes(tmp_path):
    state = TrainingState(tmp_path / "fit.pt", "this", threads=4)
    state.save({"epoch": 1})
    with as_found():
        ask_for_determinism()
        assert replace(state, threads=None).load() == {"epoch": 1}
        with pytest.raises(DataError, match="threads at 4, and it is 8 now"):
            replace(state, threads=8).load()


class Stop(Exception):
    """Ends a fit after an epoch, as Ctrl-C does."""


@pytest.mark.parametrize("changes", [{}, {"ema_decay": 0.0, "weight_decay": 0.0}])
def test_a_fit_goes_on_after_its_last_epoch(fitted, tmp_path, changes):
    preset = replace(BEST, epochs=2, batch=8, **changes)
    whole, _ = fitted(preset, channels=8, stages=1)
    state = TrainingState(tmp_path / "fit.pt", "this")

    def stop(_):
        raise Stop

    with pytest.raises(Stop):
        fitted(preset, channels=8, stages=1, state=state, report=stop)
    resumed, epochs = fitted(preset, channels=8, stages=1, state=state)
    assert [epoch.number for epoch in epochs] == [2]
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, resumed.state_dict()[name]), name
    _, epochs = fitted(preset, channels=8, stages=1, state=replace(state, resume=False))
    assert [epoch.number for epoch in epochs] == [1, 2]


def test_a_state_of_other_settings_or_a_damaged_one_is_refused(tmp_path):
    state = TrainingState(tmp_path / "a" / "fit.pt", "this")
    assert state.load() is None
    state.save({"epoch": 1})
    assert state.load() == {"epoch": 1}
    with pytest.raises(DataError, match="other settings or data"):
        replace(state, identity="that").load()
    state.path.write_bytes(state.path.read_bytes()[:100])
    with pytest.raises(DataError, match="damaged"):
        state.load()
    state.path.write_bytes(b"nonsense")
    with pytest.raises(DataError, match="damaged"):
        state.load()
    state.delete()
    assert state.load() is None
