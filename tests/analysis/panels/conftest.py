"""Provide the runs that the tests of the panels share."""

import pytest

from analysis.stats.paper import FULL, NO_MCA, NO_RSE
from analysis.stats.runs import find_runs
from tests.analysis.synthetic_runs import write_run

SKILLS = {FULL: 1.8, "ecapa-tdnn": 0.8, "resnet18": 0.3, NO_MCA: 0.2, NO_RSE: 1.5}


@pytest.fixture(scope="session")
def found(tmp_path_factory):
    """Write five models on unseen babies, two and one on looser splits, one on another corpus."""
    root = tmp_path_factory.mktemp("results")
    for system, skill in SKILLS.items():
        write_run(root, system, skill, seeds=(0, 1))
    write_run(root, FULL, 2.5, protocol="clip")
    write_run(root, "ecapa-tdnn", 2.0, protocol="clip")
    write_run(root, FULL, 2.0, protocol="recording")
    write_run(root, "feature-mlp", dataset="esc10", protocol="recording")
    return find_runs(root)
