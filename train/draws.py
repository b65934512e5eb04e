"""Random numbers and noise in batches, on the device of their generator."""

from __future__ import annotations

import torch
from torch import Tensor


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
