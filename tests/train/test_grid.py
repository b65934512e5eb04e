"""Test ``python -m train grid``: its cells, their order, and that each equals a plain fit."""

import shutil
import signal
import time
from dataclasses import replace
from itertools import product
from pathlib import Path

import pandas as pd
import pytest
import torch
from filelock import FileLock
from sklearn.metrics import balanced_accuracy_score

from cry_model.checkpoint import load_checkpoint
from cry_model.results import write_record
from tests.train.folders import contents
from tests.train.small_fit import MORE, RESULTS, SYSTEMS, started, words
from train.__main__ import main, parse
from train.cli.grid import GridFit, alike, words_of
from train.data.corpus import Item
from train.data.datasets.public import REASONS as LABELS
from train.scoring import results

BUSY = "improved-ecapa-tdnn-no-diff-attention"


def command(root, out, *more, systems=SYSTEMS):
    what = ["grid", "--datasets", "donateacry", "--system", *systems, "--protocols", "baby"]
    given = words(root, out, *more)
    return [*what, *given[given.index("--data-root") :]]


def grid(*given, **systems):
    return main(command(*given, **systems))


def results_of(out, system):
    return out / RESULTS.with_name(system)


@pytest.mark.parametrize("folds", [None, 3])
def test_protocols_with_equal_splits_are_found(folds):
    """Use folds by the corpus's authors, or groups of one recording each."""
    items = [
        Item(Path(), "ab"[n % 2], f"{n}", f"{n}", f"{n // 2 if folds else n}", folds and n % 3)
        for n in range(12)
    ]
    assert alike(items, ("clip", "recording", "baby"), 3, (0, 1)) == {"baby": "recording"}
    apart = [replace(item, fold=None, group=f"{n // 2}") for n, item in enumerate(items)]
    assert alike(apart, ("recording", "baby"), 3, (0,)) == {}
    assert alike(items[:2], ("recording", "baby"), 4, (0,)) == {}  # the fit reports the error


@pytest.mark.slow
def test_two_processes_match_a_plain_fit(two_systems, made_up_root, tmp_path, monkeypatch):
    """Give each as many threads as this process, so that sums have the same order."""
    monkeypatch.setattr("train.cli.grid.cores", lambda: 2 * torch.get_num_threads())
    assert grid(made_up_root, tmp_path, *MORE, "--jobs", "2") == 0
    for system in SYSTEMS:
        found, alone = (results_of(out, system) for out in (tmp_path, two_systems))
        assert contents(found)["predictions.csv"] == contents(alone)["predictions.csv"]
    one, other = (load_checkpoint(at)[1] for at in (tmp_path / "checkpoints").iterdir())
    assert one.training["seed"] == other.training["seed"] == 1  # the first
    assert one.evaluation.seeds == other.evaluation.seeds == (0, 1)  # measured over all seeds
    assert len(list(tmp_path.glob("folds/donateacry/baby/*/*"))) == 8


def test_finished_cells_are_only_read(two_systems, made_up_root, monkeypatch, capsys):
    before = contents(two_systems)
    monkeypatch.setattr("train.cli.grid.fit_in_process", None)  # would raise if called
    assert grid(made_up_root, two_systems, "--seeds", "0", "1") == 0
    said = capsys.readouterr().out
    for system, seed in product(SYSTEMS, (0, 1)):
        table = pd.read_csv(results_of(two_systems, system) / "predictions.csv")
        own = table[table["seed"] == seed]
        guess = own[[f"p_{label}" for label in LABELS]].idxmax(axis=1).str[2:]
        right = balanced_accuracy_score(own["label"], guess)
        assert f"{system}, seed {seed}: already done, balanced accuracy {right:.3f}" in said
    assert contents(two_systems) == before


def test_a_dry_run_lists_the_cells_and_writes_nothing(two_systems, made_up_root, tmp_path, capsys):
    runs = shutil.copytree(two_systems, tmp_path / "runs")
    path = results_of(runs, SYSTEMS[0]) / "predictions.csv"
    table = pd.read_csv(path)
    table[(table["seed"] == 1) | (table["fold"] == 1)].to_csv(path, index=False)  # interrupted
    assert grid(made_up_root, runs, "--seeds", "1", "0", "2", "--dry-run") == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if ", seed " in line]
    states = ("done", "done", "1 of 2 folds", "done", "to do", "to do")
    assert lines == [
        f"donateacry, baby, {system}, seed {seed}: {state}"
        for (seed, system), state in zip(product((1, 0, 2), SYSTEMS), states, strict=True)
    ]
    assert grid(made_up_root, runs, "--dry-run", "--set", "batch=5") == 0
    assert "2 fits of 2 folds, 0 of them done" in (said := capsys.readouterr().out)
    assert said.count("other settings") == 2
    assert grid(made_up_root, tmp_path / "none", "--dry-run") == 0
    assert not (tmp_path / "none").exists()


@pytest.mark.slow
def test_failed_or_busy_cells_do_not_stop_the_rest(two_systems, made_up_root, tmp_path, capsys):
    folder = results_of(tmp_path, SYSTEMS[0])
    shutil.copytree(results_of(two_systems, SYSTEMS[0]), folder)
    asked = results.existing_record(folder)["configuration"]
    write_record(folder, {"configuration": {**asked, "folds": 9}})
    lock = tmp_path / "state" / f"results-donateacry-baby-{BUSY}.lock"
    lock.parent.mkdir()
    with FileLock(lock):
        assert grid(made_up_root, tmp_path, systems=(SYSTEMS[0], BUSY, SYSTEMS[1])) == 2
    said = capsys.readouterr()
    assert (results_of(tmp_path, SYSTEMS[1]) / "predictions.csv").exists()
    assert f"[2/3] donateacry, baby, {BUSY}, seed 0: skipped, another command" in said.out
    assert not results_of(tmp_path, BUSY).exists()
    assert "1 of 3 fits failed" in said.err
    assert f"{SYSTEMS[0]}, seed 0: {folder} holds a run with other settings" in said.err
    assert "Traceback" not in said.err


def test_a_cell_has_the_options_of_fit(tmp_path):
    given = ["--datasets", "esc10", "--seeds", "4", "2", "--checkpoint", "--track", "--no-resume"]
    given += ["--set", "batch=4", "mixup=0", "--data-root", str(tmp_path), "--precision", "float32"]
    options = parse(["grid", *given])
    for seed, seeds in ((4, (4,)), (2, (4, 2))):
        asked = options.options_of(GridFit("esc10", "clip", "resnet18", seed))
        assert (asked.seeds, asked.checkpoint) == (seeds, seed == 2)
        assert parse(words_of(asked)) == asked


@pytest.mark.slow
def test_ctrl_c_ends_every_fit(made_up_root, tmp_path):
    with started(*command(made_up_root, tmp_path, "--epochs", "10000", "--jobs", "2")) as parent:
        until = time.monotonic() + 120
        while len(list(tmp_path.glob("state/donateacry/baby/*/*.pt"))) < 2:
            assert parent.poll() is None
            assert time.monotonic() < until
            time.sleep(0.1)
        parent.send_signal(signal.SIGINT)
        said = parent.communicate(timeout=60)[1]
    assert parent.returncode == 130
    assert said.count("the same command resumes") == 1
    assert "Traceback" not in said
    for system in SYSTEMS:  # free locks show that the fits have ended
        FileLock(tmp_path / "state" / f"results-donateacry-baby-{system}.lock").acquire(timeout=0)
    assert not list(tmp_path.rglob("*.part"))
