"""Checkpoints: bit-exact round trips, and everything that is not exactly right refused."""

import errno
import io
import json
import math
import os
import stat
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import cry_model
from cry_model import CheckpointConfig, CheckpointError, Estimate, Evaluation
from cry_model.checkpoint import CONFIG, WEIGHTS, to_json, try_out, write_atomically
from cry_model.detector import DEFAULT_DETECTOR
from cry_model.hub import find_checkpoint
from cry_model.networks.registry import usual_config
from tests.stand_ins import AGREEMENT

LABELS = ("belly_pain", "hungry", "tired")
EVALUATION = Evaluation(
    "donateacry", "baby", 30, 10, 5, (0, 1), 1 / 3, "hungry", 0.8,
    {"balanced_accuracy": Estimate(0.4, 0.3, 0.5)}, {"hungry": 0.5}, {"hungry": 24},
)  # fmt: skip


def config(system="improved-ecapa-tdnn", **changes):
    small = {"channels": 16, "stages": 1} if system == "improved-ecapa-tdnn" else {}
    records = {"training": {"seed": 0}, "evaluation": EVALUATION, "agreement": AGREEMENT}
    records["settings"] = small
    return CheckpointConfig(system, LABELS, usual_config(system), **{**records, **changes})


@pytest.fixture
def saved(tmp_path):
    torch.manual_seed(0)
    model = config().build()
    cry_model.save_checkpoint(tmp_path / "c", model, config())
    return tmp_path / "c", model


@pytest.mark.parametrize("name", cry_model.list_models())
def test_round_trip_is_exact_to_the_bit(tmp_path, name):
    model = config(name).build()
    for _ in range(2):  # the second replaces the first
        cry_model.save_checkpoint(tmp_path, model, config(name))
    assert sorted(file.name for file in tmp_path.iterdir()) == [CONFIG, WEIGHTS]
    loaded, read = cry_model.load_checkpoint(tmp_path)
    assert read == config(name)
    assert not loaded.training
    ours, theirs = model.state_dict(), loaded.state_dict()
    assert list(ours) == list(theirs)
    assert all(torch.equal(ours[key], theirs[key]) for key in ours)


def test_what_could_not_be_loaded_again_does_not_replace_what_can(saved):
    folder, model = saved
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(ValueError, match="JSON compliant"):
        cry_model.save_checkpoint(folder, model, replace(config(), training={"loss": math.nan}))
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def change_weights(folder, change):
    tensors = load_file(folder / WEIGHTS)
    change(tensors)
    save_file(tensors, folder / WEIGHTS)


def refused(folder):
    """The one sentence with which a checkpoint is refused."""
    with pytest.raises(CheckpointError) as refusal:
        cry_model.load_checkpoint(folder)
    assert str(refusal.value).isprintable()  # no line breaks
    assert len(str(refusal.value)) < 600
    return str(refusal.value)


def pickled(_):
    buffer = io.BytesIO()
    torch.save({"stem.0.bias": torch.zeros(4)}, buffer)
    return buffer.getvalue()


BIAS = {  # in the place of 16 float32 numbers
    "NaN": torch.full((16,), math.nan),
    "infinity": torch.full((16,), math.inf).half(),
    "one infinity": torch.cat([torch.zeros(15), torch.tensor([-math.inf])]).bfloat16(),
    "infinite in float32": torch.full((16,), 1e300, dtype=torch.float64),
    "int64": torch.zeros(16, dtype=torch.int64),
    "float8": torch.zeros(16, dtype=torch.float8_e4m3fn),
    "a row": torch.zeros(1, 16),
}
WEIGHTS_OF_ANOTHER = {
    "missing": lambda t: t.pop("classifier.weight"),
    "unexpected": lambda t: t.update(extra=torch.zeros(1)),
    "wrong shape": lambda t: t.update({"classifier.bias": torch.zeros(6)}),
    **{name: lambda t, b=bias: t.update({"stem.0.bias": b}) for name, bias in BIAS.items()},
}


