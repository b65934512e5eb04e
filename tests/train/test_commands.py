"""Test that every command has a complete help and refuses bad input in one sentence."""

import sys
from dataclasses import replace

import pytest

from cry_model.checkpoint import DEFAULT_DETECTOR as DETECTOR
from train.__main__ import COMMAND_LINE, COMMANDS, main, parse
from train.cli.options import FitOptions
from train.data.augmentation import Augmentation
from train.data.corpus import DataError
from train.fit.presets import BEST, PAPER, apply_overrides

FIT = ["fit", "--system", "resnet18", "--dataset"]
SET = ["fit", "--system", "improved-ecapa-tdnn", "--dataset", "donateacry", "--set"]


@pytest.mark.parametrize("name", COMMANDS)
def test_help_names_the_purpose_and_every_option(name, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "300")
    command = COMMAND_LINE.commands[name]
    assert all(option.help for option in command.params)
    assert main([name, "--help"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert command.help.partition("\n")[0] in shown
    assert "None" not in shown


def test_command_line_is_parsed_into_options():
    words = ["fit", "--system", "resnet18", "ecapa-tdnn", "--dataset", "esc10", "--no-resume"]
    words += ["--set", "batch=4", "noise_db=(-45, -20)", "--seeds", "3", "1", "--set", "mixup=0"]
    options = parse(words)
    asked = {"system": ("resnet18", "ecapa-tdnn"), "dataset": "esc10", "resume": False}
    asked |= {"set": ("batch=4", "noise_db=(-45, -20)", "mixup=0"), "seeds": (3, 1)}
    assert options == FitOptions(**asked, data_root=options.data_root)


NUMBERS = {
    "--epochs": ("0", "many", "1.5", "²", "99999999999999"),
    "--folds": ("1", "99999999999999"),
    "--seeds": ("-1", "x", str(2**32)),
    "--coverage": ("0", "1", "80", "nan"),
}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["prepare", "donateacry"], "Say where the recordings are"),
        (["prepare", "cats"], "must be one of"),
        ([*FIT, "cats"], "challenge6-features-16khz; or a file"),
        ([*FIT, "x.safetensors"], "There is no file"),
        ([*FIT, "esc10"], "Say where the recordings are"),
        ([*FIT, "esc10", "--system", "resnet19"], "'--system': must be one of"),
        ([*FIT, "esc10", "ours"], "ours"),
        ([*FIT, "esc10", "--within", "0"], "--within"),
        (["fit", "--dataset", "esc10"], "--system"),
        ([*SET, "chanels=8"], "has no such setting; it has channels."),
        ([*SET, "emadecay=0"], "has no such setting; it has ema_decay, weight_decay."),
        ([*SET, "channels=-1"], "channels: input should be greater than or equal to 4, not -1"),
        ([*SET, "heads=3"], "cannot be split"),
        ([*SET, "reused_classifier={'hidden':8}"], "--teacher"),
        ([*FIT, "esc10", "--unlabelled", "donateacry"], "need a --teacher"),
        ([*FIT, "esc10", "--teacher", "x", "--permute-labels", "1"], "leave --permute-labels out"),
        ([*FIT, "esc10", "--teacher", "x", "--outer-fold", "1"], "leave --outer-fold out"),
        (["grid", "--datasets", "esc10", "cats"], "challenge6-features-16khz; or a file"),
        (["grid", "--datasets", "esc10", "--jobs", "100000"], "--jobs"),
        (["permutation-test", "--dataset", "esc10", "--permutations", "5"], "--permutations"),
        (["ablate-attention"], "There are no such saved folds in"),
        (["train-detector", "--data-root", ".", "--set", "samples_per_epoch=2"], "holds no batch"),
        (["export", "nowhere", "--out", "x"], "'nowhere' is neither a folder nor a model"),
        (["export", f"{DETECTOR}", "--out", "x", "--int8"], "leave --int8 out"),
        (["publish", "nowhere", "--repo-id", "a/b"], "There is no config.json"),
        (["publish", "--repo-id", "a/b"], "Give a checkpoint folder"),
        (["publish", "x", "--space", "--repo-id", "a/b"], "leave out the checkpoint"),
        (["publish", "x", "--model", "a/c", "--repo-id", "a/b"], "--model"),
        (["detector"], "No such command 'detector'"),
        ([], "Missing command"),
        *(([*FIT, "esc10", name, text], name) for name, own in NUMBERS.items() for text in own),
    ],
)
def test_invalid_options_are_refused_in_one_sentence(words, said, monkeypatch, tmp_path, capsys):
    monkeypatch.delenv("CRY_DATA", raising=False)
    monkeypatch.chdir(tmp_path)
    assert main(words) == 2
    error = capsys.readouterr().err
    assert said in error
    assert len(error.splitlines()) == 1
    assert "Traceback" not in error


@pytest.mark.parametrize("package", ["onnx", "onnxruntime"])
def test_export_names_the_missing_package(package, monkeypatch, tmp_path, capsys):
    monkeypatch.setitem(sys.modules, package, None)
    assert main(["export", f"{DETECTOR}", "--out", f"{tmp_path}"]) == 2
    assert capsys.readouterr().err == (
        f"Export needs {package}; install it with `pip install {package}`.\n"
    )


# ``--set`` changes the preset, its augmentation, its front end, or the system's settings

LONG = {"digits": "9" * 5000, "parentheses": "(" * 1000, "signs": "-" * 100_000 + "1"}


def test_overrides_reach_preset_front_end_and_system():
    words = ["batch=64", "schedule=constant", "mixup=0", "noise_db=None", "channels=32"]
    preset, settings = apply_overrides(BEST, [*words, "kind=pcen", "floor_db=-60"])
    assert preset == replace(
        BEST,
        batch=64,
        schedule="constant",
        augmentation=replace(BEST.augmentation, mixup=0, noise_db=None),
        front_end=replace(BEST.front_end, kind="pcen", floor_db=-60),
    )
    assert settings == {"channels": 32}
    preset, _ = apply_overrides(PAPER, ["mixup=0.5"])  # a preset without augmentation
    assert preset.augmentation == replace(Augmentation(), mixup=0.5)


@pytest.mark.parametrize(
    "words",
    [
        *("batch", "batch=1", "batch=2.5", "batch=True", "batch=1000000000", "schedule=[]"),
        *("epochs={[]:1}", "patience=3", "validation=1e-9", "learning_rate=1e400", "mixup=abc"),
        *("mixup=-1", "noise_db=3", "noise_db=(1e400,1)"),
        *(pytest.param(f"epochs={text}", id=name) for name, text in LONG.items()),
    ],
)
def test_invalid_overrides_are_refused_in_one_sentence(words):
    with pytest.raises(DataError) as refused:
        apply_overrides(BEST, [words])
    assert words.split("=")[0] in str(refused.value).lower()
    assert len(str(refused.value)) < 300
