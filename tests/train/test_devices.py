"""Test that fits leave global state alone, two processes match one, and a GPU the CPU."""

import copy
import os
import pickle
import random
import signal
import warnings
from dataclasses import replace
from types import SimpleNamespace
from unittest.mock import Mock

import numpy as np
import pandas as pd
import pytest
import torch
import torch._dynamo  # the first import sets a variable and a warning filter
from accelerate.state import AcceleratorState, GradientState, PartialState
from torch import nn

import cry_model
from cry_model import FrontEnd
from tests.hub import WRITER, environment
from tests.train import small_fit
from tests.train.small_fit import CHECKPOINT, RESULTS, SYSTEM, arguments, python
from train.data.corpus import DataError
from train.fit import devices
from train.fit.devices import as_found, make_accelerator
from train.fit.presets import BEST
from train.fit.trainer import DeviceDataset, EpochRng, TrainingData, fit, step_loss

QUICK = replace(BEST, epochs=1, batch=8)


@pytest.mark.parametrize("hardware", [True, False])
def test_auto_precision_follows_the_hardware(hardware, monkeypatch):
    other, expected = ("float32", "bf16") if hardware else ("bfloat16", "no")
    with as_found():
        make_accelerator("cpu", other)
        monkeypatch.setattr("train.fit.devices.supports_bfloat16", lambda device: hardware)
        assert make_accelerator("cpu").mixed_precision == expected


def test_earlier_accelerators_keep_their_precision(clips):
    def result(accelerator):
        torch.manual_seed(0)
        model = cry_model.build_model(SYSTEM, 5, 64, channels=8, stages=1)
        fitted = fit(model, FrontEnd(BEST.front_end), TrainingData(clips, 5), QUICK, 0, accelerator)
        return fitted.classifier.weight

    older = make_accelerator("cpu", "bfloat16")
    alone = result(older)
    newer = make_accelerator("cpu", "float32")
    assert torch.equal(result(older), alone)
    assert not torch.equal(result(newer), alone)
    assert (older.mixed_precision, newer.mixed_precision) == ("bf16", "no")


def settings():
    """Return all global state that a fit could change, as far as it can be compared."""
    states = [AcceleratorState, PartialState, GradientState]
    return {
        "torch": (torch.get_rng_state().numpy().tobytes(), torch.initial_seed()),
        "numpy": repr(np.random.get_state()),  # noqa: NPY002 (the caller's)
        "python": random.getstate(),
        "threads": torch.get_num_threads(),
        "deterministic": torch.get_deterministic_debug_mode(),
        "cudnn": (torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic),
        "matmul": torch.get_float32_matmul_precision(),
        "autocast": (torch.is_autocast_enabled("cpu"), torch.get_autocast_dtype("cpu")),
        "gradients": (torch.is_grad_enabled(), torch.is_inference_mode_enabled()),
        "environment": dict(os.environ),
        "signals": [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)],
        "warnings": list(warnings.filters),
        "accelerate": [(kind._shared_state, copy.copy(kind._shared_state)) for kind in states],
    }


@pytest.mark.parametrize(
    ("system", "used", "broken"),
    [
        ("feature-mlp", True, False),
        (SYSTEM, False, False),
        (SYSTEM, True, True),
    ],
)
def test_a_fit_restores_global_state(made_up_root, tmp_path, monkeypatch, system, used, broken):
    more = ("--no-checkpoint", "--precision", "bfloat16", "--deterministic")
    if broken:
        failing = Mock(side_effect=KeyboardInterrupt)
        monkeypatch.setattr("train.fit.trainer.TrainingState.save", failing)
        monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    else:
        monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":16:8")
    with as_found():
        if used:
            make_accelerator("cpu", "float32")
        monkeypatch.setattr(torch.backends.cudnn, "benchmark", True)
        torch.manual_seed(12345)
        before = settings()
        status = small_fit.fit(made_up_root, tmp_path, *more, system=system)
        assert settings() == before
    assert status == (130 if broken else 0)


