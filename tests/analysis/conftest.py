"""Recordings and models that the tests of the page share."""

import pytest
import torch

import cry_model
from analysis.models import SIX
from analysis.uploads import PREFIX
from cry_model import CheckpointConfig, CryClassifier, Recording
from cry_model.networks.registry import usual_config

LABELS = ("belly_pain", "hungry", "tired")


def make_tone(hz, seconds, rate):
    """A tone with a little noise, (samples,)."""
    t = torch.arange(round(seconds * rate)) / rate
    return 0.2 * torch.sin(2 * torch.pi * hz * t) + 0.001 * torch.randn(len(t))


@pytest.fixture(scope="session")
def tone():
    return make_tone


@pytest.fixture(scope="session", params=cry_model.list_models())
def answered(request):
    """Eight seconds of a tone, and what an unfitted system of each kind answers."""
    torch.manual_seed(0)
    config = CheckpointConfig(request.param, LABELS, usual_config(request.param))
    recording = Recording(make_tone(700, 8, 16000), 16000)
    return recording, CryClassifier(config.build(), config).predict(recording)


@pytest.fixture(scope="session")
def six(models):
    """The two models of the six classes: network and features."""
    network, features = (model for model in models if model.family == SIX)
    assert features.classifier.config.system == "feature-mlp"
    return network, features


@pytest.fixture(scope="session")
def improved(models):
    """The network that was measured on labels: with the reasons of Donate-a-Cry."""
    return models[-1].classifier


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """What upload_folder() would give."""
    folder = (tmp_path / f"{PREFIX}own").resolve()
    folder.mkdir()
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(folder))
    return folder
