"""Join a microphone's chunks into one stream at 16 kHz, of which the last seconds are kept."""

from __future__ import annotations

import math
from fractions import Fraction

import librosa
import numpy as np
import torch
from numpy.typing import NDArray

from cry_model.sound import audio
from cry_model.sound.frontend import resample

RATE = 16_000  # Hz, of everything that is kept; no bundled model hears above 8 kHz
SCORE_HOP = RATE // 4  # samples from one score of the cry detector to the next
KEPT = 12 * RATE  # samples
MARGIN = 0.0085  # s: how far the resampler reaches, at the lowest rate that is accepted


class Rolling:
    """Keep the last values of a stream, newest last, in an array that never grows.

    Args:
        shape: (..., capacity).
        fill: what stands where nothing was heard yet.
    """

    def __init__(self, shape: tuple[int, ...], fill: float = 0.0):
        self.fill = fill
        self.values: NDArray[np.float32] = np.full(shape, fill, np.float32)

    def push(self, new: NDArray) -> None:
        """Append (..., n); what no longer fits falls out at the other end."""
        new = new[..., -self.values.shape[-1] :]
        if not (count := new.shape[-1]):
            return
        self.values[..., :-count] = self.values[..., count:]
        self.values[..., -count:] = new

    def clear(self) -> None:
        """Reset to the beginning."""
        self.values.fill(self.fill)


class Resampler:
    """Resample chunks to the same samples that the whole at once would give.

    It holds back the last milliseconds, which the filter cannot know yet, so no chunk's edge is
    heard.

    Args:
        rate: Hz of the chunks.

    Raises:
        SampleRateError: if no recorder has this rate.
    """

    def __init__(self, rate: int):
        if not audio.MIN_RATE <= rate <= audio.MAX_RATE:
            raise audio.SampleRateError(
                f"The microphone's rate of {rate:g} Hz is out of reach; please use another one."
            )
        self.rate = int(rate)
        ratio = Fraction(self.rate, RATE).limit_denominator(1000)  # as resample() rounds it
        self.taken, self.given = ratio.numerator, ratio.denominator
        self.margin = math.ceil(MARGIN * RATE / self.given)  # blocks
        self.raw = np.zeros(self.margin * self.taken, np.float32)

    def __call__(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return (samples,) at ``rate`` -> as many at 16 kHz as can be known."""
        if self.rate == RATE:
            return samples
        self.raw = np.concatenate([self.raw, samples])
        blocks = len(self.raw) // self.taken - 2 * self.margin
        if blocks <= 0:
            return np.zeros(0, np.float32)
        span = (blocks + 2 * self.margin) * self.taken
        wave = resample(torch.from_numpy(self.raw[:span]), self.rate, RATE).numpy()
        self.raw = self.raw[blocks * self.taken :].copy()
        return wave[self.margin * self.given : (self.margin + blocks) * self.given]


BANDS = 64
LOW_HZ, HIGH_HZ = 60, RATE / 2
HOP, FFT = 500, 1024  # 31 and 64 ms; eight columns a score
COLUMNS = KEPT // HOP
NOTHING_DB = -120.0


class RollingSpectrogram:
    """Compute the mel spectrogram in dB of the last 12 s; ``columns.values`` is (bands, columns).

    A sine at full scale has about 0 dB. A column stands for the window that ends with it, so that
    the newest sound is on the screen at once and not half a window later.
    """

    def __init__(self) -> None:
        self.columns = Rolling((BANDS, COLUMNS), NOTHING_DB)
        self._tail = np.zeros(FFT - HOP, np.float32)

    def push(self, samples: NDArray[np.float32]) -> None:
        """Add (samples,) at 16 kHz, a whole number of hops."""
        wave = np.concatenate([self._tail, samples])
        self._tail = wave[-len(self._tail) :].copy()
        power = librosa.feature.melspectrogram(
            y=wave, sr=RATE, n_fft=FFT, hop_length=HOP, center=False,
            n_mels=BANDS, fmin=LOW_HZ, fmax=HIGH_HZ, norm=None,
        )  # fmt: skip
        self.columns.push(librosa.power_to_db(power / (FFT / 4) ** 2, amin=1e-12, top_db=None))

    def clear(self) -> None:
        """Forget what was heard."""
        self.columns.clear()
        self._tail.fill(0)


def place(hz: float) -> float:
    """Return where a frequency lies on the picture's axis: 0 at the bottom, 1 at the top."""
    low, at, high = librosa.hz_to_mel([LOW_HZ, hz, HIGH_HZ])
    return float((at - low) / (high - low))
