"""The same code on two CPU processes: the same gradients, and a short fit to its end."""

import os
import pickle
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import torch

import cry_model
from tests.hub import WRITER
from tests.hub_client import environment
from tests.train.killed_fit import arguments
from tests.train.small_fit import CHECKPOINT, RESULTS
from train.data.corpus import DataError
from train.fit import devices

ROOT = Path(__file__).parents[2]
LAUNCH = ["-m", "accelerate.commands.launch", "--num_processes", "2", "--num_machines", "1"]
# --cpu alone would start one process; --multi_gpu names the launcher, which asks for no GPU.
LAUNCH += ["--multi_gpu", "--mixed_precision", "no", "--dynamo_backend", "no"]
LAUNCH += ["--main_process_port", "0"]


def python(*words, **variables):
    ours = {"OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "1", **variables}
    done = subprocess.run(
        [sys.executable, *map(str, words)],
        cwd=ROOT, env={**os.environ, **ours}, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_two_processes_give_the_gradients_of_one(made_up_root, tmp_path):
    one, two = tmp_path / "one.pt", tmp_path / "two.pt"
    python("-m", "tests.train.two_processes", made_up_root, one)
    python(*LAUNCH, "-m", "tests.train.two_processes", made_up_root, two)
    one, two = torch.load(one), torch.load(two)
    assert (one["processes"], two["processes"]) == (1, 2)
    assert one["gradients"].keys() == two["gradients"].keys()
    for name, gradient in one["gradients"].items():
        torch.testing.assert_close(two["gradients"][name], gradient, rtol=1e-5, atol=1e-5)
    assert max(g.abs().max() for g in one["gradients"].values()) > 0.01


@pytest.mark.slow
def test_a_fit_on_two_processes_runs_to_its_end_and_one_of_them_publishes(
    made_up_root, tmp_path, hub
):
    words = [*arguments(str(made_up_root), str(tmp_path)), "--publish", "user/cry"]
    variables = environment(hub.url, tmp_path / "home", HF_TOKEN=WRITER)
    said = python(*LAUNCH, "-m", "train", *words, **variables)
    assert said.count("balanced accuracy") == said.count("Published: ") == 1  # one process speaks
    table = pd.read_csv(tmp_path / RESULTS / "predictions.csv")
    assert table["recording"].nunique() == 30
    checkpoint = tmp_path / CHECKPOINT
    config = cry_model.load_checkpoint(checkpoint)[1]
    assert config.training["environment"]["processes"] == 2
    weights = hub.repositories["models/user/cry"].files()["model.safetensors"]
    assert weights == (checkpoint / "model.safetensors").read_bytes()
    assert hub.count("whoami") == 2  # before and after the fit
    assert hub.count("/commit/") == 1


class Process:
    """What Accelerate tells one of two processes."""

    num_processes = 2

    def __init__(self, index):
        self.is_main_process = index == 0


@pytest.mark.parametrize("outcome", [{"a": 1}, DataError("It is not there.")])
def test_what_the_first_process_finds_or_raises_reaches_the_other(monkeypatch, outcome):
    sent = []

    def broadcast(objects):
        if sent:
            objects[:] = pickle.loads(sent[0])  # as it travels
        sent.append(pickle.dumps(objects))

    def compute():
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    monkeypatch.setattr(devices, "broadcast_object_list", broadcast)
    for index in (0, 1):
        if isinstance(outcome, Exception):
            with pytest.raises(DataError, match="It is not there"):
                devices.of_main(Process(index), compute)
        else:
            assert devices.of_main(Process(index), compute if index == 0 else None) == outcome
    assert len(sent) == 2
