"""The 26 features of the six-class challenge's tables, as librosa 0.11 computes them by default.

In torch, so that a batch is computed at once and where the model is. The mean over the frames of
the first 15 s is the table's value (tests/cry_model/test_acoustic_features.py).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from cry_model.chroma import mean_chroma
from cry_model.torchaudio_compat import import_torchaudio

torchaudio = import_torchaudio()

RATE = 22_050  # Hz
FFT, HOP = 2048, 512  # samples
MELS, MFCC = 128, 20
ROLLOFF = 0.85  # share of the magnitude below the roll-off
POWER_FLOOR, TOP_DB = 1e-10, 80.0  # the latter below each item's own maximum
ZERO = 1e-10  # samples this small are zero to librosa's zero crossings

FEATURES: tuple[str, ...] = (
    "chroma_stft",
    "rms",
    "spectral_centroid",
    "spectral_bandwidth",
    "rolloff",
    "zero_crossing_rate",
    *(f"mfcc{number}" for number in range(1, MFCC + 1)),
)
"""Names and order of the tables' columns."""


class AcousticFeatures(nn.Module):
    """(batch, samples) at 22,050 Hz -> (batch, 26, frames), the rows as in :data:`FEATURES`.

    ``frames = 1 + samples // 512``, the first centred on the first sample. What lies outside the
    waveform is zero, for the zero crossings the outermost sample. Items do not depend on each
    other; silence gives finite numbers. Frequencies are in Hz, the level is the waveform's own.
    """

    def __init__(self):
        super().__init__()
        mel = torchaudio.functional.melscale_fbanks(
            FFT // 2 + 1, 0.0, RATE / 2, MELS, RATE, norm="slaney", mel_scale="slaney"
        )
        self.register_buffer("window", torch.hann_window(FFT), persistent=False)
        self.register_buffer("hz", torch.fft.rfftfreq(FFT, 1 / RATE), persistent=False)
        self.register_buffer("mel", mel, persistent=False)
        dct = torchaudio.functional.create_dct(MFCC, MELS, "ortho")
        self.register_buffer("dct", dct, persistent=False)

    def forward(self, waveforms: Tensor) -> Tensor:
        spectrum = torch.stft(
            waveforms, FFT, HOP, window=self.window, pad_mode="constant", return_complex=True
        )
        spectrum = spectrum.transpose(1, 2)  # (batch, frames, bins), as it lies in memory
        power = spectrum.real.square() + spectrum.imag.square()
        magnitude = power.sqrt()
        rows = (
            mean_chroma(power, RATE),
            _rms(waveforms),
            *self._shape(magnitude),
            _zero_crossing_rate(waveforms),
        )
        return torch.cat([torch.stack(rows, 1), self._mfcc(power).transpose(1, 2)], 1)

    def _shape(self, magnitude: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Centroid, bandwidth and roll-off in Hz, each (batch, frames); 0 in silence."""
        cumulative = magnitude.cumsum(-1)
        total = cumulative[..., -1:]
        below = torch.searchsorted(cumulative, ROLLOFF * total).squeeze(-1)
        share = magnitude / total.clamp_min(torch.finfo(total.dtype).tiny)
        centroid = share @ self.hz
        bandwidth = ((self.hz - centroid[..., None]).square() * share).sum(-1).sqrt()
        return centroid, bandwidth, below * (RATE / FFT)

    def _mfcc(self, power: Tensor) -> Tensor:
        """(batch, frames, bins) -> (batch, frames, coefficients)."""
        decibels = 10 * (power @ self.mel).clamp_min(POWER_FLOOR).log10()
        floor = decibels.amax((1, 2), keepdim=True) - TOP_DB
        return torch.maximum(decibels, floor) @ self.dct


def _rms(waveforms: Tensor) -> Tensor:
    padded = pad(waveforms, (FFT // 2, FFT // 2))
    return padded.square().unfold(-1, FFT, HOP).mean(-1).sqrt()


def _zero_crossing_rate(waveforms: Tensor) -> Tensor:
    """Changes of sign within each frame, a share of its samples: (batch, frames)."""
    negative = pad(waveforms, (FFT // 2, FFT // 2), mode="replicate") < -ZERO
    changes = (negative[:, 1:] != negative[:, :-1]).to(waveforms.dtype)
    return changes.unfold(-1, FFT - 1, HOP).sum(-1) / FFT
