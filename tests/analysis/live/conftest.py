"""Provide a fake detector and classifier of tones, so that the expected result is known."""

from dataclasses import dataclass, field

import numpy as np
import pytest

from analysis.live.listener import Listener
from cry_model.networks.attention import AttentionMaps
from cry_model.prediction import Prediction
from cry_model.sound.audio import load

CRY_HZ, OTHER_HZ = 1000, 300


class Detector:
    """Score a cry by the share of power within 100 Hz of 1 kHz, reduced for low levels."""

    threshold, maybe = 0.5, 0.45
    window_seconds = 2.0

    def probability(self, waveform, sample_rate):
        wave = waveform.numpy()
        if np.abs(wave).max() < 1e-3:
            return 0.0
        power = np.abs(np.fft.rfft(wave)) ** 2
        hz = np.fft.rfftfreq(len(wave), 1 / sample_rate)
        return float(power[abs(hz - CRY_HZ) < 100].sum() / power.sum() * (wave**2).mean() ** 0.1)


@dataclass
class Reasons:
    """Return fixed probabilities and the input's duration; record the durations in ``asked``."""

    asked: list = field(default_factory=list)

    def predict(self, samples, rate):
        recording = load(samples, rate)
        self.asked.append(recording.duration)
        shares = {"hungry": 0.7, "tired": 0.2, "belly_pain": 0.1}
        return Prediction(shares, (), "x", recording.duration, 0.02, AttentionMaps())


def sound(*parts, rate=16000):
    """Return tones, given as (Hz, seconds), one after the other; 0 Hz is silence."""
    return np.concatenate(
        [0.5 * np.sin(2 * np.pi * hz * np.arange(round(s * rate)) / rate) for hz, s in parts]
    ).astype("f4")


def story(rate=16000):
    """Return 2 s of silence, then cry, silence, another sound, silence, cry, silence."""
    pause = (0, 4)
    heard = (CRY_HZ, 5), pause, (OTHER_HZ, 4), pause, (CRY_HZ, 3), pause
    return sound((0, 2), *heard, rate=rate)


KINDS = ["cry", "sound", "cry"]
A_CRY = sound((0, 2), (CRY_HZ, 4))


def samples(wave):
    """Convert (samples,) in [-1, 1] to 16 bits, as the page sends them."""
    return (32767 * wave).astype("<i2")


def feed(listener, wave, rate=16000, seconds=0.25):
    step = round(seconds * rate)
    for i in range(0, len(wave), step):
        listener.hear(samples(wave[i : i + step]), rate)


@pytest.fixture
def listener():
    return Listener(Detector(), Reasons())
