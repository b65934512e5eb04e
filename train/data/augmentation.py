"""Augment whole batches on the device, with one random generator."""

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
    """Label-preserving transformations; zero disables one."""

    gain_db: Strength = 3.0  # gain of a piece, uniform in +- this
    # Range of coloured noise relative to the loud frames; a list when read from JSON.
    noise_db: Annotated[tuple[Decibels, Decibels], Strict(False)] | None = (-45.0, -20.0)
    tilt_db: Strength = 2.0  # standard deviation of a gain curve over bands: microphones
    time_mask: Size = 30  # longest mask, frames (Park et al. 2019)
    band_mask: Size = 8  # longest mask, bands
    mixup: Strength = 0.2  # alpha of the Beta distribution (Zhang 2018)
    equaliser_db: Strength = 0.0  # like tilt_db, on the waveform, so that a teacher gets it too
    speed: Annotated[float, Field(ge=0, le=0.5)] = 0.0  # largest speed change, with pitch
    damage: Share = 0.0  # probability of each kind of damage, see :func:`degrade`


def uniform(low: float, high: float, shape: tuple[int, ...], rng: torch.Generator) -> Tensor:
    """Draw uniform numbers on the generator's device."""
    return low + (high - low) * torch.rand(shape, generator=rng, device=rng.device)


def coloured_noise(shape: tuple[int, int], rng: torch.Generator) -> Tensor:
    """Return noise (batch, samples) at RMS 1 with power 1 / f^slope, one slope of 0 to 2 each."""
    white = torch.randn(shape, generator=rng, device=rng.device)
    spectrum = torch.fft.rfft(white)
    hz = torch.arange(spectrum.shape[-1], device=rng.device).clamp_min(1)
    slope = uniform(0, 2, (shape[0], 1), rng)
    noise = torch.fft.irfft(spectrum * hz ** (-slope / 2), n=shape[1])
    return noise / noise.square().mean(-1, keepdim=True).sqrt()


def equalise(waves: Tensor, decibels: float, rng: torch.Generator) -> Tensor:
    """Filter each waveform by a zero-phase gain curve through six random points over the band."""
    points = torch.randn((len(waves), 1, 6), generator=rng, device=rng.device) * decibels
    spectrum = torch.fft.rfft(waves)
    curve = interpolate(points, spectrum.shape[-1], mode="linear", align_corners=True).squeeze(1)
    return torch.fft.irfft(spectrum * 10 ** (curve / 20), n=waves.shape[-1])


def change_speed(waves: Tensor, percent: int, length: int) -> Tensor:
    """Speed up (batch, samples) by ``percent``, or slow down if negative; crop to ``length``."""
    return resample(waves, 100 + percent, 100)[:, :length]


def augment_waveforms(waves: Tensor, how: Augmentation, rng: torch.Generator) -> Tensor:
    """Apply equaliser, noise and gain to (batch, samples), whose loud frames have RMS 1."""
    batch = len(waves)
    if how.equaliser_db:
        waves = equalise(waves, how.equaliser_db, rng)
    if how.noise_db is not None:
        level = 10 ** (uniform(*how.noise_db, (batch, 1), rng) / 20)
        waves = waves + level * coloured_noise(tuple(waves.shape), rng)
    return waves * 10 ** (uniform(-how.gain_db, how.gain_db, (batch, 1), rng) / 20)


def tilt(features: Tensor, decibels: float, rng: torch.Generator) -> Tensor:
    """Add a curve through four random points over the bands to log-mel features (1 is 20 dB)."""
    points = torch.randn((len(features), 1, 4), generator=rng, device=rng.device)
    curve = interpolate(points, features.shape[1], mode="linear", align_corners=True)
    return features + curve.transpose(1, 2) * decibels / 20


def mask(features: Tensor, longest: int, dim: int, rng: torch.Generator) -> Tensor:
    """Zero one random stretch of up to ``longest`` rows along ``dim`` in each item."""
    size = features.shape[dim]
    length = uniform(0, min(longest, size), (len(features), 1), rng)
    start = uniform(0, 1, (len(features), 1), rng) * (size - length)
    at = torch.arange(size, device=features.device)
    hidden = (at >= start) & (at < start + length)
    return features.masked_fill(hidden.unsqueeze(1 if dim == 2 else 2), 0.0)


def augment_features(
    features: Tensor, how: Augmentation, log_mel: bool, rng: torch.Generator
) -> Tensor:
    """Apply tilt (log-mel only) and masks to features (batch, bands, frames)."""
    if log_mel and how.tilt_db:
        features = tilt(features, how.tilt_db, rng)
    features = mask(features, how.time_mask, 2, rng)
    return mask(features, how.band_mask, 1, rng)


