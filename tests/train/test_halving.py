"""Weights in 16 bits: only where no answer changes noticeably, and measured, not assumed."""

import json

import numpy as np
import torch

import cry_model
from cry_model import FrontEnd
from cry_model.checkpoint import WEIGHTS, CheckpointConfig, load_checkpoint, save_checkpoint
from train.fit.final import MAX_FP16_ERROR, as_float16, fp16_error
from train.fit.predict import piece_probabilities
from train.fit.presets import BEST

SYSTEM = "improved-ecapa-tdnn-no-mca"


def system():
    torch.manual_seed(0)
    return cry_model.build_model(SYSTEM, 5, 64, channels=16).eval()


def test_the_change_is_that_of_what_is_loaded_again(clips, tmp_path):
    model, front_end, few = system(), FrontEnd(BEST.front_end), clips.subset([0, 7, 14])
    labels = tuple("abcde")
    config = CheckpointConfig(SYSTEM, labels, BEST.front_end, settings={"channels": 16})
    save_checkpoint(tmp_path, model, config, half=True)
    loaded, _ = load_checkpoint(tmp_path)
    assert all(t.dtype == torch.float32 for t in loaded.parameters())
    pairs = zip(
        piece_probabilities(model, front_end, few),
        piece_probabilities(loaded, front_end, few),
        strict=True,
    )
    expected = max(np.abs(a - b).max() for a, b in pairs)
    assert fp16_error(model, front_end, few) == expected
    assert 0 < expected < MAX_FP16_ERROR


def test_the_model_itself_stays(clips):
    model = system()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    assert any(
        not torch.equal(a, b)
        for a, b in zip(before.values(), as_float16(model).state_dict().values(), strict=True)
    )
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


def test_a_weight_that_16_bits_cannot_hold_is_seen(clips):
    model = system()
    with torch.no_grad():
        model.classifier.bias.fill_(1e5)
    assert fp16_error(model, FrontEnd(BEST.front_end), clips.subset([0])) == float("inf")


def test_a_half_file_takes_half_the_room(tmp_path):
    config = CheckpointConfig(SYSTEM, tuple("abcde"), BEST.front_end, settings={"channels": 16})
    for half in (False, True):
        save_checkpoint(tmp_path / str(half), system(), config, half)
    sizes = [(tmp_path / str(half) / WEIGHTS).stat().st_size for half in (False, True)]
    weights = sum(t.numel() for t in system().parameters())
    assert sizes[0] - sizes[1] >= 2 * weights
    assert json.loads((tmp_path / "True" / "config.json").read_text())["system"] == SYSTEM
