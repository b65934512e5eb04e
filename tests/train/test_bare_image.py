"""Fitting from a prepared corpus where nothing is installed but torch and a few more."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.train.small_fit import CHECKPOINT, words
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


def bare(*given):
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    environment.pop("CRY_DATA", None)
    return subprocess.run(
        [sys.executable, "-c", MAIN, *map(str, given)],
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300,
    )  # fmt: skip


@pytest.fixture(scope="module")
def prepared(made_up_root, tmp_path_factory):
    folder = tmp_path_factory.mktemp("cache")
    prepare(DATASETS["donateacry"], made_up_root, folder, BEST.front_end)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("named", ["by its dataset", "by its file"])
def test_a_fit_from_a_prepared_corpus(prepared, tmp_path, named):
    path = cache_path(prepared, "donateacry", BEST.front_end)
    dataset = "donateacry" if named == "by its dataset" else path
    given = words(prepared, tmp_path, "--cache", prepared, "--dataset", dataset)
    where = given.index("--data-root")
    done = bare(*given[:where], *given[where + 2 :])
    assert done.returncode == 0, done.stderr
    assert (tmp_path / CHECKPOINT / "model.safetensors").exists()


def test_without_decoders_it_says_what_is_missing(made_up_root, tmp_path):
    done = bare(*words(made_up_root, tmp_path, "--cache", tmp_path))
    assert done.returncode == 2
    assert re.search("without the package '(av|soundfile)'", done.stderr)
    assert "Traceback" not in done.stderr
