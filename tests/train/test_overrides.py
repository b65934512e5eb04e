"""``--set`` changes the preset, its augmentation, or goes to the system."""

import ast
import json
import math
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from cry_model import FrontEnd
from tests.conftest import ROOT
from train.data.augmentation import Augmentation
from train.data.corpus import DataError
from train.data.limits import AUGMENTATION, PRESET
from train.fit.experiment import Experiment
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
        "batch=1000000000",
        "batch=True",
        "draws=1000000000000",
        "epochs=1000000000",
        "learning_rate=1e400",
        "weight_decay=1e300",
        "balance=1e9",
        "validation=1e-9",
        "patience=1e9",
        "gain_db=1e400",
        "time_mask=2.5",
        "band_mask=1000000000",
        "mixup=1e300",
        "noise_db=(1e400,1)",
        "schedule=[]",
        pytest.param("epochs=" + "9" * 5000, id="digits"),
        pytest.param("epochs=" + "(" * 1000, id="parentheses"),
        pytest.param("epochs=" + "-" * 100_000 + "1", id="signs"),
        "epochs={[]:1}",
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
        ["batch=2", "epochs=1"],
        ["learning_rate=0", "weight_decay=0", "balance=0"],
        ["learning_rate=10", "weight_decay=10", "balance=2"],
        ["mixup=1", "gain_db=0", "time_mask=0"],
        ["validation=0.01", "patience=1"],
        ["noise_db=(-200,100)"],
    ],
)
def test_the_ends_of_a_range_are_within(words):
    preset, settings = apply_overrides(BEST, words)
    assert settings == {}
    values = {**vars(preset), **vars(preset.augmentation)}
    for name, value in (word.split("=") for word in words):
        assert values[name] == ast.literal_eval(value)


def test_the_front_end_can_be_changed():
    preset, settings = apply_overrides(BEST, ["kind=pcen", "floor_db=-60", "channels=32"])
    assert preset == replace(BEST, front_end=replace(BEST.front_end, kind="pcen", floor_db=-60))
    assert settings == {"channels": 32}


@pytest.mark.parametrize(
    "words",
    [
        *("kind=gammatone", "kind=7", "kind=acoustic", "level=loud", "level=5"),
        *("num_bands=63", "num_bands=0", "num_bands=True", "num_bands=1000000000"),
        *("num_filters=0", "num_filters=1000000000", "deltas=5", "deltas=True", "deltas=1"),
        *("hop=none", "hop=0", "hop=16", "hop=4000", "hop=1000000000", "hop=-160"),
        *("window=0", "window=1000000000", "window=1024", "fft=0", "fft=100", "fft=1000000000"),
        *("sample_rate=0", "sample_rate=8000.5", "sample_rate=1000000000", "sample_rate=2000"),
        *(
            "low_hz=-1",
            "low_hz=0",
            "low_hz=3400",
            "low_hz=1e400",
            "high_hz=0",
            "high_hz=1e9",
            "high_hz=5000",
        ),
        *("floor_db=1e400", "floor_db=1e9", "centre=1e400", "trim_db=-1", "trim_margin=1e9"),
        *("piece_seconds=0", "piece_seconds=1e9", "piece_seconds=1", "min_seconds=0"),
        *("min_seconds=6", "overlap=1", "overlap=-1"),
    ],
)
def test_a_front_end_that_cannot_be_is_one_sentence(words):
    with pytest.raises(DataError, match="No front end can be built so"):
        apply_overrides(BEST, [words])


@pytest.mark.parametrize(
    "words",
    [
        ["min_seconds=0.1"],
        ["min_seconds=0.1", "deltas=2", "num_bands=192"],
        ["sample_rate=4000", "high_hz=2000"],
        ["kind=mfcc", "num_bands=13"],
        ["window=512", "hop=32"],
        ["piece_seconds=60", "overlap=0.95"],
    ],
)
def test_what_is_taken_makes_features_of_the_shortest_piece(words):
    config = apply_overrides(BEST, words)[0].front_end
    front_end = FrontEnd(config)
    shortest = int(config.min_seconds * config.sample_rate) // config.hop * config.hop
    features = front_end(torch.randn(2, shortest))
    assert features.shape == (2, config.num_bands, shortest // config.hop)
    assert features.isfinite().all()


@pytest.mark.parametrize(
    ("system", "setting"),
    [
        *(
            ("improved-ecapa-tdnn", {"channels": value})
            for value in (0, -4, 2.5, True, None, 10**9)
        ),
        *(("improved-ecapa-tdnn", {"stages": value}) for value in (0, -1, 10**9, "two")),
        *(("improved-ecapa-tdnn", {"heads": value}) for value in (0, -4, 10**6)),
        *(("improved-ecapa-tdnn", {"rse": value}) for value in (1, None, "maybe")),
        *(("improved-ecapa-tdnn", {"token_bias": value}) for value in (math.inf, math.nan, "abc")),
        *(("ecapa-tdnn", {"scale": value}) for value in (0, 10**9)),
        *(("ecapa-tdnn", {name: 0}) for name in ("mfa_channels", "bottleneck", "embedding")),
        *(("ecapa-tdnn", {name: 10**9}) for name in ("mfa_channels", "bottleneck", "embedding")),
        *(("feature-mlp", {"members": value}) for value in (0, 10**9)),
        *(("feature-mlp", {"hidden": value}) for value in (0, 10**9)),
        *(("feature-mlp", {"dropout": value}) for value in (1.5, 2, -1, "abc")),
        ("resnet18", {"channels": 64}),
        ("resnet18", {"num_classes": 3}),
    ],
)
def test_settings_that_no_system_can_have_are_one_sentence(system, setting):
    data = SimpleNamespace(corpus=SimpleNamespace(labels=("a", "b", "c")))
    preset = usual_preset(system, "donateacry")
    experiment = Experiment(system, data, "baby", preset, 2, None, setting)
    with (
        torch.device("meta"),
        pytest.raises(DataError, match=f"{system} cannot be built with") as refused,
    ):
        experiment.build()
    assert next(iter(setting)) in str(refused.value)


@pytest.mark.parametrize("folder", ["results", "search"])
def test_no_run_that_is_committed_lies_outside(folder):
    """Each number of every preset that was ever used."""
    ranges = {**PRESET, **AUGMENTATION}
    runs = list((ROOT / "assets" / folder).rglob("run.json"))
    assert runs
    for path in runs:
        preset = json.loads(path.read_text()).get("configuration", {}).get("preset", {})
        used = {**preset, **(preset.get("augmentation") or {})}
        for name in set(used) & set(ranges):
            assert ranges[name][0] <= used[name] <= ranges[name][1], (path, name)


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
