"""Provide the fixtures of all tests; switch off telemetry and access to the Hub."""

import gc
import os
from pathlib import Path

if "PYTEST_XDIST_WORKER" in os.environ:  # one per core; inherited; set before importing torch
    os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # waiting threads yield their core

import pytest

from analysis.models import load_bundled
from cry_model import CryDetector
from tests.server import serve
from tests.stand_ins import checkpoints, page_root, recordings, write_detector

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
os.environ["HF_HUB_OFFLINE"] = "1"

ROOT = Path(__file__).parents[1]


def pytest_collection_finish():
    """Exclude imported objects from garbage collection, which every fit triggers several times."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def data_root() -> Path:
    """Return the folder of real recordings, CRY_DATA or ../shared/data; skip if it is missing."""
    folder = Path(os.environ.get("CRY_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip("real recordings are not here; set CRY_DATA to their folder")
    return folder.resolve()


@pytest.fixture(scope="session")
def examples() -> Path:
    """Return the folder of synthetic example clips that the page offers."""
    return ROOT / "assets" / "examples"


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    """Serve the page with all its models and the stand-in detector, once per test session."""
    folder, root = (tmp_path_factory.mktemp(name) for name in ("server", "root"))
    data = recordings(tmp_path_factory.mktemp("recordings"))
    with serve(folder, page_root(root), CRY_DATA=str(data)) as running:
        yield running


@pytest.fixture(scope="session")
def models(tmp_path_factory):
    """Return all bundled models of the page."""
    return load_bundled(checkpoints(tmp_path_factory.mktemp("models")))


@pytest.fixture(scope="session")
def detector(tmp_path_factory):
    """Return the stand-in detector, the same as on the served page."""
    return CryDetector.from_pretrained(write_detector(tmp_path_factory.mktemp("detector")))
