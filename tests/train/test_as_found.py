"""Fits in one process do not disturb each other, nor what the caller has set up there."""

import copy
import json
import logging
import os
import random
import signal
import subprocess
import sys
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch._dynamo  # sets a variable and a filter of warnings when it is first imported
from accelerate.state import AcceleratorState, GradientState, PartialState

import cry_model
from cry_model import FrontEnd
from cry_model.checkpoint import WEIGHTS
from tests.conftest import ROOT
from tests.train import small_fit
from tests.train.small_fit import CHECKPOINT, RESULTS, SYSTEM
from train.__main__ import main, parse
from train.cli.fit import plan
from train.fit.cross_validation import run_fit
from train.fit.devices import as_found, ask_for_determinism, make_accelerator
from train.fit.presets import BEST
from train.fit.trainer import TrainingData, fit

QUICK = replace(BEST, epochs=1, batch=8)


def words(root, out, *more, system=SYSTEM):
    return small_fit.words(root, out, "--set", "batch=8", *more, system=system)


def weights(root, out, precision):
    assert main(words(root, out, "--precision", precision)) == 0
    return (out / CHECKPOINT / WEIGHTS).read_bytes()


@pytest.fixture(scope="module")
def fresh(made_up_root, tmp_path_factory):
    """Precision -> the weights that a process of its own gives."""
    found = {}
    for precision in ("float32", "bfloat16"):
        out = tmp_path_factory.mktemp(precision)
        subprocess.run(
            [sys.executable, "-m", "train", *words(made_up_root, out, "--precision", precision)],
            cwd=ROOT,
            env={**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())},
            check=True,
            capture_output=True,
        )
        found[precision] = (out / CHECKPOINT / WEIGHTS).read_bytes()
    return found


@pytest.mark.slow
@pytest.mark.parametrize("first", ["float32", "bfloat16"])
def test_one_precision_after_the_other_gives_the_weights_of_a_fresh_process(
    fresh, made_up_root, tmp_path, first
):
    assert fresh["float32"] != fresh["bfloat16"]
    second = next(precision for precision in fresh if precision != first)
    for number, precision in enumerate((first, second, first)):
        assert weights(made_up_root, tmp_path / str(number), precision) == fresh[precision]


@pytest.mark.parametrize("hardware", [True, False])
def test_auto_follows_the_hardware_whatever_was_before(
    made_up_root, tmp_path, hardware, monkeypatch
):
    other, expected = ("float32", "bfloat16") if hardware else ("bfloat16", "float32")
    make_accelerator("cpu", other)
    monkeypatch.setattr("train.fit.devices.supports_bfloat16", lambda device: hardware)
    assert main(words(made_up_root, tmp_path, "--no-checkpoint")) == 0
    record = json.loads((tmp_path / RESULTS / "run.json").read_text())
    assert record["environment"]["precision"] == expected


def test_an_older_accelerator_keeps_its_precision(clips):
    def result(accelerator):
        torch.manual_seed(0)
        model = cry_model.build_model(SYSTEM, 5, 64, channels=8, stages=1)
        fitted = fit(model, FrontEnd(BEST.front_end), TrainingData(clips, 5), QUICK, 0, accelerator)
        return fitted.classifier.weight

    older = make_accelerator("cpu", "bfloat16")
    alone = result(older)
    newer = make_accelerator("cpu", "float32")
    assert (older.mixed_precision, newer.mixed_precision) == ("bf16", "no")
    assert torch.equal(result(older), alone)
    assert not torch.equal(result(newer), alone)
    assert (older.mixed_precision, newer.mixed_precision) == ("bf16", "no")


def settings():
    """Everything global that a fit could change, as far as it can be compared."""
    states = [AcceleratorState, PartialState, GradientState]
    return {
        "torch": torch.get_rng_state().numpy().tobytes(),
        "seed": torch.initial_seed(),
        "numpy": repr(np.random.get_state()),  # noqa: NPY002 (the caller's)
        "python": random.getstate(),
        "threads": (torch.get_num_threads(), torch.get_num_interop_threads()),
        "type": (torch.get_default_dtype(), torch.get_default_device()),
        "deterministic": torch.get_deterministic_debug_mode(),
        "cudnn": (torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic),
        "matmul": torch.get_float32_matmul_precision(),
        "autocast": (torch.is_autocast_enabled("cpu"), torch.get_autocast_dtype("cpu")),
        "gradients": (torch.is_grad_enabled(), torch.is_inference_mode_enabled()),
        "environment": dict(os.environ),
        "signals": [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)],
        "streams": (sys.stdout, sys.stderr, Path.cwd()),
        "warnings": list(warnings.filters),
        "logging": (logging.root.level, list(logging.root.handlers)),
        "numpy errors": np.geterr(),
        "accelerate": [(kind._shared_state, copy.copy(kind._shared_state)) for kind in states],
    }


def command(*more):
    return lambda root, out: main(words(root, out, "--no-checkpoint", *more))


def library(root, out):
    args = parse(words(root, out, "--precision", "bfloat16", "--no-resume"))
    run_fit(next(plan(args, SYSTEM, make_accelerator("cpu", "bfloat16"))))


def features(root, out):
    given = words(root, out, "--no-checkpoint", system="feature-mlp")
    place = given.index("--set")
    given[place + 1 : place + 3] = "members=2", "hidden=8"
    given[given.index("batch=8") - 1 : given.index("batch=8") + 1] = []
    assert main(given) == 0


def failing(root, out):
    assert command("--set", "channels=7", "--deterministic")(root, out) == 2


DO = [
    command("--precision", "bfloat16", "--deterministic"),
    command("--precision", "float32"),
    library,
    features,
    failing,
]


@pytest.mark.parametrize(("do", "used"), [*((do, True) for do in DO), (DO[0], False)])
def test_a_fit_leaves_the_process_as_it_found_it(made_up_root, tmp_path, monkeypatch, do, used):
    with as_found():
        if used:
            make_accelerator("cpu", "float32" if do is library else "bfloat16")
        monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":16:8")
        monkeypatch.setattr(torch.backends.cudnn, "benchmark", True)
        torch.manual_seed(12345)
        before = settings()
        with as_found():  # as a command has it; whoever makes an accelerator has that
            do(made_up_root, tmp_path)
        assert settings() == before


@pytest.mark.parametrize("error", [KeyboardInterrupt, ZeroDivisionError])
def test_a_fit_that_breaks_off_does_so_too(made_up_root, tmp_path, monkeypatch, error):
    def stop(epoch):
        raise error

    monkeypatch.setattr("train.fit.trainer.curves", stop)
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    before = settings()
    try:
        assert main(words(made_up_root, tmp_path, "--deterministic")) == 130
    except ZeroDivisionError:
        assert error is ZeroDivisionError
    assert settings() == before


def test_determinism_is_asked_for_and_taken_back(monkeypatch):
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":16:8")  # the caller's own choice stays
    with as_found():
        ask_for_determinism()
        assert torch.get_deterministic_debug_mode() == 1
        assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":16:8"
    assert torch.get_deterministic_debug_mode() == 0
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":16:8"
