"""The benchmark trains both recipes on the same features and writes what it measured."""

import json

import pytest
import torch

from cry_model import FrontEnd
from train.__main__ import main
from train.benchmark import CLIPS, FULL_LENGTH, ItemByItem, noise, usual_steps

CPU = torch.device("cpu")


def test_both_recipes_hear_features_of_one_shape():
    clips = noise()
    usual = ItemByItem(clips)
    assert len(usual) == CLIPS
    features, label = usual[3]
    assert label == 3
    assert features.shape == (13, 250)
    ours = FrontEnd(FULL_LENGTH)(clips.waveforms[3][: usual.length].unsqueeze(0))[0]
    assert ours.shape == features.shape


@pytest.mark.parametrize("batch", [4, CLIPS + 1])
def test_the_usual_recipe_never_runs_dry(batch):
    steps = usual_steps("improved-ecapa-tdnn-no-mca", noise().subset(range(8)), batch, CPU, 0)
    assert [next(steps) for _ in range(3)] == [min(batch, 8)] * 3


def test_it_measures_and_writes(tmp_path, capsys):
    out = tmp_path / "b" / "benchmark.json"
    system = "improved-ecapa-tdnn-no-mca"
    words = ["--system", system, "--batch", "4", "--rounds", "1", "--seconds", "0.2"]
    assert main(["benchmark", *words, "--device", "cpu", "--out", str(out)]) == 0
    found = json.loads(out.read_text())
    assert found["system"] == system
    assert found["torch"] == torch.__version__
    assert min(found["ours"], found["ours_float32"], found["usual"]) > 0
    assert found["ratio"] == pytest.approx(found["ours"] / found["usual"], abs=0.01)
    assert "ratio" in capsys.readouterr().out
