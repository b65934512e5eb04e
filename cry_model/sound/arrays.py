"""Prepare recordings as the front end and the detector do, in NumPy, without torch.

For small computers without torch, this precedes the exported graphs, which compute the features.
tests/cry_model/test_onnx.py checks that both ways agree.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

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

Array = NDArray[np.float32]
ROWS = 4096  # per matrix product
HUM_HZ = (50, 60, 100, 120, 150, 180, 200, 240)  # mains frequencies and harmonics, below any cry
HUM_WIDTH, HUM_EDGE = 1.0, 2.0  # Hz to either side: stop band, transition to full gain


@lru_cache(8)  # computing a bank takes as long as convolving with it
def _sinc_bank(over: int, under: int, width: int, rolloff: float) -> tuple[Array, int]:
    """Return the filters, (taps, under), and the number of samples that they reach back.

    Source: ``torchaudio.functional.resample`` with a Kaiser window.
    """
    base = min(over, under) * rolloff
    reach = math.ceil(width * over / base)
    place = np.arange(-reach, reach + over)[:, None] / over - np.arange(under) / under
    t = np.clip(place * base, -width, width)
    window = np.i0(BETA * np.sqrt(1 - (t / width) ** 2)) / np.i0(BETA)
    return (np.sinc(t) * window * (base / over)).astype(np.float32), reach


def resample(
    wave: Array, rate: int, target: int, width: int = 64, rolloff: float = CUT_OFF
) -> Array:
    """Resample (samples,) as :func:`cry_model.sound.frontend.resample` does."""
    if rate == target:
        return wave
    over, under = filter_bank(rate, target)
    filters, reach = _sinc_bank(over, under, width, rolloff)
    padded = np.pad(wave, (reach, reach + over))
    frames = sliding_window_view(padded, len(filters))[::over]
    starts = range(0, len(frames), ROWS)
    found = [np.ascontiguousarray(frames[i : i + ROWS]) @ filters for i in starts]
    return np.concatenate(found).reshape(-1)[: math.ceil(under * len(wave) / over)]


def band_pass(wave: Array, rate: int, low_hz: float, high_hz: float) -> Array:
    """Band-limit (samples,) as :func:`cry_model.sound.frontend.band_pass` does."""
    edge_hz = (min(low_hz, 30.0), 150.0)
    padded = math.ceil((len(wave) + rate / 10) / 4096) * 4096
    spectrum = np.fft.rfft(wave, padded)
    hz = np.linspace(0, rate / 2, len(spectrum))
    rise = np.clip((hz - low_hz + edge_hz[0]) / edge_hz[0], 0, 1)
    fall = np.clip((high_hz + edge_hz[1] - hz) / edge_hz[1], 0, 1)
    spectrum *= (0.5 - 0.5 * np.cos(math.pi * rise)) * (0.5 - 0.5 * np.cos(math.pi * fall))
    return np.fft.irfft(spectrum, padded)[: len(wave)].astype(np.float32)


def without_hum(wave: Array, rate: int) -> Array:
    """Remove mains hum from (samples,) by a zero-phase notch at each of ``HUM_HZ``.

    A high-pass would leave bands emptier than in the detector's training data, and did worse.
    """
    padded = math.ceil((len(wave) + rate / 2) / 4096) * 4096  # as in band_pass
    spectrum = np.fft.rfft(wave, padded)
    low = spectrum[: math.ceil((HUM_HZ[-1] + HUM_WIDTH + HUM_EDGE) / rate * padded)]
    hz = np.arange(len(low)) * (rate / padded)
    distance = abs(hz[:, None] - np.array(HUM_HZ)).min(1)
    low *= 0.5 - 0.5 * np.cos(math.pi * np.clip((distance - HUM_WIDTH) / HUM_EDGE, 0, 1))
    return np.fft.irfft(spectrum, padded)[: len(wave)].astype(np.float32)


class ArrayFrontEnd:
    """Recording -> clip, as :class:`cry_model.FrontEnd`, on arrays throughout."""

    def __init__(self, config: FrontEndConfig):
        self.config = config

    def prepare(self, recording: Recording) -> Clip:
        """Resample, band-limit, normalise in level and trim one recording; raise SilentAudioError
        if nothing is left in the band."""
        c = self.config
        wave = resample(recording.waveform, recording.sample_rate, c.sample_rate)
        wave = band_pass(wave, c.sample_rate, c.low_hz, c.high_hz)
        require_sound(wave)
        padded = np.pad(wave, (0, max(0, c.window - len(wave))))
        power = np.square(sliding_window_view(padded, c.window)[:: c.hop]).mean(-1)
        peak = power.max()
        wave = wave / np.sqrt(power[power > peak * 10 ** (-LOUD_DB / 10)].mean())
        (loud,) = (power > peak * 10 ** (-c.trim_db / 10)).nonzero()
        return trimmed(wave, int(loud[0]), int(loud[-1]), c)
