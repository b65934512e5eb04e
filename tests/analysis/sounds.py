"""Recordings in which the stand-in detector hears cries where the tests put them."""

import numpy as np
import soundfile

from tests.stand_ins import hum

RATE = 16_000


def cry(seconds, rate=RATE, hz=700.0):
    """A tone with overtones, (samples,)."""
    t = np.arange(round(seconds * rate)) / rate
    phase = 2 * np.pi * hz * t + 3 * np.sin(2 * np.pi * t)
    return 0.2 * sum(np.sin(k * phase) / k for k in (1, 2, 3))


def scene(*lengths, rate=RATE):
    """Hum and cry by turns, in seconds, hum first."""
    kinds = (hum, cry)
    return np.concatenate([kinds[i % 2](seconds, rate) for i, seconds in enumerate(lengths)])


def write(path, wave, rate=RATE):
    """Writes a wav file, and gives its path."""
    soundfile.write(path, wave, rate)
    return path
