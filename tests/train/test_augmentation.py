"""Test that augmentation stays within its parameters and draws from the given generator."""

import pytest
import torch

from train.data import augmentation
from train.data.augmentation import Augmentation, augment_waveforms, degrade, mixup


@pytest.fixture
def rng():
    return torch.Generator().manual_seed(0)


def test_gain_and_noise_stay_within_their_bounds(rng):
    waves = torch.ones(200, 800)
    louder = augment_waveforms(waves, Augmentation(gain_db=6, noise_db=None), rng)
    decibels = 20 * louder[:, 0].log10()
    assert decibels.abs().max() <= 6.001
    assert decibels.std() > 2
    noisy = augment_waveforms(waves, Augmentation(gain_db=0, noise_db=(-30, -20)), rng)
    level = 20 * (noisy - waves).square().mean(-1).sqrt().log10()
    assert -30.1 <= level.min() <= level.max() <= -19.9


@pytest.mark.parametrize(("dim", "longest"), [(1, 8), (2, 30)])
def test_masks_are_one_stretch_of_limited_length(rng, dim, longest):
    hidden = augmentation.mask(torch.ones(300, 64, 200), longest, dim, rng) == 0
    along = hidden.any(dim=3 - dim)
    assert (hidden.all(dim=3 - dim) == along).all()
    assert along.sum(1).max() <= longest + 1
    assert along.sum(1).float().mean() > longest / 4
    assert (along.int().diff(dim=1).clamp_min(0).sum(1) <= 1).all()


def test_mixup_mixes_features_and_targets_alike(rng):
    features = torch.eye(8)[:, :, None].repeat(1, 1, 4)
    mixed, targets = mixup(features, torch.eye(8), 0.4, rng)
    torch.testing.assert_close(mixed[..., 0], targets)
    torch.testing.assert_close(targets.sum(1), torch.ones(8))
    assert (targets.max(1).values < 0.999).any()
    assert mixup(features, targets, 0.0, rng) == (features, targets)


def test_equaliser_has_the_given_deviation_and_no_delay(rng):
    click = torch.zeros(200, 4000)
    click[:, 2000] = 1.0
    heard = augmentation.equalise(click, 3.0, rng)
    assert (heard.abs().argmax(-1) == 2000).all()
    decibels = 20 * torch.fft.rfft(heard).abs().log10()
    assert decibels[:, [0, -1]].std() == pytest.approx(3.0, abs=0.4)
    assert (decibels.diff(dim=-1).abs() < 0.1).all()  # smooth


@pytest.mark.parametrize("percent", [-5, 4])
def test_change_of_speed_scales_the_pitch(percent):
    tone = torch.sin(2 * torch.pi * 1000 * torch.arange(20_000) / 16_000)[None]
    heard = augmentation.change_speed(tone, percent, 16_000)
    assert heard.shape == (1, 16_000)
    peak = torch.fft.rfft(heard[0] * torch.hann_window(16_000)).abs().argmax()
    assert float(peak) == pytest.approx(1000 * (1 + percent / 100), abs=1)


RATE = 8000
KINDS_OF_DAMAGE = 5


@pytest.mark.parametrize("chance", [0.0, 0.2, 0.5, 1.0])
def test_degradations_have_their_probability_and_keep_the_level(rng, chance):
    pitch, t = torch.linspace(300, 900, 1000).unsqueeze(1), torch.arange(RATE // 5) / RATE
    before = sum(torch.sin(2 * torch.pi * k * pitch * t) / (3 * k) for k in (1, 2, 3))
    after = degrade(before, RATE, chance, rng)
    spared = ((after - before).abs().amax(1) < 1e-6).float().mean()
    assert float(spared) == pytest.approx((1 - chance) ** KINDS_OF_DAMAGE, abs=0.04)
    likeness = torch.nn.functional.cosine_similarity(before, after)
    assert float(likeness.median()) > 0.4  # the cry stays recognisable
    torch.testing.assert_close(after.square().mean(1), before.square().mean(1), rtol=1e-3, atol=0)
    assert not degrade(torch.zeros(8, RATE), RATE, chance, rng).any()
