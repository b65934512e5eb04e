"""Test that checkpoints round-trip bit for bit and that anything invalid is refused."""

import errno
import json
import math
import os
import pickle
import stat
from dataclasses import asdict, replace
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from safetensors.torch import load, save

import cry_model
from cry_model import CheckpointConfig, CheckpointError, hub
from cry_model.checkpoint import (
    CONFIG,
    DEFAULT_DETECTOR,
    WEIGHTS,
    to_json,
    try_out,
    write_atomically,
)
from cry_model.networks.registry import usual_config
from tests.stand_ins import AGREEMENT, CALIBRATION, EVALUATION


def config(system="improved-ecapa-tdnn", **changes):
    small = {"channels": 16, "stages": 1} if system == "improved-ecapa-tdnn" else {}
    records = {"evaluation": EVALUATION, "agreement": AGREEMENT, "calibration": CALIBRATION}
    facts = {"settings": small, "training": {"seed": 0}, **records, **changes}
    return CheckpointConfig(system, ("belly_pain", "hungry"), usual_config(system), **facts)


@pytest.fixture
def saved(tmp_path):
    torch.manual_seed(0)
    model = config().build()
    cry_model.save_checkpoint(tmp_path / "c", model, config())
    return tmp_path / "c", model


def refused(folder):
    """Assert that a checkpoint is refused with one short sentence; return it."""
    with pytest.raises(CheckpointError) as refusal:
        cry_model.load_checkpoint(folder)
    assert str(refusal.value).isprintable()  # no line breaks
    assert len(str(refusal.value)) < 600
    return str(refusal.value)


@pytest.mark.parametrize("name", cry_model.list_models())
def test_round_trip_is_bit_exact(tmp_path, name):
    model = config(name).build()
    for _ in range(2):  # saving again replaces the first checkpoint
        cry_model.save_checkpoint(tmp_path, model, config(name))
    assert sorted(file.name for file in tmp_path.iterdir()) == [CONFIG, WEIGHTS]
    loaded, read = cry_model.load_checkpoint(tmp_path)
    assert read == config(name)
    assert not loaded.training
    ours, theirs = model.state_dict(), loaded.state_dict()
    assert list(ours) == list(theirs)
    assert all(torch.equal(ours[key], theirs[key]) for key in ours)


def test_an_invalid_checkpoint_does_not_replace_a_valid_one(saved):
    folder, model = saved
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(ValueError, match="JSON compliant"):
        cry_model.save_checkpoint(folder, model, replace(config(), training={"loss": math.nan}))
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def changed(change):
    """Return a function from a weights file to one with changed tensors, both as bytes."""

    def damage(content):
        tensors = load(content)
        change(tensors)
        return save(tensors)

    return damage


def bias(tensor):
    """Return what is said, and a function that replaces a bias of 16 float32 numbers."""
    return "'stem.0.bias'", changed(lambda tensors: tensors.update({"stem.0.bias": tensor}))


OTHERS, NO_FILE = "not those of improved-ecapa-tdnn", "cannot be read"
BAD_WEIGHTS = {
    "NaN": bias(torch.full((16,), math.nan)),
    "one infinity": bias(torch.tensor([0.0] * 15 + [-math.inf]).bfloat16()),
    "too large": bias(torch.full((16,), 1e300, dtype=torch.float64)),
    "int64": bias(torch.zeros(16, dtype=torch.int64)),
    "float8": bias(torch.zeros(16, dtype=torch.float8_e4m3fn)),
    "a row": bias(torch.zeros(1, 16)),
    "missing": (OTHERS, changed(lambda t: t.pop("classifier.weight"))),
    "unexpected": (OTHERS, changed(lambda t: t.update(extra=torch.zeros(1)))),
    "two lines": (OTHERS, lambda c: c.replace(b'"stem.0.bias"', b'"stem.0\\nbia"')),
    "empty": (NO_FILE, lambda c: b""),
    "cut": (NO_FILE, lambda c: c[:-1]),
    "longer": (NO_FILE, lambda c: c + b"0"),
    "huge header": (NO_FILE, lambda c: (2**31).to_bytes(8, "little") + c[8:]),
    "pickle": (NO_FILE, lambda c: pickle.dumps({"stem.0.bias": [0.0]})),
    "web page": (NO_FILE, lambda c: b"<!DOCTYPE html><html>" * 50),
}


@pytest.mark.parametrize(("said", "damage"), BAD_WEIGHTS.values(), ids=BAD_WEIGHTS)
def test_invalid_weights_are_refused(saved, said, damage):
    file = saved[0] / WEIGHTS
    file.write_bytes(damage(file.read_bytes()))
    assert said in refused(saved[0])


def test_loading_draws_no_random_numbers_and_copies_the_file(saved):
    state = torch.get_rng_state()
    loaded, _ = cry_model.load_checkpoint(saved[0])
    assert torch.equal(torch.get_rng_state(), state)
    with (saved[0] / WEIGHTS).open("r+b") as file:
        file.write(bytes(file.seek(0, 2)))
        file.truncate(0)
    assert torch.equal(loaded.stem[0].weight, saved[1].stem[0].weight)


STAND_INS = {
    "nothing": lambda path: None,
    "a folder": Path.mkdir,
    "a pipe": os.mkfifo,
    "itself": lambda path: path.symlink_to(path),
    "no end": lambda path: path.symlink_to("/dev/zero"),
    "passwords": lambda path: path.symlink_to("/etc/passwd"),
}


