"""A fit that begins with the weights of another."""

import json

import pytest
import torch

from cry_model import FrontEndConfig, build_model
from cry_model.checkpoint import CheckpointConfig, save_checkpoint
from tests.train.small_fit import RESULTS, SYSTEM, fit
from train.data.corpus import DataError
from train.fit.distillation import load_start
from train.fit.presets import BEST, BEST_SETTINGS

SETTINGS = {**BEST_SETTINGS, "channels": 8, "stages": 1}


def checkpoint(folder, dataset="esc10", front_end=BEST.front_end, settings=SETTINGS):
    torch.manual_seed(7)
    model = build_model(SYSTEM, 10, 64, **settings)
    labels = tuple("abcdefghij")
    config = CheckpointConfig(
        SYSTEM, labels, front_end, settings=settings, training={"dataset": dataset}
    )
    save_checkpoint(folder, model, config)
    return model


def test_all_but_the_classifier_is_taken_over(tmp_path):
    theirs = checkpoint(tmp_path).state_dict()
    start = load_start(tmp_path, "donateacry", SYSTEM, BEST.front_end)
    torch.manual_seed(0)
    ours = build_model(SYSTEM, 5, 64, **SETTINGS)
    fresh = {name: tensor.clone() for name, tensor in ours.state_dict().items()}
    start.begin(ours)
    for name, tensor in ours.state_dict().items():
        source = fresh if name.startswith("classifier.") else theirs
        assert torch.equal(tensor, source[name])


def test_what_has_heard_the_corpus_is_refused(tmp_path):
    checkpoint(tmp_path, "cries")
    with pytest.raises(DataError, match="would hold out"):
        load_start(tmp_path, "donateacry", SYSTEM, BEST.front_end)


def test_another_system_or_front_end_is_refused(tmp_path):
    checkpoint(tmp_path, front_end=FrontEndConfig(floor_db=-60.0))
    with pytest.raises(DataError, match="same"):
        load_start(tmp_path, "donateacry", SYSTEM, BEST.front_end)
    with pytest.raises(DataError, match="same"):
        load_start(tmp_path, "donateacry", "resnet18", FrontEndConfig(floor_db=-60.0))


def test_other_settings_are_one_sentence(tmp_path):
    checkpoint(tmp_path, settings={**SETTINGS, "channels": 32})
    start = load_start(tmp_path, "donateacry", SYSTEM, BEST.front_end)
    with pytest.raises(DataError, match="do not fit"):
        start.begin(build_model(SYSTEM, 5, 64, **SETTINGS))


def test_a_fit_says_what_it_began_with(made_up_root, tmp_path):
    checkpoint(tmp_path / "start")
    more = ("--start-from", tmp_path / "start", "--no-checkpoint")
    assert fit(made_up_root, tmp_path, *more) == 0
    record = tmp_path / RESULTS / "run.json"
    assert json.loads(record.read_text())["configuration"]["start"]["name"] == "start"
