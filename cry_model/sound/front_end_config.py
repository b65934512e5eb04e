"""Configure a front end, as saved with each checkpoint, and cut recordings accordingly.

Needs no torch: pieces are tensors, or arrays if the clip is one.
"""

from __future__ import annotations

import dataclasses
import math
from fractions import Fraction
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from pydantic.dataclasses import dataclass

from cry_model.declared import STRICT, plain, require

if TYPE_CHECKING:
    from torch import Tensor


@plain
@dataclass(frozen=True, config=STRICT)
class FrontEndConfig:
    """Settings of a front end.

    Attributes:
        kind: "log-mel", "mfcc" or "pcen" (:mod:`cry_model.sound.frontend`).
        num_bands: rows of the features: mel bands or cepstral coefficients, and their deltas.
        num_filters: number of mel filters; except for "mfcc", that of the bands without the deltas.
        deltas: orders of time differences appended to the bands, 0, 1 or 2.
        sample_rate: Hz; every recording is resampled to it.
        low_hz, high_hz: pass band. For an 8 kHz source that was resampled earlier, soxr, FFmpeg and
            SciPy agree within 0.1 dB up to 3.4 kHz, but no longer at 3.6 kHz.
        window, hop, fft: samples; 40 ms, 20 ms and 64 ms at 8 kHz.
        level: scope of level normalisation to the loud frames: the whole "recording", or each
            "piece" again, so that a bang does not mask a faint cry.
        floor_db: log floor, relative to the level of the loud frames.
        centre: constant subtracted from the features, so that they lie around zero.
        trim_db: leading and trailing frames this far below the loudest are trimmed.
        trim_margin: seconds kept on either side of the loud part.
        piece_seconds: length of a piece; a shorter recording is one piece.
        min_seconds: a shorter recording is repeated up to this length.
        overlap: minimum overlap of neighbouring pieces, as a share of their length.

    Raises:
        ValueError: if a value is out of range, or the values do not fit together.
    """

    kind: Literal["log-mel", "mfcc", "pcen"] = "log-mel"
    num_bands: Annotated[int, Field(ge=1, le=1024)] = 64
    num_filters: Annotated[int, Field(ge=1, le=512)] = 64
    deltas: Annotated[int, Field(ge=0, le=2)] = 0
    sample_rate: Annotated[int, Field(ge=4000, le=48_000)] = 8000
    low_hz: Annotated[float, Field(ge=1, le=24_000)] = 50.0
    high_hz: Annotated[float, Field(ge=1, le=24_000)] = 3400.0
    window: Annotated[int, Field(ge=16, le=4096)] = 320
    hop: Annotated[int, Field(ge=16, le=4096)] = 160
    fft: Annotated[int, Field(ge=16, le=4096)] = 512
    level: Literal["recording", "piece"] = "recording"
    floor_db: Annotated[float, Field(ge=-200, le=0)] = -40.0
    centre: Annotated[float, Field(ge=-100, le=100)] = 0.0
    trim_db: Annotated[float, Field(ge=1, le=200)] = 40.0
    trim_margin: Annotated[float, Field(ge=0, le=10)] = 0.1
    piece_seconds: Annotated[float, Field(ge=0.1, le=60)] = 5.0
    min_seconds: Annotated[float, Field(ge=0.1, le=60)] = 3.0
    overlap: Annotated[float, Field(ge=0, le=0.95)] = 0.5

    MOST_FRAMES = 4096  # of a piece: PCEN's memory is quadratic in it

    def __post_init__(self):
        shortest, rows = self.min_seconds * self.sample_rate, self.num_bands // (1 + self.deltas)
        for holds, sentence in (
            (self.low_hz < self.high_hz, "low_hz must be below high_hz"),
            (2 * self.high_hz <= self.sample_rate, "high_hz must be <= sample_rate / 2"),
            (self.hop <= self.window <= self.fft, "must have hop <= window <= fft"),
            (0.0025 <= self.hop_seconds <= 0.25, "a hop must last 0.0025 to 0.25 s"),
            (self.fft <= shortest, "min_seconds must not be shorter than fft"),
            (self.min_seconds <= self.piece_seconds, "min_seconds must be <= piece_seconds"),
            (
                self.piece_seconds <= self.MOST_FRAMES * self.hop_seconds,
                f"piece_seconds must be at most {self.MOST_FRAMES} hops",
            ),
            (not self.num_bands % (1 + self.deltas), "1 + deltas must divide num_bands"),
            (
                rows == self.num_filters or (self.kind == "mfcc" and rows < self.num_filters),
                "num_bands / (1 + deltas) must equal num_filters, or for mfcc be less",
            ),
        ):
            require(holds, sentence)

    @property
    def hop_seconds(self) -> float:
        """Seconds from one frame to the next."""
        return self.hop / self.sample_rate

    @property
    def band_hz(self) -> NDArray[np.float64]:
        """Centre frequency of each mel band in Hz, (num_filters,); empty for cepstral features."""
        if self.kind == "mfcc":
            return np.empty(0)
        low, high = (np.log1p(hz / 700) for hz in (self.low_hz, self.high_hz))
        return 700 * np.expm1(np.linspace(low, high, self.num_filters + 2)[1:-1])


