"""``--set`` changes the preset, its augmentation, its front end, or goes to the system."""

import ast
import math
from dataclasses import replace
from typing import get_type_hints

import pytest
import torch

from cry_model import FrontEnd
from cry_model.declared import fitted
from cry_model.results import read_record
from tests.conftest import ROOT
from train.data.augmentation import Augmentation
from train.data.corpus import DataError
from train.fit.presets import (
    BEST,
    BEST_SETTINGS,
    FEATURES,
    PAPER,
    WIDE,
    Preset,
    apply_overrides,
    usual_preset,
    usual_settings,
)
from train.fit.run import build

LONG = {"digits": "9" * 5000, "parentheses": "(" * 1000, "signs": "-" * 100_000 + "1"}


def test_each_name_goes_where_it_belongs():
    words = ["batch=64", "schedule=constant", "mixup=0", "noise_db=None", "channels=32"]
    preset, settings = apply_overrides(BEST, [*words, "kind=pcen", "floor_db=-60"])
    how = replace(BEST.augmentation, mixup=0, noise_db=None)
    front_end = replace(BEST.front_end, kind="pcen", floor_db=-60)
    changed = {"batch": 64, "schedule": "constant", "augmentation": how, "front_end": front_end}
    assert preset == replace(BEST, **changed)
    assert settings == {"channels": 32}
    assert apply_overrides(BEST, []) == (BEST, {})
    preset, _ = apply_overrides(PAPER, ["mixup=0.5"])  # which has no augmentation
    assert preset.augmentation == replace(Augmentation(), mixup=0.5)


@pytest.mark.parametrize(
    "words",
    [
        *("batch", "batch=1", "batch=2.5", "batch=True", "batch=1000000000", "schedule=linear"),
        *("epochs=many", "epochs=0", "epochs=1000000000", "epochs={[]:1}", "schedule=[]"),
        *("patience=3", "patience=1e9", "validation=1e-9", "samples_per_epoch=1000000000000"),
        *("label_smoothing=2", "ema_decay=2", "class_balance=None", "class_balance=1e9"),
        *("learning_rate=1e400", "weight_decay=1e300"),
        *("mixup=abc", "mixup=-1", "mixup=1e300", "gain_db=1e400", "time_mask=2.5"),
        *("band_mask=1000000000", "noise_db=3", "noise_db=(1e400,1)"),
        *(pytest.param(f"epochs={text}", id=name) for name, text in LONG.items()),
    ],
)
def test_what_makes_no_sense_is_one_sentence(words):
    with pytest.raises(DataError) as refused:
        apply_overrides(BEST, [words])
    assert words.split("=")[0] in str(refused.value).lower()
    assert len(str(refused.value)) < 300


@pytest.mark.parametrize(
    "words",
    [
        [
            "batch=2",
            "epochs=1",
            "learning_rate=0",
            "weight_decay=0",
            "class_balance=0",
            "gain_db=0",
        ],
        ["learning_rate=10", "weight_decay=10", "class_balance=2", "validation=0.01", "patience=1"],
        ["mixup=1", "gain_db=0", "time_mask=0", "noise_db=(-200,100)"],
    ],
)
def test_the_ends_of_a_range_are_within(words):
    preset, settings = apply_overrides(BEST, words)
    assert settings == {}
    values = {**vars(preset), **vars(preset.augmentation)}
    for name, value in (word.split("=") for word in words):
        assert values[name] == ast.literal_eval(value)


@pytest.mark.parametrize(
    "words",
    [
        *("kind=gammatone", "kind=acoustic", "level=loud", "deltas=5", "deltas=1", "deltas=True"),
        *("num_bands=63", "num_bands=0", "num_bands=1000000000", "num_filters=0"),
        *("hop=none", "hop=16", "hop=4000", "window=0", "window=1024", "fft=100", "fft=1000000000"),
        *("sample_rate=8000.5", "sample_rate=1000000000", "sample_rate=2000"),
        *("low_hz=-1", "low_hz=3400", "low_hz=1e400", "high_hz=0", "high_hz=5000"),
        *("floor_db=1e400", "centre=1e400", "trim_db=-1", "trim_margin=1e9"),
        *("piece_seconds=1e9", "piece_seconds=1", "min_seconds=0", "min_seconds=6", "overlap=1"),
    ],
)
def test_a_front_end_that_cannot_be_is_one_sentence(words):
    with pytest.raises(DataError, match="No front end can be built so"):
        apply_overrides(BEST, [words])


