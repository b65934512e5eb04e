"""The catalogue of bundled models: order, titles, names; what is not there is not offered."""

import logging
import shutil

import pytest

from analysis.models import BUNDLED, CHECKPOINTS, UnknownModelError, find, load_bundled
from cry_model import CheckpointError
from cry_model.checkpoint import CONFIG, WEIGHTS


def test_all_are_there_in_order_under_their_names(models):
    assert [model.name for model in models] == [entry.folder for entry in BUNDLED]
    assert [model.label for model in models] == [
        "Six classes of the paper: improved ECAPA-TDNN",
        "Six classes of the paper: feature MLP",
        "Reasons of Donate-a-Cry: improved ECAPA-TDNN",
    ]
    assert models[1].subject == "The feature MLP"


@pytest.mark.parametrize("path", sorted(CHECKPOINTS.glob("*/config.json")), ids=lambda p: p.parent)
def test_whatever_is_bundled_is_offered(path):
    assert path.parent.name in [model.name for model in load_bundled()]


def test_the_page_works_with_those_that_are_there(models, tmp_path, caplog):
    last = BUNDLED[-1].folder
    shutil.copytree(CHECKPOINTS / last, tmp_path / last)
    assert [model.name for model in load_bundled(tmp_path)] == [last]
    damaged = tmp_path / BUNDLED[0].folder
    damaged.mkdir()
    (damaged / CONFIG).write_text("{}")
    (damaged / WEIGHTS).touch()
    with caplog.at_level(logging.WARNING):
        assert [model.name for model in load_bundled(tmp_path)] == [last]
    assert "left out" in caplog.text


def test_none_at_all_is_one_sentence(tmp_path):
    with pytest.raises(CheckpointError, match=r"^There is no checkpoint"):
        load_bundled(tmp_path)


def test_a_model_is_found_by_its_name_and_none_means_the_first(models):
    assert find(models, models[2].name) is models[2]
    assert find(models, None) is find(models, "") is models[0]
    with pytest.raises(
        UnknownModelError, match=rf"^There is no model 'x' here; .*{models[1].name}"
    ):
        find(models, "x")
