"""Waveform -> features. What a front end wants of a recording is data, saved with each checkpoint.

The corpora differ in sample rate, codec, loudness and leading silence, and all of these go with
the label. So a front end hears only the band that every source has, at one level, and every
decision (how loud, where the silence ends, where to cut) is taken on that band-limited signal.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Annotated, Literal, Protocol

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from cry_model.audio import Recording, require_sound
from cry_model.declared import Within, require, require_declared
from cry_model.torchaudio_compat import import_torchaudio


class CutConfig(Protocol):
    """Declare how recordings are cut into pieces; see :class:`FrontEndConfig`."""

    sample_rate: int
    piece_seconds: float
    min_seconds: float
    overlap: float


class PCEN(nn.Module):
    """(E / (eps + M)^alpha + delta)^r - delta^r, with M the smoothed past of E, (..., frames).

    Source: Wang et al. 2017, "Trainable frontend for robust and far-field keyword spotting",
    equations 1 and 2, with its constants (alpha 0.98, delta 2, r 0.5). Where there is no past yet,
    M is the first frame.
    """

    ALPHA, DELTA, ROOT, EPSILON = 0.98, 2.0, 0.5, 1e-6
    SECONDS = 0.4  # of M: s = 0.025 at a hop of 10 ms, as there

    def __init__(self, hop_seconds: float):
        super().__init__()
        self.keep = 1 - hop_seconds / self.SECONDS

    def smooth(self, power: Tensor) -> Tensor:
        """M[t] = keep M[t-1] + (1 - keep) E[t], M[0] = E[0]; as one product, (..., frames)."""
        frames = torch.arange(power.shape[-1], device=power.device)
        behind = (frames.unsqueeze(0) - frames.unsqueeze(1)).to(power.dtype)  # from row to column
        weight = (1 - self.keep) * self.keep**behind
        weight[0] /= 1 - self.keep
        return power @ weight.triu()

    def forward(self, power: Tensor) -> Tensor:
        normalised = power / (self.EPSILON + self.smooth(power)) ** self.ALPHA
        return (normalised + self.DELTA) ** self.ROOT - self.DELTA**self.ROOT


@dataclass(frozen=True)
class Clip:
    """A recording at the front end's rate, (samples,), and the seconds cut off its beginning."""

    waveform: Tensor
    offset: float


@dataclass(frozen=True)
class Pieces:
    """A clip cut for the model: (pieces, samples), and where each piece starts, in seconds.

    ``seconds`` of each piece are recording: less than its length where a short one was repeated.
    """

    waveforms: Tensor
    starts: tuple[float, ...]
    seconds: float


def cut(clip: Clip, config: CutConfig, overlap: float | None = None) -> Pieces:
    """Cut a clip into pieces of equal length that overlap and, spread evenly, cover all of it.

    A short clip is repeated; ``overlap`` is in the place of the configuration's.
    """
    wave, share = clip.waveform, config.overlap if overlap is None else overlap
    rate = config.sample_rate
    length, shortest = round(config.piece_seconds * rate), round(config.min_seconds * rate)
    seconds = min(len(wave), length) / rate
    if len(wave) < shortest:
        wave = wave.repeat(math.ceil(shortest / len(wave)))[:shortest]
    if len(wave) <= length:
        return Pieces(wave.unsqueeze(0), (clip.offset,), seconds)
    count = math.ceil((len(wave) - length) / (length * (1 - share))) + 1
    starts = torch.linspace(0, len(wave) - length, count).round().long().tolist()
    waveforms = torch.stack([wave[s : s + length] for s in starts])
    return Pieces(waveforms, tuple(clip.offset + s / rate for s in starts), seconds)


torchaudio = import_torchaudio()


