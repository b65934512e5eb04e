"""Compute features from waveforms, with settings that are saved with each checkpoint.

The corpora differ in sample rate, codec, loudness and leading silence, and all of these correlate
with the label. So a front end keeps only the band that every source has, at one level. Every
decision (how loud, where silence ends, where to cut) is made on that band-limited signal.
"""

from __future__ import annotations

import importlib
import math
import sys
import types

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from cry_model.sound.audio import Recording, require_sound
from cry_model.sound.front_end_config import (
    BETA,
    CUT_OFF,
    LOUD_DB,
    Clip,
    FrontEndConfig,
    filter_bank,
    trimmed,
)


class PCEN(nn.Module):
    """(E / (eps + M)^alpha + delta)^r - delta^r, with M the smoothed past of E, (..., frames).

    Source: Wang et al. 2017, "Trainable frontend for robust and far-field keyword spotting",
    equations 1 and 2, with its constants (alpha 0.98, delta 2, r 0.5). M starts at the first frame,
    which has no past.
    """

    ALPHA, DELTA, ROOT, EPSILON = 0.98, 2.0, 0.5, 1e-6
    SECONDS = 0.4  # time constant of M: s = 0.025 at a hop of 10 ms, as in the paper

    def __init__(self, hop_seconds: float):
        super().__init__()
        self.keep = 1 - hop_seconds / self.SECONDS

    def smooth(self, power: Tensor) -> Tensor:
        """Compute M[t] = keep M[t-1] + (1 - keep) E[t], M[0] = E[0], as one matrix product."""
        frames = torch.arange(power.shape[-1], device=power.device)
        behind = (frames.unsqueeze(0) - frames.unsqueeze(1)).to(power.dtype)  # column minus row
        weight = (1 - self.keep) * self.keep**behind
        weight[0] /= 1 - self.keep
        return power @ weight.triu()

    def forward(self, power: Tensor) -> Tensor:
        normalised = power / (self.EPSILON + self.smooth(power)) ** self.ALPHA
        return (normalised + self.DELTA) ** self.ROOT - self.DELTA**self.ROOT


EXTENSION = "torchaudio._extension"


def import_torchaudio() -> types.ModuleType:
    """Import torchaudio even if its compiled extension does not load.

    Its wheels link CUDA: beside a CPU-only torch the import raises OSError, beside a torch for
    another CUDA version RuntimeError. The functions used here are pure Python. So the extension is
    declared absent, which torchaudio supports, and the import is repeated.
    """
    try:
        return importlib.import_module("torchaudio")
    except (OSError, RuntimeError):
        for name in [n for n in sys.modules if n == "torchaudio" or n.startswith("torchaudio.")]:
            del sys.modules[name]
        absent = types.ModuleType(EXTENSION)
        absent._IS_TORCHAUDIO_EXT_AVAILABLE = False
        absent._IS_ALIGN_AVAILABLE = False
        absent.fail_if_no_align = lambda function: function  # a decorator
        sys.modules[EXTENSION] = absent
        return importlib.import_module("torchaudio")


torchaudio = import_torchaudio()


def resample(
    waveform: Tensor, rate: int, target: int, width: int = 64, rolloff: float = CUT_OFF
) -> Tensor:
    """Resample (..., samples) from ``rate`` Hz to ``target`` Hz, as torchaudio does but with
    :func:`filter_bank`.

    ``width`` is the zero crossings of the sinc on either side; more make the cut-off steeper.
    """
    if rate == target:
        return waveform
    over, under = filter_bank(rate, target)
    sinc = torchaudio.functional.functional
    window = ("sinc_interp_kaiser", BETA, waveform.device, waveform.dtype)
    kernel, reach = sinc._get_sinc_resample_kernel(over, under, 1, width, rolloff, *window)
    return sinc._apply_sinc_resample_kernel(waveform, over, under, 1, kernel, reach)


def band_pass(waveform: Tensor, rate: int, low_hz: float, high_hz: float) -> Tensor:
    """Apply a zero-phase band-pass with half-cosine edges to (samples,); also removes DC."""
    edge_hz = (min(low_hz, 30.0), 150.0)
    # Zero-padding prevents circular wrap-around; a length with small factors keeps the FFT fast.
    padded = math.ceil((len(waveform) + rate / 10) / 4096) * 4096
    spectrum = torch.fft.rfft(waveform, n=padded)
    hz = torch.linspace(0, rate / 2, len(spectrum), device=waveform.device)
    rise = ((hz - low_hz + edge_hz[0]) / edge_hz[0]).clamp(0, 1)
    fall = ((high_hz + edge_hz[1] - hz) / edge_hz[1]).clamp(0, 1)
    gain = (0.5 - 0.5 * torch.cos(math.pi * rise)) * (0.5 - 0.5 * torch.cos(math.pi * fall))
    return torch.fft.irfft(spectrum * gain, n=padded)[: len(waveform)]


