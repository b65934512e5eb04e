"""What microphones, rooms, codecs and telephones do to sound, for whole batches on the device.

The corpora differ in all of this, and it goes with the label. Each change is done to a random part
of a batch, whatever the corpus, so that none of them tells one from another.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from train.draws import coloured_noise, uniform

STFT, HOP = 256, 128  # samples of the spectral holes


def degrade(waves: Tensor, rate: int, chance: float, rng: torch.Generator) -> Tensor:
    """Each kind of damage to each waveform with this chance, (batch, samples) -> same.

    In the order in which sound meets them: room, microphone, codec. Each waveform keeps its level.
    """
    level = _rms(waves)
    for damage in (_reverberate, _band_limit, _overload, _quantise, _spectral_holes):
        waves = _some(waves, damage, rate, chance, rng)
    return waves * level / _rms(waves).clamp_min(1e-9)


def lay_under(
    waves: Tensor, under: Tensor, snr_db: tuple[float, float], chance: float, rng: torch.Generator
) -> Tensor:
    """Adds to each waveform, with this chance, one of ``under``.

    Args:
        waves: (batch, samples), loud frames at RMS 1.
        under: (backgrounds, samples), likewise.
        snr_db: least and most decibels that the waveform lies above what is added.
        chance: share of the batch.
        rng: of all choices.
    """
    if not len(under):
        return waves
    batch = len(waves)
    which = torch.randint(len(under), (batch,), generator=rng, device=rng.device)
    gain = 10 ** (-uniform(*snr_db, (batch, 1), rng) / 20)
    happens = uniform(0, 1, (batch, 1), rng) < chance
    return waves + torch.where(happens, gain, 0.0) * under[which]


def _some(
    waves: Tensor,
    damage: Callable[[Tensor, int, torch.Generator], Tensor],
    rate: int,
    chance: float,
    rng: torch.Generator,
) -> Tensor:
    hit = (uniform(0, 1, (len(waves),), rng) < chance).nonzero().squeeze(1)
    if not len(hit):
        return waves
    return waves.index_copy(0, hit, damage(waves[hit], rate, rng))


def _reverberate(waves: Tensor, rate: int, rng: torch.Generator) -> Tensor:
    """A room: noise that dies away within 0.1 to 0.8 s, behind the direct sound."""
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
    """A narrower band: high-pass up to 400 Hz, low-pass from 2 kHz on."""
    spectrum = torch.fft.rfft(waves)
    hz = torch.linspace(0, rate / 2, spectrum.shape[-1], device=rng.device)
    low, high = uniform(50, 400, (len(waves), 1), rng), uniform(2000, 3400, (len(waves), 1), rng)
    gain = ((hz - low) / 50).clamp(0, 1) * ((high - hz) / 200).clamp(0, 1)
    return torch.fft.irfft(spectrum * gain, n=waves.shape[-1])


def _overload(waves: Tensor, rate: int, rng: torch.Generator) -> Tensor:
    """A microphone that is shouted at."""
    gain = 10 ** (uniform(-10, 12, (len(waves), 1), rng) / 20)
    return torch.tanh(gain * waves) / gain


def _quantise(waves: Tensor, rate: int, rng: torch.Generator) -> Tensor:
    """The steps of a mu-law codec of 5 to 8 bits."""
    peak = waves.abs().amax(-1, keepdim=True).clamp_min(1e-9)
    steps = 2 ** (torch.floor(uniform(5, 9, (len(waves), 1), rng)) - 1)
    mu = torch.tensor(255.0)
    squeezed = torch.sign(waves) * torch.log1p(mu * waves.abs() / peak) / torch.log1p(mu)
    rounded = torch.round(squeezed * steps) / steps
    return torch.sign(rounded) * torch.expm1(rounded.abs() * torch.log1p(mu)) / mu * peak


def _spectral_holes(waves: Tensor, rate: int, rng: torch.Generator) -> Tensor:
    """A codec that drops what is 15 to 40 dB below the loudest of each moment."""
    window = torch.hann_window(STFT, device=waves.device)
    spectrum = torch.stft(waves, STFT, HOP, window=window, return_complex=True)
    size = spectrum.abs()
    least = 10 ** (uniform(-40, -15, (len(waves), 1, 1), rng) / 20)
    kept = spectrum * (size > least * size.amax(1, keepdim=True))
    return torch.istft(kept, STFT, HOP, window=window, length=waves.shape[-1])


def _rms(waves: Tensor) -> Tensor:
    return waves.square().mean(-1, keepdim=True).sqrt()