@dataclass(frozen=True)
class FrontEndConfig:
    """What a front end declares.

    Attributes:
        kind: "log-mel", "mfcc" or "pcen" (:mod:`cry_model.frontend`).
        num_bands: rows of the features: mel bands or cepstral coefficients, and their deltas.
        num_filters: mel filters; but for "mfcc" the number of bands without the deltas.
        deltas: orders of differences over time that follow the bands, 0, 1 or 2.
        sample_rate: Hz, what every recording is brought to.
        low_hz, high_hz: the band that is heard. For an 8 kHz source that was resampled on its
            way here, soxr, FFmpeg and SciPy agree within 0.1 dB up to 3.4 kHz, and no longer at
            3.6 kHz (tests/cry_model/test_features.py).
        window, hop, fft: samples; 40 ms, 20 ms and 64 ms at 8 kHz.
        level: whose loud frames are brought to one level: those of the whole "recording", or those
            of each "piece" again, so that a bang does not hide a faint cry.
        floor_db: log floor, relative to the level of the loud frames.
        centre: what is taken off the features, so that they lie around zero.
        trim_db: frames at either end this far below the loudest are cut off.
        trim_margin: seconds kept on either side of what is loud.
        piece_seconds: length of a piece; a shorter recording is one piece.
        min_seconds: a shorter recording is repeated up to this length.
        overlap: least share that neighbouring pieces have in common.

    Raises:
        ValueError: if one is out of its range, or they do not fit together.
    """

    kind: Literal["log-mel", "mfcc", "pcen"] = "log-mel"
    num_bands: Annotated[int, Within(1, 1024)] = 64
    num_filters: Annotated[int, Within(1, 512)] = 64
    deltas: Annotated[int, Within(0, 2)] = 0
    sample_rate: Annotated[int, Within(4000, 48_000)] = 8000
    low_hz: Annotated[float, Within(1, 24_000)] = 50.0
    high_hz: Annotated[float, Within(1, 24_000)] = 3400.0
    window: Annotated[int, Within(16, 4096)] = 320
    hop: Annotated[int, Within(16, 4096)] = 160
    fft: Annotated[int, Within(16, 4096)] = 512
    level: Literal["recording", "piece"] = "recording"
    floor_db: Annotated[float, Within(-200, 0)] = -40.0
    centre: Annotated[float, Within(-100, 100)] = 0.0
    trim_db: Annotated[float, Within(1, 200)] = 40.0
    trim_margin: Annotated[float, Within(0, 10)] = 0.1
    piece_seconds: Annotated[float, Within(0.1, 60)] = 5.0
    min_seconds: Annotated[float, Within(0.1, 60)] = 3.0
    overlap: Annotated[float, Within(0, 0.95)] = 0.5

    MOST_FRAMES = 4096  # of a piece: PCEN takes the square of it

    def __post_init__(self):
        require_declared(self)
        shortest, rows = self.min_seconds * self.sample_rate, self.num_bands // (1 + self.deltas)
        for holds, sentence in (
            (self.low_hz < self.high_hz, "low_hz must lie below high_hz"),
            (2 * self.high_hz <= self.sample_rate, "high_hz is at most half the sample_rate"),
            (self.hop <= self.window <= self.fft, "hop, window and fft must not grow smaller"),
            (0.0025 <= self.hop_seconds <= 0.25, "a hop must take 0.0025 to 0.25 s"),
            (self.fft <= shortest, "min_seconds must be as long as fft, or longer"),
            (self.min_seconds <= self.piece_seconds, "min_seconds is at most piece_seconds"),
            (
                self.piece_seconds <= self.MOST_FRAMES * self.hop_seconds,
                f"piece_seconds must be at most {self.MOST_FRAMES} hops",
            ),
            (not self.num_bands % (1 + self.deltas), "num_bands is a multiple of 1 + deltas"),
            (
                rows == self.num_filters or (self.kind == "mfcc" and rows < self.num_filters),
                "num_bands without the deltas must equal num_filters, for mfcc be no more",
            ),
        ):
            require(holds, sentence)

    @property
    def hop_seconds(self) -> float:
        """Seconds from one frame to the next."""
        return self.hop / self.sample_rate


PAPER_FRONT_END = FrontEndConfig(kind="mfcc", num_bands=13, num_filters=40)
"""The paper's 13 MFCC, with its 20 ms hop."""
FILTERS = 16


