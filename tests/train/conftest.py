"""A corpus in the layout of Donate-a-Cry, made by our synthesiser."""

import shutil
from pathlib import Path

import pytest
import soundfile
import torch

import cry_model
from cry_model import FrontEnd
from tests.hub import running_hub
from tests.hub_client import hub_client
from tests.train import small_fit
from train.data.clips import load_clips
from train.data.datasets import donateacry
from train.data.datasets.donateacry import LABELS
from train.data.synthesis import STYLES, synthesise
from train.fit.devices import make_accelerator
from train.fit.presets import BEST
from train.fit.state import TrainingState
from train.fit.trainer import TrainingData, fit
from train.publish.hub import PAUSES

BABIES, CLIPS = 3, 2  # of each label


@pytest.fixture(scope="session")
def made_up_root(tmp_path_factory) -> Path:
    """``donateacry/<label>/*.wav``: five labels, three babies each, two clips of 3 s a baby."""
    root = tmp_path_factory.mktemp("data")
    styles = list(STYLES)
    for i, label in enumerate(LABELS):
        folder = root / "donateacry" / label
        folder.mkdir(parents=True)
        for n in range(BABIES * CLIPS):
            cry = synthesise(styles[i % len(styles)], 3.0, 8000, seed=100 * i + n)
            baby = f"{i:04d}{n // CLIPS:04d}-0000-0000-0000-{'A' * 17}"
            assert len(baby) == 41
            name = f"{baby[:36]}-143043{n:04d}-1.0-m-04-hu.wav"
            soundfile.write(folder / name, cry.waveform, 8000, subtype="PCM_16")
    return root


@pytest.fixture(scope="session")
def accelerator():
    """One process on the CPU, in whatever precision it is quickest in."""
    return make_accelerator("cpu")


@pytest.fixture(scope="session")
def clips(made_up_root):
    """The synthetic corpus, decoded."""
    return load_clips(donateacry.read(made_up_root), FrontEnd(BEST.front_end))


@pytest.fixture(scope="session")
def finished_fit(made_up_root, tmp_path_factory):
    """What the smallest fit leaves, with the weights of its folds; not to be changed."""
    out = tmp_path_factory.mktemp("finished")
    assert small_fit.fit(made_up_root, out, "--save-folds") == 0
    return out


@pytest.fixture
def copied_fit(finished_fit, tmp_path):
    """A copy of it, to be changed."""
    return shutil.copytree(finished_fit, tmp_path / "runs")


@pytest.fixture
def fitted(clips, accelerator):
    """Fits a system and gives it with its epochs."""

    def run(
        preset,
        system="improved-ecapa-tdnn",
        seed=0,
        data=None,
        state=None,
        report=None,
        **settings,
    ):
        torch.manual_seed(seed)
        bands = preset.front_end.num_bands
        model = cry_model.build_model(system, 5, bands, **settings)
        epochs = []
        front_end, data = FrontEnd(preset.front_end), data or TrainingData(clips, 5)
        state = state or TrainingState()
        report = report or epochs.append
        model = fit(model, front_end, data, preset, seed, accelerator, state, report)
        return model, epochs

    return run


@pytest.fixture(scope="session")
def everything(tmp_path_factory):
    """A Hub of our own, and a process with the real client that talks to it."""
    with running_hub() as hub, hub_client(hub.url, tmp_path_factory.mktemp("home")) as client:
        yield hub, client


@pytest.fixture
def hub(everything):
    """That Hub, empty again."""
    everything[0].reset()
    return everything[0]


@pytest.fixture
def quick(everything):
    """The client with pauses that a test can wait for."""
    code = "import train.publish.hub; train.publish.hub.PAUSES, answer = {}, None"
    everything[1].python(code.format((0.01, 0.02, 0.03)))
    yield
    everything[1].python(code.format(PAUSES))
