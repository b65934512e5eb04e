"""The rolling spectrogram: of every chunk only the new columns are computed."""

from __future__ import annotations

import librosa
import numpy as np
from numpy.typing import NDArray

from analysis.live.stream import KEPT, RATE, Rolling

BANDS = 64
LOW_HZ, HIGH_HZ = 60, RATE / 2
HOP, FFT = 500, 1024  # 31 and 64 ms; eight columns a look
COLUMNS = KEPT // HOP
NOTHING_DB = -120.0


class RollingSpectrogram:
    """Mel spectrogram in dB of the last 12 s; ``columns.values`` is (bands, columns).

    A sine at full scale has about 0 dB. A column stands for the window that ends with it, so that
    the newest sound is on the screen at once and not half a window later.
    """

    def __init__(self) -> None:
        self.columns = Rolling((BANDS, COLUMNS), NOTHING_DB)
        self._tail = np.zeros(FFT - HOP, np.float32)
        self._window = np.hanning(FFT + 1)[:-1].astype(np.float32)
        self._mel = librosa.filters.mel(
            sr=RATE, n_fft=FFT, n_mels=BANDS, fmin=LOW_HZ, fmax=HIGH_HZ, norm=None
        )

    def push(self, samples: NDArray[np.float32]) -> None:
        """Adds (samples,) at 16 kHz, a whole number of hops."""
        wave = np.concatenate([self._tail, samples])
        self._tail = wave[-len(self._tail) :].copy()
        frames = np.lib.stride_tricks.sliding_window_view(wave, FFT)[::HOP] * self._window
        power = np.abs(np.fft.rfft(frames, axis=-1) / (FFT / 4)) ** 2
        self.columns.push(10 * np.log10(np.maximum(self._mel @ power.T, 1e-12)))

    def clear(self) -> None:
        """Forgets what was heard."""
        self.columns.clear()
        self._tail.fill(0)


def place(hz: float) -> float:
    """Where a frequency lies on the picture's axis: 0 at the bottom, 1 at the top."""
    low, at, high = librosa.hz_to_mel([LOW_HZ, hz, HIGH_HZ])
    return float((at - low) / (high - low))