@pytest.mark.parametrize(
    "words",
    [
        ["min_seconds=0.1", "deltas=2", "num_bands=192"],
        ["sample_rate=4000", "high_hz=2000"],
        ["kind=mfcc", "num_bands=13"],
        ["window=512", "hop=32"],
        ["piece_seconds=60", "overlap=0.95"],
    ],
)
def test_what_is_taken_makes_features_of_the_shortest_piece(words):
    config = apply_overrides(BEST, words)[0].front_end
    shortest = int(config.min_seconds * config.sample_rate) // config.hop * config.hop
    features = FrontEnd(config)(torch.randn(2, shortest))
    assert features.shape == (2, config.num_bands, shortest // config.hop)
    assert features.isfinite().all()


WRONG = {
    "improved-ecapa-tdnn": {
        "channels": (0, 2.5, True, None, 10**9), "stages": (0, 10**9, "two"), "heads": (0, 10**6),
        "rse": (1, None, "maybe"), "token_bias": (math.inf, math.nan, "abc"),
    },
    "ecapa-tdnn": dict.fromkeys(("scale", "mfa_channels", "bottleneck", "embedding"), (0, 10**9)),
    "feature-mlp": {"members": (0, 3, 10**9), "hidden": (0, 10**9), "dropout": (1.5, -1, "abc")},
    "resnet18": {"channels": (64,), "num_classes": (3,)},
}  # fmt: skip


@pytest.mark.parametrize(
    ("system", "setting", "value"),
    [(s, name, value) for s, own in WRONG.items() for name in own for value in own[name]],
)
def test_settings_that_no_system_can_have_are_one_sentence(system, setting, value):
    with (
        torch.device("meta"),
        pytest.raises(DataError, match=f"{system} cannot be built with") as refused,
    ):
        build(system, 3, usual_preset(system, "donateacry").front_end.num_bands, {setting: value})
    assert setting in str(refused.value)


@pytest.mark.parametrize("folder", ["results", "search"])
def test_no_run_that_is_committed_lies_outside(folder):
    """Each number of every preset that was ever used, under its name of today."""
    preset, how = (get_type_hints(c, include_extras=True) for c in (Preset, Augmentation))
    declared = {**preset, **how}
    runs = list((ROOT / "assets" / folder).rglob("run.json"))
    assert runs
    for path in runs:
        ran = read_record(path)["configuration"]["preset"]
        used = {**ran, **(ran.get("augmentation") or {})}
        assert not {"draws", "balance", "tries", "average"} & set(ran)
        for name in set(used) & set(declared) - {"front_end", "augmentation"}:
            fitted(declared[name], used[name], f"{path}: {name}")


def test_what_is_usual_depends_on_system_and_corpus():
    assert usual_preset("feature-mlp", "esc10") is FEATURES
    assert usual_preset("resnet18", "donateacry") is BEST
    for corpus in ("esc10", "challenge6_cuts"):
        assert usual_preset("resnet18", corpus) is WIDE
    assert usual_settings(WIDE, "improved-ecapa-tdnn-no-rse") == BEST_SETTINGS
    assert usual_settings(BEST, "ecapa-tdnn") == usual_settings(PAPER, "improved-ecapa-tdnn") == {}


def test_the_paper_preset_is_the_papers():
    assert (PAPER.front_end.kind, PAPER.front_end.num_bands) == ("mfcc", 13)
    assert (PAPER.batch, PAPER.epochs, PAPER.learning_rate) == (64, 700, 2e-5)
    assert (PAPER.weight_decay, PAPER.schedule) == (0, "constant")  # Adam
