"""Provide recordings and models for the tests of the page."""

import pytest
import torch

import cry_model
from analysis.models import SIX
from analysis.uploads import PREFIX
from cry_model import CheckpointConfig, CryClassifier, Recording
from cry_model.networks.registry import usual_config

LABELS = ("belly_pain", "hungry", "tired")


def make_tone(hz, seconds, rate):
    """Return a sine with a little noise, (samples,)."""
    t = torch.arange(round(seconds * rate)) / rate
    return 0.2 * torch.sin(2 * torch.pi * hz * t) + 0.001 * torch.randn(len(t))


@pytest.fixture(scope="session")
def tone():
    return make_tone


@pytest.fixture(scope="session", params=cry_model.list_models())
def answered(request):
    """Return eight seconds of a tone and its prediction by an untrained model, for each system."""
    torch.manual_seed(0)
    config = CheckpointConfig(request.param, LABELS, usual_config(request.param))
    recording = Recording(make_tone(700, 8, 16000), 16000)
    return recording, CryClassifier(config.build(), config).predict(recording)


@pytest.fixture(scope="session")
def six(models):
    """Return the two models of the six classes: network and feature MLP."""
    network, features = (model for model in models if model.family == SIX)
    assert features.classifier.config.system == "feature-mlp"
    return network, features


@pytest.fixture(scope="session")
def improved(models):
    """Return the network evaluated against labels: that of the Donate-a-Cry reasons."""
    return models[-1].classifier


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Make Gradio use a new upload folder, as ``upload_folder()`` does; return it."""
    folder = (tmp_path / f"{PREFIX}own").resolve()
    folder.mkdir()
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(folder))
    return folder
