"""Compute the 26 features of the six-class challenge's tables as librosa 0.11 does by default.

Implemented in torch, for whole batches on the model's device. The mean over the frames of the first
15 s is the table's value (tests/cry_model/test_acoustic_features.py).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from cry_model.sound.audio import Recording, require_sound
from cry_model.sound.front_end_config import ACOUSTIC_HOP as HOP
from cry_model.sound.front_end_config import ACOUSTIC_RATE as RATE
from cry_model.sound.front_end_config import MELS, MFCC, AcousticConfig, Clip
from cry_model.sound.frontend import resample, torchaudio

CLASSES = 12  # pitch classes, the semitones of an octave
A0_HZ = 27.5
PEAK_HZ = (150.0, 4000.0)  # range of spectral peaks
PEAK_SHARE = 0.1  # least power of a peak, relative to its frame's loudest bin
CELLS = 100  # histogram bins: the tuning has a resolution of one cent
CENTRE_OCTAVE, OCTAVE_WIDTH = 5.0, 2.0  # Gaussian weight of octaves above A0


def mean_chroma(power: Tensor, rate: int) -> Tensor:
    """Compute the mean chroma, the loudest class being 1: (batch, frames, bins) -> (batch, frames).

    As ``librosa.feature.chroma_stft`` of 0.11 on power, averaged over rows; 0 in silent frames.
    """
    filters = chroma_filters(estimate_tuning(power, rate), power.shape[-1], rate).to(power.dtype)
    chroma = power @ filters.transpose(1, 2)
    return chroma.mean(-1) / chroma.amax(-1).clamp_min(torch.finfo(chroma.dtype).tiny)


def estimate_tuning(power: Tensor, rate: int) -> Tensor:
    """Estimate the tuning: (batch, frames, bins) power -> (batch,) semitones off A440.

    As ``librosa.estimate_tuning``: the most frequent deviation from the nearest semitone among the
    louder half of the item's spectral peaks; -0.5 to 0.49, 0 without a peak.
    """
    batch, step = len(power), rate / (2 * (power.shape[-1] - 1))
    low, high = (int(-(-hz // step)) for hz in PEAK_HZ)
    left, here, right = (power[..., low + by : high + by] for by in (-1, 0, 1))
    floor = PEAK_SHARE * power.amax(-1, keepdim=True)
    peaks = ((here > left) & (here >= right) & (here > floor)).nonzero(as_tuple=True)
    item, _, position = peaks
    left, here, right = (values[peaks].double() for values in (left, here, right))
    # The vertex of the parabola through the three bins.
    slope = (right - left) / 2
    shift = slope / (2 * here - left - right)
    semitones = CLASSES * ((low + position + shift) * step / A0_HZ).log2()
    cell = ((semitones + 0.5).remainder(1) * CELLS).long().clamp_max(CELLS - 1)

    # Rank the peaks by height within each item; the louder half has the higher ranks.
    order = (here + slope * shift / 2).argsort()
    order = order[item[order].argsort(stable=True)]
    item, cell = item[order], cell[order]
    count = item.bincount(minlength=batch)
    rank = torch.arange(len(item), device=item.device) - (count.cumsum(0) - count)[item]
    louder = (item * CELLS + cell)[rank >= count[item] // 2]
    histogram = louder.bincount(minlength=batch * CELLS).view(batch, CELLS)
    # Resolve ties in favour of the first cell, by making all counts distinct.
    fullest = (histogram * CELLS - torch.arange(CELLS, device=item.device)).argmax(-1)
    return torch.where(count > 0, fullest / CELLS - 0.5, 0.0)


def chroma_filters(tuning: Tensor, bins: int, rate: int) -> Tensor:
    """Return the weight of each bin in each pitch class, (batch,) semitones -> (batch, 12, bins).

    As ``librosa.filters.chroma``, but beginning with A, and in double precision.
    """
    step = rate / (2 * (bins - 1))
    number = torch.arange(1, bins + 1, dtype=torch.double, device=tuning.device)
    semitones = CLASSES * (number * step / A0_HZ).log2()
    semitones = torch.cat([semitones[:1] - 1.5 * CLASSES, semitones])  # a value for 0 Hz
    width = semitones.diff().clamp_min(1)
    semitones = semitones[:-1] - tuning.double()[:, None, None]
    classes = torch.arange(CLASSES, dtype=torch.double, device=tuning.device)[:, None]
    half = CLASSES / 2
    distance = (semitones - classes + half).remainder(CLASSES) - half
    bumps = (-0.5 * (2 * distance / width) ** 2).exp()
    octaves = (semitones / CLASSES - CENTRE_OCTAVE) / OCTAVE_WIDTH
    return bumps / bumps.norm(dim=1, keepdim=True) * (-0.5 * octaves**2).exp()


FFT = 2048
ROLLOFF = 0.85  # share of the total magnitude below the roll-off
POWER_FLOOR, TOP_DB = 1e-10, 80.0  # dB below each item's own maximum
ZERO = 1e-10  # librosa's zero crossings treat samples up to this as zero


class AcousticFeatures(nn.Module):
    """(batch, samples) at 22,050 Hz -> (batch, 26, frames), rows in the tables' order.

    ``frames = 1 + samples // 512``, the first centred on the first sample. The waveform is
    zero-padded; for zero crossings, its outermost samples are repeated. Items are independent of
    each other; silence gives finite values. Frequencies are in Hz; the level is not normalised.
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
        spectrum = spectrum.transpose(1, 2)  # (batch, frames, bins), its memory layout
        power = spectrum.real.square() + spectrum.imag.square()
        magnitude = power.sqrt()
        rows = (
            mean_chroma(power, RATE),
            pad(waveforms, (FFT // 2, FFT // 2)).square().unfold(-1, FFT, HOP).mean(-1).sqrt(),
            *self._shape(magnitude),
            _zero_crossing_rate(waveforms),
        )
        return torch.cat([torch.stack(rows, 1), self._mfcc(power).transpose(1, 2)], 1)

    def _shape(self, magnitude: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return centroid, bandwidth and roll-off in Hz, each (batch, frames); 0 in silence."""
        cumulative = magnitude.cumsum(-1)
        total = cumulative[..., -1:]
        below = torch.searchsorted(cumulative, ROLLOFF * total).squeeze(-1)
        share = magnitude / total.clamp_min(torch.finfo(total.dtype).tiny)
        centroid = share @ self.hz
        bandwidth = ((self.hz - centroid[..., None]).square() * share).sum(-1).sqrt()
        return centroid, bandwidth, below * (RATE / FFT)

    def _mfcc(self, power: Tensor) -> Tensor:
        """Compute the MFCC, (batch, frames, bins) power -> (batch, frames, coefficients)."""
        decibels = 10 * (power @ self.mel).clamp_min(POWER_FLOOR).log10()
        floor = decibels.amax((1, 2), keepdim=True) - TOP_DB
        return torch.maximum(decibels, floor) @ self.dct


def _zero_crossing_rate(waveforms: Tensor) -> Tensor:
    """Return the sign changes within each frame, as a share of its samples: (batch, frames)."""
    negative = pad(waveforms, (FFT // 2, FFT // 2), mode="replicate") < -ZERO
    changes = (negative[:, 1:] != negative[:, :-1]).to(waveforms.dtype)
    return changes.unfold(-1, FFT - 1, HOP).sum(-1) / FFT


DC_SHARE = 0.005  # of the standard deviation: a larger mean is the recorder's offset


class AcousticFrontEnd(nn.Module):
    """Recording -> clip -> pieces -> features. ``forward`` takes waveforms (batch, samples) at the
    configuration's rate and returns what :class:`AcousticFeatures` does."""

    def __init__(self, config: AcousticConfig):
        super().__init__()
        self.config = config
        self.features = AcousticFeatures()

    def prepare(self, recording: Recording) -> Clip:
        """Resample one recording and remove its DC offset, but keep its level and trim nothing.

        Without an offset the samples are not shifted, digital silence included, so the features
        match the public table. Raise SilentAudioError if nothing is left in the band.
        """
        wave = recording.waveform
        if (mean := wave.mean()).abs() > DC_SHARE * wave.std():
            wave = wave - mean
        # A steep filter, so that resampled recordings resemble those made at this rate.
        wave = resample(wave, recording.sample_rate, self.config.sample_rate, 256, 0.985)
        require_sound(wave)
        return Clip(wave, 0.0)

    def forward(self, waveforms: Tensor) -> Tensor:
        return self.features(resample(waveforms, self.config.sample_rate, RATE))