class FrontEnd(nn.Module):
    """Recording -> clip -> pieces -> features, as configured.

    ``forward`` maps waveforms (batch, samples) to features (batch, bands, frames) with
    ``frames = samples // hop``, on the module's device.
    """

    def __init__(self, config: FrontEndConfig):
        super().__init__()
        self.config = config
        self.spectrogram = torchaudio.transforms.MelSpectrogram(
            sample_rate=config.sample_rate,
            n_fft=config.fft,
            win_length=config.window,
            hop_length=config.hop,
            f_min=config.low_hz,
            f_max=config.high_hz,
            n_mels=config.num_filters,
            normalized=True,  # white noise at RMS 1 has power 1 in each bin
            mel_scale="htk",
        )
        dct, self.pcen = None, None
        if config.kind == "mfcc":
            rows = config.num_bands // (1 + config.deltas)
            dct = torchaudio.functional.create_dct(rows, config.num_filters, "ortho")
            dct = dct.T.contiguous()
        elif config.kind == "pcen":
            self.pcen = PCEN(config.hop_seconds)
        self.register_buffer("dct", dct, persistent=False)

    def prepare(self, recording: Recording) -> Clip:
        """Resample, band-limit, normalise (loud frames at RMS 1) and trim one recording; raise
        SilentAudioError if nothing is left in the band."""
        c = self.config
        wave = resample(recording.waveform, recording.sample_rate, c.sample_rate)
        wave = band_pass(wave, c.sample_rate, c.low_hz, c.high_hz)
        require_sound(wave)
        padded = pad(wave, (0, max(0, c.window - len(wave))))
        power = padded.unfold(-1, c.window, c.hop).square().mean(-1)
        peak = power.max()
        wave = wave / power[power > peak * 10 ** (-LOUD_DB / 10)].mean().sqrt()
        loud = (power > peak * 10 ** (-c.trim_db / 10)).nonzero()
        return trimmed(wave, int(loud[0]), int(loud[-1]), c)

    def forward(self, waveforms: Tensor) -> Tensor:
        return self.look(self.mel_power(waveforms))

    def to_level(self, waveforms: Tensor) -> Tensor:
        """Scale each of (batch, samples) to loud frames at RMS 1; digital silence is unchanged."""
        c = self.config
        power = waveforms.unfold(-1, c.window, c.hop).square().mean(-1, keepdim=True)
        loudness = self.loudness(power.transpose(-1, -2)).squeeze(-1)
        return waveforms / loudness.sqrt()

    def mel_power(self, waveforms: Tensor) -> Tensor:
        """Compute the power in each mel band, (..., samples) -> (..., bands, samples // hop)."""
        return self.spectrogram(waveforms)[..., : waveforms.shape[-1] // self.config.hop]

    def look(self, power: Tensor) -> Tensor:
        """Compute the model's input from pieces of :meth:`mel_power`, (..., bands, frames)."""
        if self.config.level == "piece":
            power = power / self.loudness(power)
        floored = power.clamp_min(10 ** (self.config.floor_db / 10))
        if self.pcen is not None:
            features = self.pcen(floored)
        else:
            features = (10 * floored.log10() - self.config.floor_db) / 20  # 0 at the floor
            features = features if self.dct is None else self.dct @ features
        orders = [features - self.config.centre]
        for _ in range(self.config.deltas):
            orders.append(self.slope(orders[-1]))
        return torch.cat(orders, dim=-2)

    def slope(self, features: Tensor) -> Tensor:
        """Return the slope over five frames, (..., bands, frames)."""
        return torchaudio.functional.compute_deltas(features)

    def loudness(self, power: Tensor) -> Tensor:
        """Return the mean power of each piece's loud frames, (..., 1, 1); 1 for digital silence."""
        frames = power.mean(-2, keepdim=True)
        peak = frames.amax(-1, keepdim=True)
        loud = (frames >= peak * 10 ** (-LOUD_DB / 10)).to(power.dtype)
        loudness = (frames * loud).sum(-1, keepdim=True) / loud.sum(-1, keepdim=True)
        return torch.where(peak > 0, loudness, 1.0)
