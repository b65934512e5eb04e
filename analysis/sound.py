"""Turn a recording into the data of its figures, which can no longer be played."""

from __future__ import annotations

from dataclasses import dataclass

import librosa
import numpy as np
from numpy.typing import NDArray

from cry_model.sound.audio import Recording
from cry_model.sound.frontend import resample

BANDS = 96
COLUMNS = 900  # more than a screen can show would only add bytes
RANGE_DB = 70
TOP_HZ = 8000


@dataclass(frozen=True, eq=False)  # == on arrays gives no bool
class Spectrogram:
    """Store decibels (bands, columns) relative to the peak, times (columns,) in s, hz (bands,)."""

    decibels: NDArray[np.int8]
    times: NDArray[np.float64]
    hz: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Envelope:
    """Store the minimum and maximum sample of each column, and its time in s; each (columns,)."""

    times: NDArray[np.float64]
    low: NDArray[np.float32]
    high: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Display:
    """Store what is drawn of a recording of ``duration`` seconds; it cannot be played."""

    duration: float
    spectrogram: Spectrogram
    envelope: Envelope


def compute_display(recording: Recording) -> Display:
    """Compute what the page keeps of a recording, to redraw it with another model's answer."""
    return Display(recording.duration, mel_spectrogram(recording), envelope(recording))


def mel_spectrogram(recording: Recording) -> Spectrogram:
    """Compute a mel spectrogram up to 8 kHz, whatever band the models use."""
    rate = min(recording.sample_rate, 2 * TOP_HZ)
    wave = resample(recording.waveform, recording.sample_rate, rate).numpy()
    window = 2 ** round(np.log2(0.046 * rate))
    # Frames cover a long recording completely, with a hop of at most a quarter window; each column
    # then shows the loudest of its frames.
    hop = min(window // 4, max(window // 8, -(-len(wave) // COLUMNS)))
    top = rate / 2
    power = librosa.feature.melspectrogram(
        y=wave, sr=rate, n_fft=window, hop_length=hop, n_mels=BANDS, fmin=60, fmax=top
    )
    step = -(-power.shape[1] // COLUMNS)
    power = np.pad(power, ((0, 0), (0, -power.shape[1] % step)))
    power = power.reshape(BANDS, -1, step).max(2)
    decibels = librosa.power_to_db(power, ref=np.max, top_db=RANGE_DB)
    return Spectrogram(
        decibels.round().astype(np.int8),
        (np.arange(power.shape[1]) * step * hop / rate).round(3),
        librosa.mel_frequencies(BANDS + 2, fmin=60, fmax=top)[1:-1].round(1),
    )


def envelope(recording: Recording) -> Envelope:
    """Compute the minimum and maximum of the waveform in each column."""
    wave = recording.waveform.numpy()
    step = max(1, -(-len(wave) // COLUMNS))
    whole = np.pad(wave, (0, -len(wave) % step), mode="edge").reshape(-1, step)
    times = np.arange(len(whole)) * step / recording.sample_rate
    return Envelope(times.round(4), whole.min(1).round(4), whole.max(1).round(4))