def resample(
    waveform: Tensor, rate: int, target: int, width: int = 64, rolloff: float = 0.9475937167399596
) -> Tensor:
    """(..., samples) at ``rate`` Hz -> (..., samples) at ``target`` Hz.

    Windowed-sinc of torchaudio, by default at the quality of librosa's "kaiser_best". Rates
    without a small common divisor would need a bank of thousands of filters; the ratio is then
    rounded by less than one part in 1,000. No rate that recorders use is touched.

    Args:
        waveform: any number of them.
        rate: Hz.
        target: Hz.
        width: zero crossings of the sinc on either side; more make the cut-off steeper.
        rolloff: cut-off, a share of half the lower rate.
    """
    if rate == target:
        return waveform
    ratio = Fraction(rate, target).limit_denominator(1000)
    # As torchaudio.functional.resample, but with a bank of some FILTERS: from 16 to 8 kHz it has a
    # single one, and a convolution with one output takes seven times as long.
    bank = max(1, FILTERS // ratio.denominator)
    over, under = bank * ratio.numerator, bank * ratio.denominator
    sinc = torchaudio.functional.functional
    kernel, reach = sinc._get_sinc_resample_kernel(
        over,
        under,
        1,
        width,
        rolloff,
        "sinc_interp_kaiser",
        14.769656459379492,
        waveform.device,
        waveform.dtype,
    )
    return sinc._apply_sinc_resample_kernel(waveform, over, under, 1, kernel, reach)


def band_pass(waveform: Tensor, rate: int, low_hz: float, high_hz: float) -> Tensor:
    """Zero-phase band-pass with half-cosine edges, (samples,) -> (samples,); removes DC too."""
    edge_hz = (min(low_hz, 30.0), 150.0)
    # Zeros at the end keep the tail from wrapping round; a length of small factors keeps it fast.
    padded = math.ceil((len(waveform) + rate / 10) / 4096) * 4096
    spectrum = torch.fft.rfft(waveform, n=padded)
    hz = torch.linspace(0, rate / 2, len(spectrum), device=waveform.device)
    rise = ((hz - low_hz + edge_hz[0]) / edge_hz[0]).clamp(0, 1)
    fall = ((high_hz + edge_hz[1] - hz) / edge_hz[1]).clamp(0, 1)
    gain = (0.5 - 0.5 * torch.cos(math.pi * rise)) * (0.5 - 0.5 * torch.cos(math.pi * fall))
    return torch.fft.irfft(spectrum * gain, n=padded)[: len(waveform)]


def frame_power(waveform: Tensor, window: int, hop: int) -> Tensor:
    """Mean power of each frame, (samples,) -> (frames,); frame i starts at sample ``i * hop``."""
    short = max(0, window - len(waveform))
    return pad(waveform, (0, short)).unfold(-1, window, hop).square().mean(-1)


class FrontEnd(nn.Module):
    """Recording -> clip -> pieces -> features, as its configuration declares.

    ``forward`` takes waveforms (batch, samples) and gives features (batch, bands, frames) with
    ``frames = samples // hop``, on the device where the module is.
    """

    LOUD_DB = 20.0  # frames less than this below the loudest set the level

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
        """Resamples, band-limits, levels (loud frames at RMS 1) and trims one recording.

        Raises:
            SilentAudioError: if nothing is left in the band.
        """
        c = self.config
        wave = resample(recording.waveform, recording.sample_rate, c.sample_rate)
        wave = band_pass(wave, c.sample_rate, c.low_hz, c.high_hz)
        require_sound(wave)
        power = frame_power(wave, c.window, c.hop)
        peak = power.max()
        wave = wave / power[power > peak * 10 ** (-self.LOUD_DB / 10)].mean().sqrt()
        loud = (power > peak * 10 ** (-c.trim_db / 10)).nonzero()
        margin = round(c.trim_margin * c.sample_rate)
        start = max(0, int(loud[0]) * c.hop - margin)
        end = min(len(wave), int(loud[-1]) * c.hop + c.window + margin)
        return Clip(wave[start:end], start / c.sample_rate)

    def cut(self, clip: Clip, overlap: float | None = None) -> Pieces:
        """See :func:`cry_model.frontend.cut`."""
        return cut(clip, self.config, overlap)

    def forward(self, waveforms: Tensor) -> Tensor:
        return self.look(self.mel_power(waveforms))

    def to_level(self, waveforms: Tensor) -> Tensor:
        """Each of (batch, samples) with its loud frames at RMS 1; digital silence stays."""
        c = self.config
        power = waveforms.unfold(-1, c.window, c.hop).square().mean(-1, keepdim=True)
        loudness = self._loudness(power.transpose(-1, -2)).squeeze(-1)
        return waveforms / loudness.sqrt()

    def mel_power(self, waveforms: Tensor) -> Tensor:
        """Power in each mel band, (..., samples) -> (..., bands, samples // hop)."""
        return self.spectrogram(waveforms)[..., : waveforms.shape[-1] // self.config.hop]

    def look(self, power: Tensor) -> Tensor:
        """Return what the model gets of pieces cut out of :meth:`mel_power`, (..., bands,
        frames)."""
        if self.config.level == "piece":
            power = power / self._loudness(power)
        floored = power.clamp_min(10 ** (self.config.floor_db / 10))
        if self.pcen is not None:
            return self.with_deltas(self.pcen(floored))
        features = (10 * floored.log10() - self.config.floor_db) / 20  # 0 is the floor
        return self.with_deltas(features if self.dct is None else self.dct @ features)

    def with_deltas(self, features: Tensor) -> Tensor:
        """Return the bands around zero, then their differences over time, (..., bands, frames)."""
        orders = [features - self.config.centre]
        for _ in range(self.config.deltas):
            orders.append(torchaudio.functional.compute_deltas(orders[-1]))
        return torch.cat(orders, dim=-2)

    def _loudness(self, power: Tensor) -> Tensor:
        """Mean power of the loud frames of each piece, (..., 1, 1); 1 for digital silence."""
        frames = power.mean(-2, keepdim=True)
        peak = frames.amax(-1, keepdim=True)
        loud = (frames >= peak * 10 ** (-self.LOUD_DB / 10)).to(power.dtype)
        loudness = (frames * loud).sum(-1, keepdim=True) / loud.sum(-1, keepdim=True)
        return torch.where(peak > 0, loudness, 1.0)
