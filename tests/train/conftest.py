"""Provide a corpus in the layout of Donate-a-Cry, minimal fits on it, and a local fake Hub."""

import shutil
from pathlib import Path

import pytest
import torch

import cry_model
from cry_model import FrontEnd
from tests.hub import hub_client, running_hub
from tests.train import small_fit
from tests.train.folders import cry, write
from train.data.corpus import load_clips
from train.data.datasets import public, synthetic6
from train.data.datasets.public import REASONS as LABELS
from train.fit.devices import make_accelerator
from train.fit.presets import BEST
from train.fit.state import TrainingState
from train.fit.trainer import TrainingData, fit
from train.publish.hub import PAUSES


def write_corpus(root: Path, babies: int, clips: int, seconds: float) -> Path:
    """Write ``donateacry/<label>/*.wav``: ``babies`` for each label, ``clips`` of each baby."""
    for i, label in enumerate(LABELS):
        for n in range(babies * clips):
            baby = f"{i:04d}{n // clips:04d}-0000-0000-0000-{'A' * 12}"
            path = root / "donateacry" / label / f"{baby}-143043{n:04d}-1.0-m-04-hu.wav"
            write(path, cry(100 * i + n, seconds, 8000, 300 + 100 * i), 8000)
    return root


@pytest.fixture(scope="session")
def made_up_root(tmp_path_factory) -> Path:
    """Write a corpus of five labels with three babies each, two clips of 3 s from every baby."""
    return write_corpus(tmp_path_factory.mktemp("data"), 3, 2, 3.0)


@pytest.fixture(scope="session")
def synthetic(tmp_path_factory):
    """Write six classes of two babies with three recordings of 1 s each; read only."""
    root = tmp_path_factory.mktemp("synthetic")
    synthetic6.write(root, recordings=6, seconds=1.0)
    return root


@pytest.fixture(scope="session")
def accelerator():
    """Return an accelerator for one process on the CPU, in its fastest precision."""
    return make_accelerator("cpu")


@pytest.fixture(scope="session")
def clips(made_up_root):
    """Load the synthetic corpus, decoded."""
    return load_clips(public.read_donateacry(made_up_root), FrontEnd(BEST.front_end))


@pytest.fixture(scope="session")
def finished_fit(made_up_root, tmp_path_factory):
    """Return the output folder of the minimal fit, with the weights of its folds; read only."""
    out = tmp_path_factory.mktemp("finished")
    assert small_fit.fit(made_up_root, out, "--save-folds") == 0
    return out


@pytest.fixture(scope="session")
def two_systems(made_up_root, tmp_path_factory):
    """Return the output folder of the minimal fit of two systems and two seeds; read only."""
    out = tmp_path_factory.mktemp("two")
    systems = " ".join(small_fit.SYSTEMS)
    assert small_fit.fit(made_up_root, out, *small_fit.MORE, system=systems) == 0
    return out


@pytest.fixture
def copied_fit(finished_fit, tmp_path):
    """Return a copy of ``finished_fit`` that a test may change."""
    return shutil.copytree(finished_fit, tmp_path / "runs")


@pytest.fixture
def fitted(clips, accelerator):
    """Return a function that fits a system and returns it with its learning curves."""

    def run(preset, system="improved-ecapa-tdnn", data=None, state=None, report=None, **settings):
        torch.manual_seed(0)
        model = cry_model.build_model(system, 5, preset.front_end.num_bands, **settings)
        front_end, data, epochs = FrontEnd(preset.front_end), data or TrainingData(clips, 5), []
        report = report or (lambda epoch, curves: epochs.append({"epoch": epoch, **curves}))
        how = data, preset, 0, accelerator, state or TrainingState(), report
        return fit(model, front_end, *how), epochs

    return run


@pytest.fixture(scope="session")
def everything(tmp_path_factory):
    """Run a local fake Hub, and a process with the real client that talks to it."""
    with running_hub() as hub, hub_client(hub.url, tmp_path_factory.mktemp("home")) as client:
        yield hub, client


@pytest.fixture
def hub(everything):
    """Return the Hub, emptied."""
    everything[0].reset()
    return everything[0]


@pytest.fixture
def quick(everything):
    """Shorten the client's pauses between retries."""
    code = "import train.publish.hub; train.publish.hub.PAUSES, answer = {}, None"
    everything[1].python(code.format((0.01, 0.02, 0.03)))
    yield
    everything[1].python(code.format(PAUSES))