def mixup(
    features: Tensor, targets: Tensor, alpha: float, rng: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Mix each item with another: features (batch, bands, frames), targets (batch, classes)."""
    if not alpha:
        return features, targets
    # Beta(alpha, alpha) from two Gamma variates, which torch can draw with a given generator.
    gamma = torch._standard_gamma(
        torch.full((2, len(features)), float(alpha), device=rng.device), rng
    )
    share = gamma[0] / gamma.sum(0)
    other = torch.randperm(len(features), generator=rng, device=rng.device)
    weight = share.view(-1, 1, 1)
    mixed = weight * features + (1 - weight) * features[other]
    return mixed, share[:, None] * targets + (1 - share[:, None]) * targets[other]


STFT, HOP = 256, 128  # samples, for _spectral_holes


def degrade(waves: Tensor, rate: int, chance: float, rng: torch.Generator) -> Tensor:
    """Apply each kind of damage to each waveform of (batch, samples) with probability ``chance``.

    The order is physical: room, microphone, codec. Each waveform keeps its RMS.
    """
    level = _rms(waves)
    for damage in (_reverberate, _band_limit, _overload, _quantise, _spectral_holes):
        hit = (uniform(0, 1, (len(waves),), rng) < chance).nonzero().squeeze(1)
        if len(hit):
            waves = waves.index_copy(0, hit, damage(waves[hit], rate, rng))
    return waves * level / _rms(waves).clamp_min(1e-9)


def _reverberate(waves: Tensor, rate: int, rng: torch.Generator) -> Tensor:
    """Add reverberation: noise that decays by 60 dB in 0.1 to 0.8 s, after the direct sound."""
    batch, samples = waves.shape
    t = torch.arange(samples, device=rng.device) / rate
    decay = uniform(0.1, 0.8, (batch, 1), rng)
    echoes = coloured_noise((batch, samples), rng) * 10 ** (-3 * t / decay)
    echoes = echoes / echoes.square().sum(-1, keepdim=True).sqrt()
    wet = uniform(0.1, 1.0, (batch, 1), rng)
    size = 2 * samples  # avoids circular wrap-around
    spectrum = torch.fft.rfft(waves, n=size) * (1 + wet * torch.fft.rfft(echoes, n=size))
    return torch.fft.irfft(spectrum, n=size)[:, :samples]


def _band_limit(waves: Tensor, rate: int, rng: torch.Generator) -> Tensor:
    """Limit the band: high-pass at 50 to 400 Hz, low-pass at 2 to 3.4 kHz."""
    spectrum = torch.fft.rfft(waves)
    hz = torch.linspace(0, rate / 2, spectrum.shape[-1], device=rng.device)
    low, high = uniform(50, 400, (len(waves), 1), rng), uniform(2000, 3400, (len(waves), 1), rng)
    gain = ((hz - low) / 50).clamp(0, 1) * ((high - hz) / 200).clamp(0, 1)
    return torch.fft.irfft(spectrum * gain, n=waves.shape[-1])


def _overload(waves: Tensor, rate: int, rng: torch.Generator) -> Tensor:
    """Simulate an overloaded microphone by soft clipping."""
    gain = 10 ** (uniform(-10, 12, (len(waves), 1), rng) / 20)
    return torch.tanh(gain * waves) / gain


def _quantise(waves: Tensor, rate: int, rng: torch.Generator) -> Tensor:
    """Quantise like a mu-law codec of 5 to 8 bits."""
    peak = waves.abs().amax(-1, keepdim=True).clamp_min(1e-9)
    steps = 2 ** (torch.floor(uniform(5, 9, (len(waves), 1), rng)) - 1)
    mu = torch.tensor(255.0)
    squeezed = torch.sign(waves) * torch.log1p(mu * waves.abs() / peak) / torch.log1p(mu)
    rounded = torch.round(squeezed * steps) / steps
    return torch.sign(rounded) * torch.expm1(rounded.abs() * torch.log1p(mu)) / mu * peak


def _spectral_holes(waves: Tensor, rate: int, rng: torch.Generator) -> Tensor:
    """Simulate a codec that drops components 15 to 40 dB below the loudest in each frame."""
    window = torch.hann_window(STFT, device=waves.device)
    spectrum = torch.stft(waves, STFT, HOP, window=window, return_complex=True)
    size = spectrum.abs()
    least = 10 ** (uniform(-40, -15, (len(waves), 1, 1), rng) / 20)
    kept = spectrum * (size > least * size.amax(1, keepdim=True))
    return torch.istft(kept, STFT, HOP, window=window, length=waves.shape[-1])


def _rms(waves: Tensor) -> Tensor:
    return waves.square().mean(-1, keepdim=True).sqrt()
