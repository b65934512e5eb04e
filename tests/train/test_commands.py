"""Every command explains itself and all of its options."""

import argparse

import pytest

from train.__main__ import COMMANDS, main, parser


def subparsers():
    choices = next(a for a in parser()._actions if isinstance(a, argparse._SubParsersAction))
    return choices.choices


@pytest.mark.parametrize("name", subparsers())
def test_help_names_the_purpose_and_every_option(name, capsys):
    command = subparsers()[name]
    assert command.description
    for action in command._actions:
        assert action.help, action.dest
    with pytest.raises(SystemExit) as ended:
        main([name, "--help"])
    assert ended.value.code == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert " ".join(command.description.split())[:60] in shown
    assert "(default: None)" not in shown
    assert "(default: [])" not in shown


def test_all_commands_are_there():
    assert set(subparsers()) == {
        "prepare",
        "fit",
        "grid",
        "gate",
        "calibrate",
        "chance",
        "check-labels",
        "effect",
        "publish",
        "publish-space",
    }
    assert len(COMMANDS) == len(subparsers())


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["prepare", "donateacry"], "Say where the recordings are"),
        (["fit", "--system", "resnet18", "--dataset", "cats"], "There is no dataset 'cats'"),
        (["fit", "--system", "resnet18", "--dataset", "x.safetensors"], "There is no file"),
        (["fit", "--system", "resnet18", "--dataset", "esc10"], "Say where the recordings are"),
        (["chance", "--dataset", "esc10"], "Say where the recordings are"),
        (["effect"], "There are no weights of such folds in"),
        (["publish", "nowhere", "--repo-id", "a/b"], "There is no config.json"),
    ],
)
def test_what_is_missing_is_one_sentence(words, said, monkeypatch, tmp_path, capsys):
    monkeypatch.delenv("CRY_DATA", raising=False)
    monkeypatch.chdir(tmp_path)
    assert main(words) == 2
    error = capsys.readouterr().err
    assert said in error
    assert "Traceback" not in error


@pytest.mark.parametrize("seeds", ["-1", "x", str(2**32)])
def test_seeds_are_whole_numbers(seeds, capsys):
    with pytest.raises(SystemExit):
        main(["fit", "--system", "all", "--dataset", "esc10", "--seeds", seeds])
    assert "must be a whole number from 0 on" in capsys.readouterr().err
