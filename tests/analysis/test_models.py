"""The catalogue of bundled models: order, titles, names; what is not there is not offered."""

import logging
import shutil

import pytest
from safetensors.torch import load_file, save_file

from analysis.models import (
    BUNDLED,
    CHECKPOINTS,
    UnknownModelError,
    find,
    load_bundled,
    load_detector,
)
from cry_model import CheckpointError, CryDetector
from cry_model.checkpoint import CONFIG, WEIGHTS
from cry_model.detector import DEFAULT_DETECTOR
from tests.stand_ins import DETECTOR_RECORD, write_detector


def test_all_are_there_in_order_under_their_names(models):
    assert [model.name for model in models] == [entry.folder for entry in BUNDLED]
    assert [model.label for model in models] == [
        "Six classes of the paper: improved ECAPA-TDNN",
        "Six classes of the paper: feature MLP",
        "Reasons of Donate-a-Cry: improved ECAPA-TDNN",
    ]
    assert models[1].subject == "The feature MLP"


@pytest.mark.parametrize("path", sorted(CHECKPOINTS.glob("*/config.json")), ids=lambda p: p.parent)
def test_whatever_is_bundled_is_offered_or_is_the_detector(path):
    if path.parent == DEFAULT_DETECTOR:
        assert isinstance(load_detector(), CryDetector)
    else:
        assert path.parent.name in [model.name for model in load_bundled()]


def test_the_detector_is_loaded_or_the_page_does_without(tmp_path, caplog):
    assert load_detector(tmp_path / "none") is None
    assert not caplog.text
    shutil.copytree(CHECKPOINTS / BUNDLED[-1].folder, tmp_path / "no detector")
    with caplog.at_level(logging.WARNING):
        assert load_detector(tmp_path / "no detector") is None
    assert "is no detector" in caplog.text
    folder = write_detector(tmp_path)
    assert load_detector(folder).threshold == DETECTOR_RECORD.threshold
    weights = load_file(folder / WEIGHTS)
    weights["stem.2.running_var"] -= 10  # every answer NaN
    save_file(weights, folder / WEIGHTS)
    with caplog.at_level(logging.WARNING):
        assert load_detector(folder) is None
    assert "no numbers" in caplog.text


def test_no_model_of_the_page_has_a_detector_of_its_own(models):
    assert [model.classifier.detector for model in models] == [None] * len(models)


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
