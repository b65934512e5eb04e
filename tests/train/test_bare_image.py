"""Fitting from a prepared corpus where nothing is installed but torch and a few more."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.train.killed_fit import SYSTEM, arguments
from train.data.cache import cache_path, prepare
from train.data.datasets import DATASETS
from train.fit.presets import BEST

ROOT = Path(__file__).parents[2]
ABSENT = ("gradio", "plotly", "librosa", "soundfile", "av", "soxr", "matplotlib", "tensorboard")
MAIN = f"""
import sys
sys.modules.update(dict.fromkeys({ABSENT}))  # each import of one raises ImportError
from train.__main__ import main
sys.exit(main(sys.argv[1:]))
"""


def bare(*words):
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    environment.pop("CRY_DATA", None)
    return subprocess.run(
        [sys.executable, "-c", MAIN, *map(str, words)],
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300,
    )  # fmt: skip


@pytest.fixture(scope="module")
def prepared(made_up_root, tmp_path_factory):
    folder = tmp_path_factory.mktemp("cache")
    prepare(DATASETS["donateacry"], made_up_root, folder, BEST.front_end)
    return folder


@pytest.mark.parametrize("named", ["by its dataset", "by its file"])
def test_a_fit_from_a_prepared_corpus(prepared, tmp_path, named):
    path = cache_path(prepared, "donateacry", BEST.front_end)
    dataset = "donateacry" if named == "by its dataset" else path
    done = bare(
        "fit", "--system", SYSTEM, "--dataset", dataset, "--cache", prepared, "--folds", 2,
        "--epochs", 1, "--out", tmp_path, "--set", "channels=16",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "checkpoints" / f"donateacry-{SYSTEM}" / "model.safetensors").exists()


def test_without_decoders_it_says_what_is_missing(made_up_root, tmp_path):
    words = arguments(str(made_up_root), str(tmp_path))
    done = bare(*words, "--cache", tmp_path, "--set", "channels=16")
    assert done.returncode == 2
    assert "without the package 'av'" in done.stderr
    assert "Traceback" not in done.stderr
