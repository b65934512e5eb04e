"""What the tests of ``cry_model.audio`` share."""

from __future__ import annotations

import re
import struct

import numpy as np
import pytest
import torch

from cry_model import audio
from tests.cry_model.encode import tone, with_soundfile

RATE = 16_000


def level(waveform: np.ndarray) -> float:
    """RMS in dB of the middle, where no codec fades in or out."""
    quarter = len(waveform) // 4
    return 10 * np.log10(np.mean(waveform[quarter:-quarter] ** 2))


def loudest_frequency(waveform: np.ndarray, rate: int) -> float:
    spectrum = np.abs(np.fft.rfft(waveform * np.hanning(len(waveform))))
    return np.argmax(spectrum) * rate / len(waveform)


def assert_is_tone(recording: audio.Recording, rate: int, seconds: float = 1.0) -> None:
    waveform = recording.waveform.numpy()
    assert recording.sample_rate == rate
    assert recording.waveform.dtype == torch.float32
    assert recording.waveform.ndim == 1
    assert recording.duration == len(waveform) / rate
    # AAC and mp3 come in frames, of up to 1,152 samples.
    assert seconds - 0.001 <= recording.duration <= seconds + 2 * 1152 / rate
    assert loudest_frequency(waveform, rate) == pytest.approx(440, abs=2)
    assert level(waveform) == pytest.approx(level(tone(rate)[:, 0]), abs=1)


def wav_with_length(length: int, seconds: float = 1.0) -> bytes:
    """A wav whose header states ``length`` bytes of samples."""
    data = with_soundfile(tone(RATE, seconds), RATE)
    return data[:40] + struct.pack("<I", length) + data[44:]


def assert_is_for_a_parent(error: audio.AudioError) -> None:
    message = str(error)
    assert re.fullmatch(r"[A-Z][^/\\\n_]{20,110}\.", message)
    assert ". " not in message
    assert "Traceback" not in message
    assert not re.search("ffmpeg|libsndfile|numpy|torch|tensor|dtype|Error|tmp", message, re.I)
    # A log of the error shows no other error, whose message could hold a path.
    assert error.__cause__ is None
    assert error.__context__ is None or error.__suppress_context__