@pytest.mark.parametrize("name", [CONFIG, WEIGHTS])
@pytest.mark.parametrize("stand_in", STAND_INS)
def test_special_files_are_refused_without_showing_their_content(saved, name, stand_in):
    path = saved[0] / name
    path.unlink()
    STAND_INS[stand_in](path)
    sentence = refused(saved[0])
    assert "root:" not in sentence
    assert stand_in == "passwords" or name in sentence


@pytest.mark.parametrize("name", [CONFIG, WEIGHTS])
def test_unreadable_or_oversized_files_are_refused(saved, name, monkeypatch):
    opened = Path.open

    def closed(path, *args, **kwargs):
        if path.name == name:
            raise PermissionError(13, "Permission denied", str(path))
        return opened(path, *args, **kwargs)

    with (saved[0] / name).open("r+b") as file:
        file.truncate(2**40)  # sparse: it takes no disk space
    assert "larger" in refused(saved[0]) or name == CONFIG
    monkeypatch.setattr(Path, "open", closed)
    assert "cannot be read" in refused(saved[0])


EDITS = (
    {"format": True},
    {"system": "vgg"},
    {"front_end": {"kind": "log-mel", "taps": 3}},
    {"settings": {"colour": 1}},
    {"settings": {"heads": 3}},
    {"evaluation": {**asdict(EVALUATION), "support": {}}},
    {"agreement": {**asdict(AGREEMENT), "agreement": {"value": 1, "low": "x", "high": 1}}},
    {"calibration": {**asdict(CALIBRATION), "temperature": 0}},
    {"labels": ["a", "a"]},
    {"\x1b[31mred": 1},
    {"k" * 5000: 1},
    {"front_end": {"kind": "\x1b[31mred"}},
    {"front_end": {"kind": "log-mel"}},
)
TEXTS = ("", "[]", "\udcff", "\ufeff{}", '{"a":' * 10**4, "{" + " " * 10**6 + "}", "9" * 5000)
SEEDS = (  # invalid or harmful JSON in place of the seed 0
    '0, "seed": 1', "NaN", "1e999", '"\\ud800"', '0, "\\ud800": 0', "9" * 5000,
    "[" * 21 + "]" * 21, '"' + "x" * 300_000 + '"',
)  # fmt: skip


@pytest.mark.parametrize(
    "wrong", [*EDITS, *TEXTS, *(f'"seed": {seed}' for seed in SEEDS)], ids=lambda x: str(x)[:20]
)
def test_an_invalid_config_is_refused(saved, wrong):
    file = saved[0] / CONFIG
    whole = file.read_text()
    if isinstance(wrong, dict):
        wrong = json.dumps({**json.loads(whole), **wrong})
    elif wrong.startswith('"seed"'):
        assert whole.count('"seed": 0') == 1
        wrong = whole.replace('"seed": 0', wrong)
    file.write_text(wrong, errors="surrogateescape")
    refused(saved[0])


@pytest.mark.parametrize(
    "answer", [{"side_effect": RuntimeError("a\nb." * 10**5)}, {"return_value": [0.5, math.nan]}]
)
def test_a_checkpoint_that_cannot_predict_is_refused(answer):
    with pytest.raises(CheckpointError, match=r"^The checkpoint loads but.*\.$") as refusal:
        try_out(Mock(**answer))
    assert len(str(refusal.value)) < 400


def test_a_file_is_synced_before_it_is_renamed(tmp_path, monkeypatch):
    path, done = tmp_path / "run.json", []
    path.write_bytes(b"old")

    def syncing(handle):
        folder = stat.S_ISDIR(os.fstat(handle).st_mode)
        done.append((path.read_bytes(), "folder" if folder else os.pread(handle, 99, 0)))

    monkeypatch.setattr(os, "fsync", syncing)
    write_atomically(path, b"new")
    assert done == [(b"old", b"new"), (b"new", "folder")]


@pytest.mark.parametrize("cut", [OSError(errno.ENOSPC, "No space"), KeyboardInterrupt()])
def test_an_interrupted_write_keeps_the_old_file(tmp_path, monkeypatch, cut):
    def full(handle):
        raise cut

    path = tmp_path / "run.json"
    path.write_bytes(b"old")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(type(cut)):
        write_atomically(path, b"new")
    assert [(file.name, file.read_bytes()) for file in tmp_path.iterdir()] == [("run.json", b"old")]


@pytest.mark.parametrize("name", ["six_class", "no/such-model@v1", "/no/such", "x" * 5000, "a\0b"])
def test_an_unknown_name_is_refused_and_only_looked_up_with_a_slash(name, monkeypatch):
    asked, download = [], hub.hf_hub_download
    monkeypatch.setattr(
        hub, "hf_hub_download", lambda *a, **k: asked.append(a) or download(*a, **k)
    )
    with pytest.raises(CheckpointError, match="neither a folder nor a model") as refusal:
        hub.find_checkpoint(name)
    assert bool(asked) == ("/" in name)
    assert asked or "six-class, six-class-features, donate-a-cry" in str(refusal.value)


def test_a_config_from_before_calibration_is_read():
    data = json.loads((DEFAULT_DETECTOR / CONFIG).read_text(encoding="utf-8"))
    assert data.pop("calibration") is None
    read = CheckpointConfig.from_json(json.dumps(data))
    assert read == cry_model.load_checkpoint(DEFAULT_DETECTOR)[1]


def test_non_finite_numbers_become_null_at_any_depth():
    record = {"a": math.nan, "b": [1, (math.inf, {"c": np.float64("nan")})], 0: [True, None, "ä"]}
    found = json.loads(to_json(record, None), parse_constant=pytest.fail)
    assert found == {"a": None, "b": [1, [None, {"c": None}]], "0": [True, None, "ä"]}
