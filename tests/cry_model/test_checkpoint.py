"""Checkpoints: bit-exact round trips, and everything that is not exactly right refused."""

import errno
import json
import os
import stat
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

import cry_model
from cry_model import CheckpointConfig, CheckpointError, Estimate, Evaluation
from cry_model.checkpoint import CONFIG, WEIGHTS, write_atomically
from cry_model.front_ends import usual_config
from cry_model.hub import find_checkpoint

LABELS = ("belly_pain", "hungry", "tired")
EVALUATION = Evaluation(
    "donateacry", "baby", 30, 10, 5, (0, 1), 1 / 3, "hungry", 0.8,
    {"balanced_accuracy": Estimate(0.4, 0.3, 0.5)}, {"hungry": 0.5}, {"hungry": 24},
)  # fmt: skip


def config(system="improved-ecapa-tdnn", **changes):
    return CheckpointConfig(
        system, LABELS, usual_config(system), training={"seed": 0}, evaluation=EVALUATION, **changes
    )


@pytest.fixture
def saved(tmp_path):
    torch.manual_seed(0)
    model = config().build()
    cry_model.save_checkpoint(tmp_path / "c", model, config())
    return tmp_path / "c", model


@pytest.mark.parametrize("name", cry_model.list_models())
def test_round_trip_is_exact_to_the_bit(tmp_path, name):
    model = config(name).build()
    cry_model.save_checkpoint(tmp_path, model, config(name))
    loaded, read = cry_model.load_checkpoint(tmp_path)
    assert read == config(name)
    assert not loaded.training
    for (key, ours), (key_read, theirs) in zip(
        model.state_dict().items(), loaded.state_dict().items(), strict=True
    ):
        assert key == key_read
        assert torch.equal(ours, theirs)


def test_settings_of_the_system_survive(tmp_path):
    small = config(settings={"channels": 32})
    cry_model.save_checkpoint(tmp_path, small.build(), small)
    assert cry_model.load_checkpoint(tmp_path)[0].stem[0].out_channels == 32


@pytest.mark.parametrize("name", [CONFIG, WEIGHTS])
def test_a_missing_file_is_named(saved, name):
    (saved[0] / name).unlink()
    with pytest.raises(CheckpointError, match=name):
        cry_model.load_checkpoint(saved[0])


def change_weights(folder, change):
    tensors = load_file(folder / WEIGHTS)
    change(tensors)
    save_file(tensors, folder / WEIGHTS)


@pytest.mark.parametrize(
    "change",
    [
        lambda t: t.pop("classifier.weight"),
        lambda t: t.update(extra=torch.zeros(1)),
        lambda t: t.update({"classifier.bias": torch.zeros(6)}),
    ],
    ids=["missing", "unexpected", "wrong shape"],
)
def test_weights_that_do_not_fit_are_refused(saved, change):
    change_weights(saved[0], change)
    with pytest.raises(CheckpointError, match="not those of improved-ecapa-tdnn") as refusal:
        cry_model.load_checkpoint(saved[0])
    assert "\n" not in str(refusal.value)


def test_damaged_weights_are_refused(saved):
    file = saved[0] / WEIGHTS
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(CheckpointError):
        cry_model.load_checkpoint(saved[0])


@pytest.mark.parametrize(
    "edit",
    [
        {"format": 2},
        {"format": None},
        {"colour": "red"},
        {"system": "vgg"},
        {"front_end": {"kind": "log-mel", "taps": 3}},
        {"settings": {"colour": 1}},
        {"settings": {"heads": 3}},
        {"front_end": {"kind": "gammatone"}},
        {"front_end": {"sample_rate": "8"}},
        {"evaluation": {"dataset": "d"}},
        {"evaluation": {**asdict(EVALUATION), "support": {}}},
        {"evaluation": {**asdict(EVALUATION), "recall": {"hungry": "<b>"}}},
        {"evaluation": {**asdict(EVALUATION), "chance": None}},
        {"labels": None},
        {"labels": "abc"},
        {"labels": []},
        {"labels": ["a", "a", "b"]},
        {"labels": [1, 2, 3]},
        {"training": []},
        {"training": None},
        {"settings": "none"},
    ],
)
def test_a_config_with_anything_wrong_is_refused(saved, edit):
    file = saved[0] / CONFIG
    file.write_text(json.dumps({**json.loads(file.read_text()), **edit}))
    with pytest.raises(CheckpointError):
        cry_model.load_checkpoint(saved[0])


@pytest.mark.parametrize("text", ["", "[]", "{}", "nonsense", "\udcff"])
def test_a_config_that_is_no_config_is_refused(saved, text):
    (saved[0] / CONFIG).write_text(text, errors="surrogateescape")
    with pytest.raises(CheckpointError):
        cry_model.load_checkpoint(saved[0])


def test_a_file_is_on_the_disk_before_it_takes_the_name(tmp_path, monkeypatch):
    path, done = tmp_path / "run.json", []
    sync, replace = os.fsync, Path.replace

    def syncing(handle):
        sync(handle)
        folder = stat.S_ISDIR(os.fstat(handle).st_mode)
        done.append("folder" if folder else os.pread(handle, 99, 0))

    def replacing(self, target):
        done.append("replace")
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", syncing)
    monkeypatch.setattr(Path, "replace", replacing)
    path.write_bytes(b"old")
    write_atomically(path, b"new")
    assert done == [b"new", "replace", "folder"]
    assert path.read_bytes() == b"new"


def test_what_cannot_be_synced_leaves_the_old_file_alone(tmp_path, monkeypatch):
    def full(handle):
        raise OSError(errno.ENOSPC, "No space left on device")

    path = tmp_path / "run.json"
    path.write_bytes(b"old")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_atomically(path, b"new")
    assert [(file.name, file.read_bytes()) for file in tmp_path.iterdir()] == [("run.json", b"old")]


def test_saving_again_replaces_and_leaves_nothing_behind(saved):
    folder, model = saved
    cry_model.save_checkpoint(folder, model, config())
    assert sorted(f.name for f in folder.iterdir()) == [CONFIG, WEIGHTS]


@pytest.mark.parametrize("name", ["no/such-model", "not a repository id!", "/no/such/folder"])
def test_a_name_that_leads_nowhere_is_one_sentence(name):
    with pytest.raises(CheckpointError, match="neither a folder nor a model"):
        find_checkpoint(name)
