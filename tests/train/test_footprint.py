"""A fit that the memory does not hold is refused before it takes any of it."""

import time
from types import SimpleNamespace

import psutil
import pytest
import torch
from torch import nn

from cry_model.frontend import FrontEndConfig
from train.__main__ import main
from train.data.corpus import DataError
from train.fit.memory import PER_BIN, PER_SAMPLE, PER_WEIGHT, require_memory, step_bytes

SYSTEM = "improved-ecapa-tdnn-no-mca"


def fit(root, out, *more, system=SYSTEM):
    words = ["fit", "--system", system, "--dataset", "donateacry", "--data-root", str(root)]
    words += ["--cache", str(root / "cache"), "--out", str(out), "--folds", "2", "--epochs", "1"]
    return main([*words, "--device", "cpu", *more])


@pytest.mark.parametrize("batch", [64, 1000])
def test_the_bytes_are_those_counted_by_hand(batch):
    config = FrontEndConfig()
    frames, hidden = 250, 7
    with torch.device("meta"):
        model = nn.Sequential(nn.Flatten(), nn.Linear(64 * frames, hidden), nn.Tanh())
    # Backward needs the input of the matrix product and the output of tanh.
    activations = 4 * batch * (64 * frames + hidden)
    front = PER_SAMPLE * batch * 40_000 + PER_BIN * batch * 257 * frames
    weights = PER_WEIGHT * (64 * frames + 1) * hidden
    assert step_bytes(model, config, batch) == activations + front + weights


def test_what_is_more_than_free_is_one_sentence(monkeypatch):
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=3 * 2**30))
    require_memory(3 * 2**30, torch.device("cpu"))
    with pytest.raises(DataError, match=r"about 4\.0 GiB of memory, and 3\.0 GiB are free"):
        require_memory(4 * 2**30, torch.device("cpu"))


@pytest.mark.parametrize(
    ("system", "settings"),
    [
        (SYSTEM, ["batch=100000"]),
        (SYSTEM, ["channels=4096", "stages=16"]),
        ("improved-ecapa-tdnn", ["channels=4096", "stages=16"]),
        ("ecapa-tdnn", ["mfa_channels=4096", "batch=10000"]),
        ("resnet18", ["batch=30000"]),
        ("feature-mlp", ["members=64", "hidden=4096", "batch=50000"]),
    ],
)
def test_it_is_refused_at_once(made_up_root, tmp_path, capsys, monkeypatch, system, settings):
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=8 * 2**30))
    before = psutil.Process().memory_info().rss
    started = time.process_time()
    assert fit(made_up_root, tmp_path, "--set", *settings, system=system) == 2
    assert time.process_time() - started < 60
    assert psutil.Process().memory_info().rss - before < 2**30
    error = capsys.readouterr().err
    assert "GiB are free" in error
    assert "Traceback" not in error
    assert not list(tmp_path.rglob("run.json"))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (["reused_classifier={}"], "--teacher"),
        (["reused_classifier={'hidden':8}"], "--teacher"),
        (["channels=0"], "channels must be a whole number from 4"),
        (["heads=3", "channels=8"], "cannot be split"),
        (["batch=1000000000"], "batch is a whole number"),
    ],
)
def test_what_only_the_run_can_tell(made_up_root, tmp_path, capsys, settings, said):
    assert fit(made_up_root, tmp_path, "--set", *settings) == 2
    error = capsys.readouterr().err
    assert said in error
    assert "Traceback" not in error


@pytest.mark.parametrize(
    "more",
    [
        ["--epochs", "99999999999999"],
        ["--epochs", "1.5"],
        ["--epochs", "²"],
        ["--folds", "99999999999999"],
        ["--seeds", "99999999999"],
        ["--coverage", "nan"],
        ["--coverage", "1"],
    ],
)
def test_options_have_ends_too(made_up_root, tmp_path, capsys, more):
    assert fit(made_up_root, tmp_path, *more) == 2
    assert more[0] in capsys.readouterr().err


@pytest.mark.parametrize("more", [["--epochs", "4000000000"], ["--folds", "4000000000"]])
def test_what_the_options_let_through_is_refused_with_the_data(
    made_up_root, tmp_path, capsys, more
):
    assert fit(made_up_root, tmp_path, *more) == 2
    assert "Traceback" not in capsys.readouterr().err


def test_jobs_are_as_many_as_a_machine_can_do(capsys):
    assert main(["grid", "--datasets", "esc10", "--jobs", "100000"]) == 2
    assert "--jobs" in capsys.readouterr().err
