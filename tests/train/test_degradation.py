"""Damage and backgrounds: how much, to how many, and that the cry stays."""

import numpy as np
import pytest
import torch

from train.data import augmentation as degradation
from train.data.augmentation import degrade

RATE = 8000
DAMAGES = ("_reverberate", "_band_limit", "_overload", "_quantise", "_spectral_holes")


@pytest.fixture
def rng():
    return torch.Generator().manual_seed(0)


def waves(count=32, seconds=1.0):
    t = torch.arange(round(seconds * RATE)) / RATE
    pitch = torch.linspace(300, 900, count).unsqueeze(1)
    return sum(torch.sin(2 * torch.pi * k * pitch * t) / k for k in (1, 2, 3))


def test_nothing_happens_at_no_chance(rng):
    torch.testing.assert_close(degrade(waves(), RATE, 0.0, rng), waves())


@pytest.mark.parametrize("chance", [0.2, 0.8])
def test_each_kind_of_damage_befalls_its_share(chance, rng, monkeypatch):
    for name in DAMAGES[1:]:
        monkeypatch.setattr(degradation, name, lambda w, rate, rng: w)
    monkeypatch.setattr(degradation, DAMAGES[0], lambda w, rate, rng: torch.flip(w, (1,)))
    before = waves(1000, 0.05)
    changed = (degrade(before, RATE, chance, rng) - before).abs().amax(1) > 1e-6
    assert float(changed.float().mean()) == pytest.approx(chance, abs=0.05)


@pytest.mark.parametrize("name", DAMAGES)
def test_damage_leaves_the_cry_recognisable_and_differs(name, rng):
    before = waves()
    after = getattr(degradation, name)(before, RATE, rng)
    assert after.shape == before.shape
    assert bool(after.isfinite().all())
    likeness = torch.nn.functional.cosine_similarity(before, after)
    assert float(likeness.median()) > 0.4
    assert float(likeness.std()) > 1e-4  # each its own


def test_the_level_stays(rng):
    before = 0.3 * waves()
    after = degrade(before, RATE, 1.0, rng)
    torch.testing.assert_close(after.square().mean(1), before.square().mean(1), rtol=1e-3, atol=0)


def test_silence_stays_silence(rng):
    assert not degrade(torch.zeros(8, RATE), RATE, 1.0, rng).any()


def test_steps_of_a_coarse_codec_are_few(rng):
    after = degradation._quantise(waves(4), RATE, rng)
    assert all(len(np.unique(row.round(decimals=6))) <= 2**8 + 1 for row in after)


def test_holes_take_the_faint_and_leave_the_loud(rng):
    t = torch.arange(4 * RATE) / RATE
    wave = torch.sin(2 * torch.pi * 500 * t) + 0.003 * torch.sin(2 * torch.pi * 3000 * t)
    spectrum = torch.fft.rfft(degradation._spectral_holes(wave[None], RATE, rng))[0].abs()
    assert spectrum[500 * 4] > 0.95 * 2 * RATE
    assert spectrum[3000 * 4] < 0.2 * 0.003 * 2 * RATE
