"""``python -m train grid``: the cells, their order, and that each is a fit like any other."""

import io
import json
from pathlib import Path

import pandas as pd
import pytest
import torch
from filelock import FileLock
from sklearn.metrics import balanced_accuracy_score

from tests.train.small_fit import RESULTS, SYSTEM, words
from train import results
from train.__main__ import main
from train.corpus import Item
from train.datasets import donateacry, esc10
from train.datasets.donateacry import LABELS
from train.grid import Cell, alike, cells, duration, state

SYSTEMS = (SYSTEM, "improved-ecapa-tdnn-no-rse")


def grid(root, out, *more, systems=SYSTEMS):
    what = ["grid", "--datasets", "donateacry", "--system", *systems, "--protocols", "baby"]
    given = words(root, out, *more)
    return main([*what, *given[given.index("--data-root") :]])


def predictions(out, system):
    return (out / "results" / "donateacry" / "baby" / system / "predictions.csv").read_bytes()


@pytest.fixture(scope="module")
def done(made_up_root, tmp_path_factory):
    """The grid in this process."""
    out = tmp_path_factory.mktemp("grid")
    assert grid(made_up_root, out, "--seeds", "0", "1", "--keep-folds", "--no-checkpoint") == 0
    return out


def test_seeds_are_outermost_then_places_in_their_order():
    places = [("a", "clip", "s"), ("a", "clip", "t"), ("a", "baby", "s")]
    found = cells(places, (3, 1))
    assert found[:2] == (Cell("a", "clip", "s", 3), Cell("a", "clip", "t", 3))
    assert [cell.seed for cell in found] == [3, 3, 3, 1, 1, 1]
    assert [cell.place for cell in found[3:]] == places


def test_official_folds_make_two_protocols_one(data_root):
    protocols = ("clip", "baby", "recording")
    assert alike(esc10.read(data_root).items, protocols, 5, (0, 1)) == {"recording": "baby"}
    assert alike(donateacry.read(data_root).items, protocols, 5, (0, 1)) == {}


def test_protocols_are_alike_where_every_group_is_one_recording():
    items = [Item(Path(), "ab"[n % 2], f"{n}", f"{n}", f"{n}") for n in range(12)]
    assert alike(items, ("recording", "baby"), 3, (0,)) == {"baby": "recording"}
    assert alike(items[:2], ("recording", "baby"), 3, (0,)) == {}  # the fit says what is wrong


def test_the_state_of_a_cell_is_read_from_its_files(tmp_path):
    def at(seed, **configuration):
        return state(tmp_path, seed, 2, {"folds": 2, **configuration})

    assert at(0) == "to do"
    place = {"dataset": "d", "protocol": "baby", "system": "resnet18", "preset": {}}
    record = {"configuration": {**place, "folds": 2, "bands": [1, 2]}, "seeds": [0]}
    results.write_record(tmp_path, record)
    table = pd.DataFrame({"seed": [0, 0, 1, 2, 2], "fold": [0, 1, 1, 0, 1], "p_a": 0.3, "p_b": 0.7})
    names = [f"r{number}" for number in table.index]
    results.write_predictions(
        tmp_path, table.assign(clip=names, recording=names, group="g", label="a")
    )
    assert [at(seed) for seed in range(4)] == ["done", "1 of 2 folds", "2 of 2 folds", "to do"]
    assert at(0, bands=(1, 2)) == "done"
    assert at(0, bands=(1, 3)) == "other settings"


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.4, "0 s"), (59.6, "1 min 0 s"), (3599, "59 min 59 s"), (7500, "2 h 5 min")],
)
def test_durations_are_for_people(seconds, said):
    assert duration(seconds) == said


def test_it_gives_what_fit_gives(done, finished_fit):
    ours = pd.read_csv(io.BytesIO(predictions(done, SYSTEM)))
    theirs = pd.read_csv(finished_fit / RESULTS / "predictions.csv")
    pd.testing.assert_frame_equal(ours[ours["seed"] == 0].reset_index(drop=True), theirs)
    for system in SYSTEMS:
        record = done / "results" / "donateacry" / "baby" / system / "run.json"
        assert json.loads(record.read_text())["seeds"] == [0, 1]
        assert len(list((done / "folds" / "donateacry" / "baby" / system).iterdir())) == 4
    assert not (done / "checkpoints").exists()


