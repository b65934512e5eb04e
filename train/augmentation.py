"""Augmentation of whole batches, on the device, from one random generator."""

from __future__ import annotations

import torch
from torch import Tensor

from cry_model.frontend import resample
from train.draws import coloured_noise, uniform
from train.presets import Augmentation


def equalise(waves: Tensor, decibels: float, rng: torch.Generator) -> Tensor:
    """Filters each by a curve of six random points over the band, without delay."""
    points = torch.randn((len(waves), 1, 6), generator=rng, device=rng.device) * decibels
    spectrum = torch.fft.rfft(waves)
    curve = torch.nn.functional.interpolate(
        points, size=spectrum.shape[-1], mode="linear", align_corners=True
    )
    return torch.fft.irfft(spectrum * 10 ** (curve.squeeze(1) / 20), n=waves.shape[-1])


def change_speed(waves: Tensor, percent: int, length: int) -> Tensor:
    """Plays (batch, samples) ``percent`` faster, or slower if below 0; cuts to ``length``."""
    return resample(waves, 100 + percent, 100)[:, :length]


def augment_waveforms(waves: Tensor, how: Augmentation, rng: torch.Generator) -> Tensor:
    """Equaliser, noise, level. (batch, samples) -> same; loud frames come in at RMS 1."""
    batch = len(waves)
    if how.equaliser_db:
        waves = equalise(waves, how.equaliser_db, rng)
    if how.noise_db is not None:
        level = 10 ** (uniform(*how.noise_db, (batch, 1), rng) / 20)
        waves = waves + level * coloured_noise(tuple(waves.shape), rng)
    return waves * 10 ** (uniform(-how.gain_db, how.gain_db, (batch, 1), rng) / 20)


def tilt(features: Tensor, decibels: float, rng: torch.Generator) -> Tensor:
    """Adds a curve of four random points over the bands to log-mel features, 20 dB being 1."""
    points = torch.randn((len(features), 1, 4), generator=rng, device=rng.device)
    curve = torch.nn.functional.interpolate(
        points, size=features.shape[1], mode="linear", align_corners=True
    )
    return features + curve.transpose(1, 2) * decibels / 20


def mask(features: Tensor, longest: int, dim: int, rng: torch.Generator) -> Tensor:
    """Sets one stretch of 0 to ``longest`` rows along ``dim`` to zero, another in each item."""
    size = features.shape[dim]
    length = uniform(0, min(longest, size), (len(features), 1), rng)
    start = uniform(0, 1, (len(features), 1), rng) * (size - length)
    at = torch.arange(size, device=features.device)
    hidden = (at >= start) & (at < start + length)
    return features.masked_fill(hidden.unsqueeze(1 if dim == 2 else 2), 0.0)


def augment_features(
    features: Tensor, how: Augmentation, log_mel: bool, rng: torch.Generator
) -> Tensor:
    """Tilt (log-mel only) and masks. (batch, bands, frames) -> same."""
    if log_mel and how.tilt_db:
        features = tilt(features, how.tilt_db, rng)
    features = mask(features, how.time_mask, 2, rng)
    return mask(features, how.band_mask, 1, rng)


def mixup(
    features: Tensor, targets: Tensor, alpha: float, rng: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Mixes each item with another: features (batch, ...), targets (batch, classes)."""
    if not alpha:
        return features, targets
    # A Beta(alpha, alpha) number out of two Gamma numbers, which torch can draw from a generator.
    gamma = torch._standard_gamma(
        torch.full((2, len(features)), float(alpha), device=rng.device), rng
    )
    share = gamma[0] / gamma.sum(0)
    other = torch.randperm(len(features), generator=rng, device=rng.device)
    weight = share.view(-1, 1, 1)
    mixed = weight * features + (1 - weight) * features[other]
    return mixed, share[:, None] * targets + (1 - share[:, None]) * targets[other]
