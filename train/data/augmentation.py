"""Augmentation of whole batches, on the device, from one random generator."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field, Strict
from pydantic.dataclasses import dataclass
from torch import Tensor
from torch.nn.functional import interpolate

from cry_model.declared import STRICT, Share, plain
from cry_model.sound.frontend import resample

Strength = Annotated[float, Field(ge=0, le=100)]
Decibels = Annotated[float, Field(ge=-200, le=100)]
Size = Annotated[int, Field(ge=0, le=10_000)]


@plain
@dataclass(frozen=True, config=STRICT)
class Augmentation:
    """Changes that a cry may undergo and stay the same cry; zero switches one off."""

    gain_db: Strength = 3.0  # level of a whole piece, uniform in +- this
    # Least and most of coloured noise, relative to the loud frames; JSON has a list.
    noise_db: Annotated[tuple[Decibels, Decibels], Strict(False)] | None = (-45.0, -20.0)
    tilt_db: Strength = 2.0  # deviation of a curve over bands: microphones
    time_mask: Size = 30  # longest stretch, frames (Park et al. 2019)
    band_mask: Size = 8  # likewise, bands
    mixup: Strength = 0.2  # alpha of the Beta distribution (Zhang 2018)
    equaliser_db: Strength = 0.0  # tilt on the waveform: for a teacher, too
    speed: Annotated[float, Field(ge=0, le=0.5)] = 0.0  # faster or slower by this, pitch and all
    damage: Share = 0.0  # chance of each kind, see :func:`degrade`


def uniform(low: float, high: float, shape: tuple[int, ...], rng: torch.Generator) -> Tensor:
    """Uniform numbers on the generator's device."""
    return low + (high - low) * torch.rand(shape, generator=rng, device=rng.device)


def coloured_noise(shape: tuple[int, int], rng: torch.Generator) -> Tensor:
    """(batch, samples) of noise at RMS 1 whose power falls as 1 / f^slope, slope 0 to 2 each."""
    white = torch.randn(shape, generator=rng, device=rng.device)
    spectrum = torch.fft.rfft(white)
    hz = torch.arange(spectrum.shape[-1], device=rng.device).clamp_min(1)
    slope = uniform(0, 2, (shape[0], 1), rng)
    noise = torch.fft.irfft(spectrum * hz ** (-slope / 2), n=shape[1])
    return noise / noise.square().mean(-1, keepdim=True).sqrt()


def equalise(waves: Tensor, decibels: float, rng: torch.Generator) -> Tensor:
    """Filter each by a curve of six random points over the band, without delay."""
    points = torch.randn((len(waves), 1, 6), generator=rng, device=rng.device) * decibels
    spectrum = torch.fft.rfft(waves)
    curve = interpolate(points, spectrum.shape[-1], mode="linear", align_corners=True).squeeze(1)
    return torch.fft.irfft(spectrum * 10 ** (curve / 20), n=waves.shape[-1])


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
    """Add a curve of four random points over the bands to log-mel features, 20 dB being 1."""
    points = torch.randn((len(features), 1, 4), generator=rng, device=rng.device)
    curve = interpolate(points, features.shape[1], mode="linear", align_corners=True)
    return features + curve.transpose(1, 2) * decibels / 20


def mask(features: Tensor, longest: int, dim: int, rng: torch.Generator) -> Tensor:
    """Set one stretch of 0 to ``longest`` rows along ``dim`` to zero, another in each item."""
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


STFT, HOP = 256, 128  # samples of the spectral holes


def degrade(waves: Tensor, rate: int, chance: float, rng: torch.Generator) -> Tensor:
    """Each kind of damage to each waveform with this chance, (batch, samples) -> same.

    In the order in which sound meets them: room, microphone, codec. Each waveform keeps its level.
    """
    level = _rms(waves)
    for damage in (_reverberate, _band_limit, _overload, _quantise, _spectral_holes):
        hit = (uniform(0, 1, (len(waves),), rng) < chance).nonzero().squeeze(1)
        if len(hit):
            waves = waves.index_copy(0, hit, damage(waves[hit], rate, rng))
    return waves * level / _rms(waves).clamp_min(1e-9)


def _reverberate(waves: Tensor, rate: int, rng: torch.Generator) -> Tensor:
    """Return a room: noise that dies away within 0.1 to 0.8 s, behind the direct sound."""
    batch, samples = waves.shape
    t = torch.arange(samples, device=rng.device) / rate
    decay = uniform(0.1, 0.8, (batch, 1), rng)
    echoes = coloured_noise((batch, samples), rng) * 10 ** (-3 * t / decay)
    echoes = echoes / echoes.square().sum(-1, keepdim=True).sqrt()
    wet = uniform(0.1, 1.0, (batch, 1), rng)
    size = 2 * samples  # so that nothing wraps round
    spectrum = torch.fft.rfft(waves, n=size) * (1 + wet * torch.fft.rfft(echoes, n=size))
    return torch.fft.irfft(spectrum, n=size)[:, :samples]


def _band_limit(waves: Tensor, rate: int, rng: torch.Generator) -> Tensor:
    """Return a narrower band: high-pass up to 400 Hz, low-pass from 2 kHz on."""
    spectrum = torch.fft.rfft(waves)
    hz = torch.linspace(0, rate / 2, spectrum.shape[-1], device=rng.device)
    low, high = uniform(50, 400, (len(waves), 1), rng), uniform(2000, 3400, (len(waves), 1), rng)
    gain = ((hz - low) / 50).clamp(0, 1) * ((high - hz) / 200).clamp(0, 1)
    return torch.fft.irfft(spectrum * gain, n=waves.shape[-1])


def _overload(waves: Tensor, rate: int, rng: torch.Generator) -> Tensor:
    """Return a microphone that is shouted at."""
    gain = 10 ** (uniform(-10, 12, (len(waves), 1), rng) / 20)
    return torch.tanh(gain * waves) / gain


def _quantise(waves: Tensor, rate: int, rng: torch.Generator) -> Tensor:
    """Return the steps of a mu-law codec of 5 to 8 bits."""
    peak = waves.abs().amax(-1, keepdim=True).clamp_min(1e-9)
    steps = 2 ** (torch.floor(uniform(5, 9, (len(waves), 1), rng)) - 1)
    mu = torch.tensor(255.0)
    squeezed = torch.sign(waves) * torch.log1p(mu * waves.abs() / peak) / torch.log1p(mu)
    rounded = torch.round(squeezed * steps) / steps
    return torch.sign(rounded) * torch.expm1(rounded.abs() * torch.log1p(mu)) / mu * peak


def _spectral_holes(waves: Tensor, rate: int, rng: torch.Generator) -> Tensor:
    """Return a codec that drops what is 15 to 40 dB below the loudest of each moment."""
    window = torch.hann_window(STFT, device=waves.device)
    spectrum = torch.stft(waves, STFT, HOP, window=window, return_complex=True)
    size = spectrum.abs()
    least = 10 ** (uniform(-40, -15, (len(waves), 1, 1), rng) / 20)
    kept = spectrum * (size > least * size.amax(1, keepdim=True))
    return torch.istft(kept, STFT, HOP, window=window, length=waves.shape[-1])


def _rms(waves: Tensor) -> Tensor:
    return waves.square().mean(-1, keepdim=True).sqrt()
