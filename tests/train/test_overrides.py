"""``--set`` changes the preset, its augmentation, or goes to the system."""

from dataclasses import replace

import pytest

from train.corpus import DataError
from train.overrides import apply_overrides
from train.presets import (
    BEST,
    BEST_SETTINGS,
    FEATURES,
    PAPER,
    WIDE,
    Augmentation,
    Preset,
    usual_preset,
    usual_settings,
)


def test_each_name_goes_where_it_belongs():
    preset, settings = apply_overrides(
        BEST, ["batch=64", "schedule=constant", "mixup=0", "noise_db=None", "channels=32"]
    )
    how = replace(BEST.augmentation, mixup=0, noise_db=None)
    assert preset == replace(BEST, batch=64, schedule="constant", augmentation=how)
    assert settings == {"channels": 32}
    assert apply_overrides(BEST, []) == (BEST, {})


def test_augmentation_can_be_switched_on_in_a_preset_without():
    preset, _ = apply_overrides(PAPER, ["mixup=0.5"])
    assert preset.augmentation == replace(Augmentation(), mixup=0.5)


@pytest.mark.parametrize(
    "words",
    [
        "batch",
        "batch=1",
        "batch=2.5",
        "epochs=many",
        "epochs=0",
        "schedule=linear",
        "patience=3",
        "mixup=abc",
        "mixup=-1",
        "noise_db=3",
        "label_smoothing=2",
        "average=2",
        "balance=None",
    ],
)
def test_what_makes_no_sense_is_one_sentence(words):
    with pytest.raises(DataError):
        apply_overrides(BEST, [words])


def test_the_front_end_can_be_changed():
    preset, settings = apply_overrides(BEST, ["kind=pcen", "floor_db=-60", "channels=32"])
    assert preset == replace(BEST, front_end=replace(BEST.front_end, kind="pcen", floor_db=-60))
    assert settings == {"channels": 32}


@pytest.mark.parametrize("words", ["kind=gammatone", "num_bands=63", "hop=none", "deltas=5"])
def test_a_front_end_that_cannot_be_is_one_sentence(words):
    with pytest.raises(DataError, match="No front end can be built so"):
        apply_overrides(BEST, [words])


def test_what_is_usual_depends_on_system_and_corpus():
    assert usual_preset("feature-mlp", "esc10") is FEATURES
    assert usual_preset("resnet18", "donateacry") is BEST
    assert usual_preset("resnet18", "esc10") is WIDE
    assert usual_settings(WIDE, "improved-ecapa-tdnn-no-rse") == BEST_SETTINGS
    assert usual_settings(BEST, "ecapa-tdnn") == usual_settings(PAPER, "improved-ecapa-tdnn") == {}


def test_patience_needs_something_to_watch():
    with pytest.raises(DataError, match="something to watch"):
        Preset("x", patience=3)
    assert apply_overrides(BEST, ["patience=3", "validation=0.2"])[0].patience == 3


def test_the_paper_preset_is_the_papers():
    assert (PAPER.front_end.kind, PAPER.front_end.num_bands) == ("mfcc", 13)
    assert (PAPER.batch, PAPER.epochs, PAPER.learning_rate) == (64, 700, 2e-5)
    assert (PAPER.weight_decay, PAPER.schedule) == (0, "constant")  # Adam