PAPER_FRONT_END = FrontEndConfig(kind="mfcc", num_bands=13, num_filters=40)
"""The paper's 13 MFCC, with its 20 ms hop."""

BETA, CUT_OFF = 14.769656459379492, 0.9475937167399596
"""Of the resampling filter: shape of its Kaiser window, cut-off as a share of half the lower rate;
together the quality of librosa's "kaiser_best"."""
LOUD_DB = 20.0  # frames within this of the loudest set the level
ACOUSTIC_RATE, ACOUSTIC_HOP = 22_050, 512  # Hz and samples, librosa's defaults
MELS, MFCC = 128, 20
FEATURES: tuple[str, ...] = (
    "chroma_stft",
    "rms",
    "spectral_centroid",
    "spectral_bandwidth",
    "rolloff",
    "zero_crossing_rate",
    *(f"mfcc{number}" for number in range(1, MFCC + 1)),
)
"""Names of the tables' columns, in their order."""


@plain
@dataclass(frozen=True, config=STRICT)
class AcousticConfig:
    """Settings of this front end; see :class:`FrontEndConfig`.

    Every recording is resampled to ``sample_rate``, so that its original rate, which correlates
    with the label, is no cue. The features themselves are computed at 22,050 Hz.
    """

    kind: Literal["acoustic"] = "acoustic"
    num_bands: Annotated[int, Field(ge=len(FEATURES), le=len(FEATURES))] = len(FEATURES)
    sample_rate: Annotated[int, Field(ge=8000, le=48_000)] = 16_000
    piece_seconds: Annotated[float, Field(ge=0.1, le=60)] = 15.0
    min_seconds: Annotated[float, Field(ge=0.1, le=60)] = 0.5
    overlap: Annotated[float, Field(ge=0, le=0.95)] = 0.5

    def __post_init__(self):
        fits = self.min_seconds <= self.piece_seconds
        require(fits, "min_seconds must be <= piece_seconds")

    low_hz: ClassVar[float] = 0.0
    hop_seconds: ClassVar[float] = ACOUSTIC_HOP / ACOUSTIC_RATE  # from one frame to the next

    @property
    def high_hz(self) -> float:
        """Upper edge of the pass band in Hz."""
        return self.sample_rate / 2


def filter_bank(rate: int, target: int) -> tuple[int, int]:
    """Return the input and output samples of each step of a resampling filter bank.

    Rates without a small common divisor would need thousands of filters; their ratio is rounded by
    less than one part in 1,000. No rate that recorders use is affected.
    """
    ratio = Fraction(rate, target).limit_denominator(1000)
    # Some 16 filters: from 16 to 8 kHz one would do, but a convolution with a single output takes
    # seven times as long.
    size = max(1, 16 // ratio.denominator)
    return size * ratio.numerator, size * ratio.denominator


AnyConfig = Annotated[FrontEndConfig | AcousticConfig, Field(discriminator="kind")]


@dataclasses.dataclass(frozen=True)
class Clip:
    """A recording at the front end's rate, (samples,), and the seconds trimmed from its start."""

    waveform: Tensor | NDArray[np.float32]
    offset: float


def trimmed(
    waveform: Tensor | NDArray[np.float32], first: int, last: int, config: FrontEndConfig
) -> Clip:
    """Trim (samples,) to its loud frames, ``first`` to ``last``, with a margin on both sides."""
    c, margin = config, round(config.trim_margin * config.sample_rate)
    start = max(0, first * c.hop - margin)
    end = min(len(waveform), last * c.hop + c.window + margin)
    return Clip(waveform[start:end], start / c.sample_rate)


@dataclasses.dataclass(frozen=True)
class Pieces:
    """A clip cut for the model: (pieces, samples), and the start of each piece in seconds.

    ``seconds`` of each piece are recording: less than its length if a short one is repeated.
    """

    waveforms: Tensor | NDArray[np.float32]
    starts: tuple[float, ...]
    seconds: float


def cut(clip: Clip, config: AnyConfig, overlap: float | None = None) -> Pieces:
    """Cut a clip into evenly spaced, overlapping pieces of equal length that cover all of it.

    A short clip is repeated; ``overlap`` overrides that of the configuration.
    """
    wave, share = clip.waveform, config.overlap if overlap is None else overlap
    rate = config.sample_rate
    length, shortest = round(config.piece_seconds * rate), round(config.min_seconds * rate)
    seconds = min(len(wave), length) / rate
    if len(wave) < shortest:
        wave = _stack([wave] * math.ceil(shortest / len(wave))).reshape(-1)[:shortest]
    if len(wave) <= length:
        return Pieces(wave[None], (clip.offset,), seconds)
    count = math.ceil((len(wave) - length) / (length * (1 - share))) + 1
    starts = np.linspace(0, len(wave) - length, count).round().astype(int).tolist()
    waveforms = _stack([wave[s : s + length] for s in starts])
    return Pieces(waveforms, tuple(clip.offset + s / rate for s in starts), seconds)


def _stack(waves: list[Tensor] | list[NDArray[np.float32]]) -> Tensor | NDArray[np.float32]:
    if isinstance(waves[0], np.ndarray):
        return np.stack(waves)
    import torch

    return torch.stack(waves)