@pytest.mark.slow
def test_two_processes_give_the_same(done, made_up_root, tmp_path, monkeypatch):
    """Each with as many threads as this one: sums in the same order."""
    monkeypatch.setattr("train.commands.grid.cores", lambda: 2 * torch.get_num_threads())
    more = ("--seeds", "0", "1", "--jobs", "2", "--keep-folds", "--no-checkpoint")
    assert grid(made_up_root, tmp_path, *more) == 0
    for system in SYSTEMS:
        assert predictions(tmp_path, system) == predictions(done, system)
    names = {path.relative_to(done) for path in done.glob("folds/**/*")}
    assert {path.relative_to(tmp_path) for path in tmp_path.glob("folds/**/*")} == names


def test_what_is_there_is_only_read(done, made_up_root, monkeypatch, capsys):
    before = {path: path.read_bytes() for path in done.rglob("*.*") if path.is_file()}
    monkeypatch.setattr("train.commands.cell.run_fit", None)  # would be called
    assert grid(made_up_root, done, "--seeds", "0") == 0
    said = capsys.readouterr().out
    for system in SYSTEMS:
        table = pd.read_csv(io.BytesIO(predictions(done, system)))
        own = table[table["seed"] == 0]
        guess = own[[f"p_{label}" for label in LABELS]].to_numpy().argmax(1)
        right = balanced_accuracy_score(own["label"], [LABELS[i] for i in guess])
        line = f"donateacry, baby, {system}, seed 0: was there, balanced accuracy {right:.3f}"
        assert line in said
    assert {p: p.read_bytes() for p in done.rglob("*.*") if p.is_file()} == before


def test_a_dry_run_lists_the_cells_and_touches_nothing(done, made_up_root, tmp_path, capsys):
    assert grid(made_up_root, done, "--seeds", "1", "2", "--dry-run") == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if "seed" in line]
    states = [(seed, system) for seed in (1, 2) for system in SYSTEMS]
    assert lines == [
        f"donateacry, baby, {system}, seed {seed}: {'done' if seed == 1 else 'to do'}"
        for seed, system in states
    ]
    assert grid(made_up_root, done, "--dry-run", "--set", "batch=5") == 0
    assert "2 fits of 2 folds, 0 of them done" in (said := capsys.readouterr().out)
    assert said.count("other settings") == 2
    assert grid(made_up_root, tmp_path / "none", "--dry-run") == 0
    assert not (tmp_path / "none").exists()


def test_what_another_command_fits_is_skipped_and_said(made_up_root, tmp_path, capsys):
    lock = tmp_path / "state" / f"results-donateacry-baby-{SYSTEMS[0]}.lock"
    lock.parent.mkdir()
    with FileLock(lock):
        assert grid(made_up_root, tmp_path) == 0
    said = capsys.readouterr().out
    assert f"{SYSTEMS[0]}, seed 0: skipped, another command is fitting it" in said
    assert predictions(tmp_path, SYSTEMS[1])
    assert not (tmp_path / "results" / "donateacry" / "baby" / SYSTEMS[0]).exists()


def test_what_fails_does_not_stop_the_rest(done, made_up_root, tmp_path, capsys):
    folder = tmp_path / "results" / "donateacry" / "baby" / SYSTEMS[0]
    asked = results.read_run(done / folder.relative_to(tmp_path))["configuration"]
    results.write_record(folder, {"configuration": {**asked, "folds": 9}})
    (folder / "predictions.csv").write_bytes(predictions(done, SYSTEMS[0]))
    assert grid(made_up_root, tmp_path) == 2
    said = capsys.readouterr()
    assert predictions(tmp_path, SYSTEMS[1])
    assert "1 of 2 fits failed" in said.err
    assert f"{SYSTEMS[0]}, seed 0: {folder} holds a run with other settings" in said.err


def test_a_checkpoint_is_of_the_first_seed_with_the_numbers_of_all(made_up_root, tmp_path):
    more = ("--seeds", "1", "0", "--checkpoint")
    assert grid(made_up_root, tmp_path, *more, systems=SYSTEMS[:1]) == 0
    (folder,) = (tmp_path / "checkpoints").iterdir()
    config = json.loads((folder / "config.json").read_text())
    assert config["training"]["seed"] == 1
    assert config["evaluation"]["seeds"] == [0, 1]


@pytest.mark.parametrize("more", [("--set", "batch"), ("--datasets", "cats")])
def test_a_mistake_is_found_before_anything_is_fitted(made_up_root, tmp_path, more, capsys):
    assert grid(made_up_root, tmp_path, *more) == 2
    assert "Traceback" not in capsys.readouterr().err
    assert not (tmp_path / "results").exists()