TWO = {"ACCELERATE_USE_CPU": "1"}
LAUNCH = ["-m", "accelerate.commands.launch", "--num_processes", "2", "--num_machines", "1"]
# --cpu alone would start one process; --multi_gpu names the launcher, which asks for no GPU.
LAUNCH += ["--multi_gpu", "--mixed_precision", "no", "--dynamo_backend", "no"]
LAUNCH += ["--main_process_port", "0"]


@pytest.mark.slow
def test_two_processes_give_the_gradients_of_one(made_up_root, tmp_path):
    paths = [tmp_path / "one.pt", tmp_path / "two.pt"]
    python("-m", "tests.train.two_processes", made_up_root, paths[0], **TWO)
    python(*LAUNCH, "-m", "tests.train.two_processes", made_up_root, paths[1], **TWO)
    one, two = map(torch.load, paths)
    assert (one["processes"], two["processes"]) == (1, 2)
    assert one["gradients"].keys() == two["gradients"].keys()
    for name, gradient in one["gradients"].items():
        torch.testing.assert_close(two["gradients"][name], gradient, rtol=1e-5, atol=1e-5)
    assert max(g.abs().max() for g in one["gradients"].values()) > 0.01


@pytest.mark.slow
def test_a_fit_on_two_processes_publishes_once(made_up_root, tmp_path, hub):
    given = [*arguments(made_up_root, tmp_path), "--publish", "user/cry"]
    variables = environment(hub.url, tmp_path / "home", HF_TOKEN=WRITER, **TWO)
    said = python(*LAUNCH, "-m", "train", *given, **variables)
    assert said.count("balanced accuracy") == said.count("Published: ") == 1  # one process prints
    table = pd.read_csv(tmp_path / RESULTS / "predictions.csv")
    assert table["recording"].nunique() == 30
    config = cry_model.load_checkpoint(tmp_path / CHECKPOINT)[1]
    assert config.training["environment"]["processes"] == 2
    sent = hub.repositories["models/user/cry"].files()["model.safetensors"]
    assert sent == (tmp_path / CHECKPOINT / "model.safetensors").read_bytes()
    assert hub.count("whoami") == 2  # before and after the fit
    assert hub.count("/commit/") == 1


def test_an_error_of_the_first_process_is_raised_in_every_one(monkeypatch):
    sent = []

    def broadcast(objects):
        if sent:
            objects[:] = pickle.loads(sent[0])  # as after a broadcast
        sent.append(pickle.dumps(objects))

    monkeypatch.setattr(devices, "broadcast_object_list", broadcast)
    compute = Mock(side_effect=DataError("It is not there."))
    for first in (True, False):
        process = SimpleNamespace(num_processes=2, is_main_process=first)
        with pytest.raises(DataError, match="not there"):
            devices.of_main(process, compute)
    assert (len(sent), compute.call_count) == (2, 1)


cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")


@cuda
def test_gradients_on_cuda_match_the_cpu(clips):
    sums = []
    for device in ("cpu", "cuda"):
        torch.manual_seed(0)
        model = cry_model.build_model("improved-ecapa-tdnn", 5, 64).to(device).eval()
        front_end = FrontEnd(BEST.front_end).to(device)
        waves = torch.stack([wave[:16_000] for wave in clips.waveforms[:8]]).to(device)
        # TF32's ten bits would exceed the tolerance.
        with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            logits = model(front_end(waves))
            nn.functional.cross_entropy(logits, clips.labels[:8].to(device)).backward()
        sums.append(sum(p.grad.double().abs().sum().item() for p in model.parameters()))
    assert sums[0] == pytest.approx(sums[1], rel=1e-4)
    gpu, preset = torch.device("cuda"), replace(QUICK, augmentation=None)
    dataset, rng = DeviceDataset(clips, 5, 1.0, gpu), EpochRng(0, 0, gpu)
    with as_found():
        accelerator = make_accelerator("cuda")
        loss = step_loss(model, front_end, dataset, None, preset, rng, accelerator)
    assert loss.device.type == "cuda"
