"""The same code on two CPU processes: the same gradients, and a short fit to its end."""

import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import torch

import cry_model
from tests.train.killed_fit import SYSTEM, arguments

ROOT = Path(__file__).parents[2]
LAUNCH = ["-m", "accelerate.commands.launch", "--num_processes", "2", "--num_machines", "1"]
# --cpu alone would start one process; --multi_gpu names the launcher, which asks for no GPU.
LAUNCH += ["--multi_gpu", "--mixed_precision", "no", "--dynamo_backend", "no"]
LAUNCH += ["--main_process_port", "0"]


def python(*words):
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "1"}
    done = subprocess.run(
        [sys.executable, *map(str, words)],
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


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


def test_a_fit_on_two_processes_runs_to_its_end(made_up_root, tmp_path):
    said = python(*LAUNCH, "-m", "train", *arguments(str(made_up_root), str(tmp_path)))
    assert said.count("balanced accuracy") == 1  # one process speaks
    table = pd.read_csv(tmp_path / "results" / "donateacry" / "baby" / SYSTEM / "predictions.csv")
    assert table["recording"].nunique() == 30
    checkpoint = tmp_path / "checkpoints" / f"donateacry-{SYSTEM}"
    config = cry_model.load_checkpoint(checkpoint)[1]
    assert config.training["environment"]["processes"] == 2