@pytest.mark.parametrize("name", WEIGHTS_OF_ANOTHER)
def test_weights_that_do_not_fit_or_are_no_finite_numbers_are_refused(saved, name):
    change_weights(saved[0], WEIGHTS_OF_ANOTHER[name])
    said = "'stem.0.bias'" if name in BIAS else "not those of improved-ecapa-tdnn"
    assert said in refused(saved[0])


DAMAGE = {
    **{f"first {n}": lambda c, n=n: c[:n] for n in (0, 7, 8, 1000, -1)},
    **{
        f"header of {n}": lambda c, n=n: n.to_bytes(8, "little") + c[8:]
        for n in (0, 2**31, 2**64 - 1)
    },
    "more at the end": lambda c: c + b"0",
    "pickle": pickled,
    "web page": lambda c: b"<!DOCTYPE html><html>" * 50,
    "no JSON": lambda c: c[:8] + b"[" + c[9:],
    "another name": lambda c: c.replace(b'"stem.0.bias"', b'"stem.0\\nbia"'),
    "huge shape": lambda c: c.replace(b'"shape":[16]', b'"shape":[9e9]'),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_damaged_weights_are_refused(saved, damage):
    file = saved[0] / WEIGHTS
    file.write_bytes(damage(file.read_bytes()))
    assert str(saved[0]) in refused(saved[0])


def test_loading_draws_no_random_numbers_and_keeps_nothing_of_the_file(saved):
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    loaded, _ = cry_model.load_checkpoint(saved[0])
    assert torch.equal(torch.rand(1), expected)
    with (saved[0] / WEIGHTS).open("r+b") as file:
        file.write(bytes(file.seek(0, 2)))
        file.truncate(0)
    assert torch.equal(loaded.stem[0].weight, saved[1].stem[0].weight)


@pytest.mark.parametrize("name", [CONFIG, WEIGHTS])
@pytest.mark.parametrize(
    "stand_in", ["gone", "folder", "pipe", "nowhere", "itself", "endless", "text"]
)
def test_what_is_no_file_of_ours_is_refused(saved, tmp_path, name, stand_in):
    path = saved[0] / name
    path.unlink()
    (tmp_path / "text").write_text("root:x:0:0:root:/root:/bin/sh")
    targets = {"nowhere": tmp_path / "no", "itself": path, "text": tmp_path / "text",
               "endless": Path(os.devnull).with_name("zero")}  # fmt: skip
    if stand_in == "folder":
        path.mkdir()
    elif stand_in == "pipe":
        os.mkfifo(path)
    elif stand_in in targets:
        path.symlink_to(targets[stand_in])
    sentence = refused(saved[0])
    assert "root" not in sentence.replace(str(tmp_path), "")
    assert (name if stand_in == "gone" else "") in sentence


@pytest.mark.parametrize("name", [CONFIG, WEIGHTS])
def test_a_file_that_may_not_be_read_or_is_larger_than_any_system(saved, name, monkeypatch):
    opened = Path.open

    def closed(path, *args, **kwargs):
        if path.name == name:
            raise PermissionError(13, "Permission denied", str(path))
        return opened(path, *args, **kwargs)

    with (saved[0] / name).open("r+b") as file:
        file.truncate(2**40)  # a hole: it takes no room
    assert "larger" in refused(saved[0]) or name == CONFIG
    monkeypatch.setattr(Path, "open", closed)
    assert "cannot be read" in refused(saved[0])


@pytest.mark.parametrize(
    "edit",
    [
        {"format": 2},
        {"format": True},
        {"colour": "red"},
        {"system": "vgg"},
        {"front_end": {"kind": "log-mel", "taps": 3}},
        {"settings": {"colour": 1}},
        {"settings": {"heads": 3}},
        {"front_end": {"sample_rate": "8"}},
        {"evaluation": {"dataset": "d"}},
        {"evaluation": {**asdict(EVALUATION), "support": {}}},
        {"agreement": {**asdict(AGREEMENT), "agreement": {"value": 1, "low": "x", "high": 1}}},
        {"labels": "abc"},
        {"labels": ["a", "a", "b"]},
    ],
)
def test_a_config_with_anything_wrong_is_refused(saved, edit):
    file = saved[0] / CONFIG
    file.write_text(json.dumps({**json.loads(file.read_text()), **edit}))
    refused(saved[0])


NO_CONFIG = (
    "", "[]", "{}", "\udcff", "NaN", "\ufeff{}", "[" * 10**5, '{"a":' * 10**4,
    "{" + " " * 10**6 + "}", "9" * 5000, "<!DOCTYPE html>",
)  # fmt: skip
SEEDS = (  # no plain JSON in the place of a 0
    '0, "seed": 1', "NaN", "-Infinity", "1e999", '"\\ud800"', '0, "\\ud800": 0', "9" * 5000,
    "[" * 21 + "]" * 21, '"' + "x" * 300_000 + '"',
)  # fmt: skip


@pytest.mark.parametrize(
    "text", [*NO_CONFIG, *(f'"seed": {seed}' for seed in SEEDS)], ids=lambda text: text[:20]
)
def test_a_config_that_is_no_config_or_no_plain_json_is_refused(saved, text):
    whole = (saved[0] / CONFIG).read_text()
    assert whole.count('"seed": 0') == 1
    text = whole.replace('"seed": 0', text) if text.startswith('"seed"') else text
    (saved[0] / CONFIG).write_text(text, errors="surrogateescape")
    refused(saved[0])


@pytest.mark.parametrize(
    "answer", [IndexError("a\nb."), RuntimeError("x" * 10**5), [0.5, math.nan], [-math.inf]]
)
def test_a_checkpoint_that_cannot_answer_is_refused_in_a_sentence(answer):
    def answering(recording):
        assert recording.duration == 1
        if isinstance(answer, Exception):
            raise answer
        return answer

    with pytest.raises(CheckpointError, match=r"^The checkpoint loads but.*\.$") as refusal:
        try_out(answering)
    assert len(str(refusal.value)) < 400
    try_out(lambda _: [0.5, 0.5])


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


@pytest.mark.parametrize("cut", [OSError(errno.ENOSPC, "No space"), KeyboardInterrupt()])
def test_a_write_that_is_cut_leaves_the_old_file_alone(tmp_path, monkeypatch, cut):
    def full(handle):
        raise cut

    path = tmp_path / "run.json"
    path.write_bytes(b"old")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(type(cut)):
        write_atomically(path, b"new")
    assert [(file.name, file.read_bytes()) for file in tmp_path.iterdir()] == [("run.json", b"old")]


@pytest.mark.parametrize(
    "name", ["six_class", "no/such-model", "not a repository id!", "/no/such", "x" * 5000, "a\0b"]
)
def test_a_name_that_leads_nowhere_is_one_sentence(name):
    with pytest.raises(CheckpointError, match="neither a folder nor a model"):
        find_checkpoint(name)


def test_a_config_of_the_last_release_calls_its_detector_a_gate():
    new = json.loads((DEFAULT_DETECTOR / CONFIG).read_text(encoding="utf-8"))
    old = {("gate" if name == "detector" else name): value for name, value in new.items()}
    read = CheckpointConfig.from_json(json.dumps(old))
    assert read == CheckpointConfig.from_json(json.dumps(new))
    assert read.detector is not None


def test_a_number_that_is_none_is_null_wherever_it_stands():
    record = {"a": math.nan, "b": [1, (math.inf, {"c": np.float64("nan")})], 0: [True, None, "ä"]}
    found = json.loads(to_json(record, None), parse_constant=pytest.fail)
    assert found == {"a": None, "b": [1, [None, {"c": None}]], "0": [True, None, "ä"]}
