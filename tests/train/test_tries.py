"""Of several pieces of a recording, the one that is most like the first class is learnt from."""

import pytest
import torch
from torch import nn

from cry_model import FrontEnd, build_model
from train.data.corpus import DataError
from train.fit.presets import DETECTOR, Preset
from train.fit.trainer import DeviceDataset, TrainingData, fit, likeliest


class Louder(nn.Module):
    """First class by the mean of the features."""

    def forward(self, features):
        mean = features.mean((1, 2))
        return torch.stack([mean, -mean], dim=1)


def test_the_likeliest_piece_of_each_clip_is_taken():
    generator = torch.Generator().manual_seed(0)
    waves = torch.randn(4 * 3, 16_000, generator=generator)
    colours = [0, 1, 2, 1, 2, 0, 2, 0, 1, 0, 2, 1]  # which of each three is the fullest
    for i, colour in enumerate(colours):
        waves[i, : 6000 * (2 - colour)] *= 1e-3
    front_end = FrontEnd(DETECTOR.front_end)
    found = likeliest(Louder(), front_end, waves, 3)
    expected = torch.stack([waves[i] for i in range(12) if colours[i] == 2])
    assert torch.equal(found, expected)


def test_tries_of_a_clip_follow_each_other(clips):
    dataset = DeviceDataset(clips, 5, 0.0, torch.device("cpu"))
    waves, targets = dataset.draw(6, 800, torch.Generator().manual_seed(0), candidates=4)
    assert waves.shape == (24, 800)
    assert targets.shape == (6, 5)
    for number in range(6):
        rows = waves[4 * number : 4 * number + 4]
        assert any(
            all(_holds(clip, row) for row in rows) for clip in clips.waveforms
        )  # all four are of one clip


def _holds(clip, piece):
    return bool((clip.unfold(0, len(piece), 1) == piece).all(1).any())


def test_a_fit_with_tries_learns(clips, accelerator):
    preset = Preset("tries", epochs=1, batch=4, mil_candidates=2, front_end=DETECTOR.front_end)
    torch.manual_seed(0)
    model = build_model("ecapa-tdnn", 5, 40, channels=8, mfa_channels=16, scale=2)
    before = {name: weight.clone() for name, weight in model.named_parameters()}
    fitted = fit(model, FrontEnd(preset.front_end), TrainingData(clips, 5), preset, 0, accelerator)
    assert not fitted.training
    assert any(not torch.equal(w, before[name]) for name, w in fitted.named_parameters())


def test_tries_need_an_average():
    with pytest.raises(DataError, match="averaged weights"):
        Preset("wrong", mil_candidates=2, ema_decay=0.0)
