"""Sounds that are no cry, made by formulas: what a microphone hears in a home.

None of them copies a recording. Sirens, mews, laughter and birds are made because they are high,
harmonic and rising and falling, as a cry is; the others because every recording has some of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray
from scipy import signal

RATE = 16_000  # Hz
SECONDS = 6.0
Array = NDArray[np.float64]
Rng = np.random.Generator


def make_sound(kind: str, number: int) -> NDArray[np.float32]:
    """Return the sound (samples,) at :data:`RATE` that a kind and a number stand for, peak at 0.5.

    Raises:
        ValueError: if there is no such kind.
    """
    if kind not in KINDS:
        raise ValueError(f"There is no sound '{kind}'; there are: {', '.join(KINDS)}.")
    rng = np.random.default_rng([list(KINDS).index(kind), number])
    wave = KINDS[kind](rng) + 10 ** rng.uniform(-4, -2) * _noise(rng, rng.uniform(0, 2))
    return (0.5 * wave / np.abs(wave).max()).astype(np.float32)


def _times() -> Array:
    return np.arange(int(SECONDS * RATE)) / RATE


def _noise(rng: Rng, slope: float) -> Array:
    """Noise whose power falls as 1 / f^slope, peak near 1."""
    spectrum = np.fft.rfft(rng.standard_normal(int(SECONDS * RATE)))
    spectrum *= np.maximum(np.arange(len(spectrum)), 30.0) ** (-slope / 2)
    wave = np.fft.irfft(spectrum, n=int(SECONDS * RATE))
    return wave / np.abs(wave).max()


def _harmonics(hz: Array, weights: Array) -> Array:
    """Return a tone of this pitch (samples,) Hz with partials of these weights, none above 7
    kHz."""
    phase = 2 * np.pi * np.cumsum(hz) / RATE
    return sum(
        w * np.sin(k * phase) * (k * hz < 7000) for k, w in enumerate(weights.tolist(), start=1)
    )


def _bumps(rng: Rng, rate_hz: float, length_s: float, regular: float = 0.7) -> Array:
    """Return a loudness curve (samples,) of syllables: so many a second, each about so long."""
    t, curve, at = _times(), np.zeros(int(SECONDS * RATE)), rng.uniform(0, 0.3)
    while at < SECONDS:
        length = length_s * rng.uniform(regular, 2 - regular)
        u = np.clip((t - at) / length, 0, 1)
        curve = np.maximum(curve, rng.uniform(0.5, 1) * np.sin(np.pi * u) ** 0.7)
        at += rng.uniform(regular, 2 - regular) / rate_hz
    return curve


def _smooth(rng: Rng, rate_hz: float) -> Array:
    """Return a random curve (samples,) between -1 and 1 with a turn about ``rate_hz`` times a
    second."""
    points = rng.uniform(-1, 1, max(4, int(SECONDS * rate_hz) + 3))
    at = np.linspace(0, len(points) - 1, int(SECONDS * RATE))
    return np.interp(at, np.arange(len(points)), points)


def _formants(wave: Array, centres: tuple[float, ...], width: float) -> Array:
    """Return the wave through resonances, side by side."""
    total = np.zeros_like(wave)
    for order, hz in enumerate(centres):
        low, high = hz / (1 + width), min(hz * (1 + width), 0.49 * RATE)
        band = signal.butter(2, (low, high), "bandpass", fs=RATE, output="sos")
        total += 0.6**order * signal.sosfilt(band, wave)
    return total


def _fan(rng: Rng) -> Array:
    """Even noise: a fan, a shower, an untuned radio."""
    return _noise(rng, rng.uniform(0, 2)) * (1 + 0.3 * _smooth(rng, 0.5))


def _hum(rng: Rng) -> Array:
    """Mains hum and its overtones."""
    hz = np.full(int(SECONDS * RATE), rng.choice([50.0, 60.0, 100.0, 120.0]))
    return _harmonics(hz, rng.uniform(0, 1, 20) / np.arange(1, 21) ** rng.uniform(0, 1.5))


def _room(rng: Rng) -> Array:
    """Return the tone of a quiet room with a rustle now and then."""
    rustle = _noise(rng, rng.uniform(0, 1)) * _bumps(rng, rng.uniform(0.2, 1.5), 0.15) ** 3
    return _noise(rng, rng.uniform(1, 2)) + rng.uniform(0, 1.5) * rustle


def _music(rng: Rng) -> Array:
    """Return a tune of struck or blown tones, sometimes with a chord below."""
    t, wave, at = _times(), np.zeros(int(SECONDS * RATE)), 0.0
    weights = rng.uniform(0.2, 1, 8) / np.arange(1, 9) ** rng.uniform(0.5, 2)
    root, decay, step = rng.uniform(130, 700), rng.uniform(0.2, 6), rng.uniform(0.15, 0.8)
    while at < SECONDS:
        for _ in range(rng.integers(1, 4)):
            hz = root * 2 ** (rng.choice([0, 2, 4, 5, 7, 9, 12]) / 12)
            u = np.clip(t - at, 0, None)
            tone = _harmonics(np.full(len(t), hz), weights) * np.exp(-decay * u)
            wave += tone * np.clip(u / 0.01, 0, 1)
        at += step * rng.choice([0.5, 1, 1, 2])
    return wave


def _siren(rng: Rng) -> Array:
    """Return a siren: a tone with overtones that sweeps or steps between two pitches."""
    low, octaves = rng.uniform(300, 900), rng.uniform(0.2, 1.3)
    cycle = 2 * np.pi * rng.uniform(0.2, 4) * _times() + rng.uniform(0, 6)
    course = rng.choice([np.sin, signal.square, lambda x: signal.sawtooth(x, 0.7)])(cycle)
    hz = low * 2 ** (octaves * (0.5 + 0.5 * course))
    return _harmonics(hz, rng.uniform(0.2, 1, 6) / np.arange(1, 7) ** rng.uniform(0.5, 2))


def _beeps(rng: Rng) -> Array:
    """Alarm clock, telephone, toy: tones that are switched on and off."""
    t, period = _times(), rng.uniform(0.1, 1.2)
    on = ((t / period) % 1 < rng.uniform(0.2, 0.8)).astype(float)
    on = np.convolve(on, np.ones(80) / 80, "same")
    hz = rng.uniform(350, 3200) * 2 ** (np.floor(2 * t / period) % 2 * rng.choice([0, 0.25, 0.5]))
    return on * _harmonics(hz, np.array([1, rng.uniform(0, 0.6), rng.uniform(0, 0.5)]))


def _mew(rng: Rng) -> Array:
    """Return a cat: calls that glide up and down, with a mouth that opens and closes."""
    t, wave, at = _times(), np.zeros(int(SECONDS * RATE)), rng.uniform(0, 0.5)
    pitch, tract = rng.uniform(350, 800), rng.uniform(0.8, 1.3)
    while at < SECONDS:
        length = rng.uniform(0.3, 1.3)
        u = np.clip((t - at) / length, 0, 1)
        hz = pitch * 2 ** (rng.uniform(0.1, 0.7) * np.sin(np.pi * u**0.6) - 0.2 * u)
        call = _harmonics(hz, np.ones(12) / np.arange(1, 13) ** 0.7) * np.sin(np.pi * u) ** 0.6
        vowel = _formants(call, (1700 * tract, 2800 * tract), 0.25)
        opened = _formants(call, (1000 * tract, 2000 * tract), 0.25)
        wave += vowel * (1 - u) + opened * u
        at += length + rng.uniform(0.2, 2.5)
    return wave


def _laughter(rng: Rng) -> Array:
    """Voiced bursts, four to six a second, that sink in pitch: an adult or a child."""
    hz = rng.uniform(180, 600) * 2 ** (0.25 * _smooth(rng, 1) + 0.15 * _smooth(rng, 5))
    voice = _harmonics(hz, np.ones(14) / np.arange(1, 15)) + rng.uniform(0.1, 0.5) * _noise(rng, 0)
    bursts = _bumps(rng, rng.uniform(3.5, 6), rng.uniform(0.08, 0.14), 0.85)
    phrase = (_smooth(rng, 0.7) > -0.4).astype(float)
    tract = rng.uniform(0.9, 1.4)
    return _formants(voice, (750 * tract, 1300 * tract, 2700 * tract), 0.2) * bursts * phrase


def _babble(rng: Rng) -> Array:
    """Return a voice that talks without words: syllables of changing pitch and vowel, low to
    high."""
    hz = rng.uniform(90, 380) * 2 ** (0.3 * _smooth(rng, 2) + 0.1 * _smooth(rng, 6))
    voice = _harmonics(hz, np.ones(20) / np.arange(1, 21))
    tract = rng.uniform(0.9, 1.4)
    syllables = _bumps(rng, rng.uniform(2.5, 5), rng.uniform(0.12, 0.25))
    vowels = [(300, 2300, 3000), (700, 1200, 2600), (350, 800, 2500), (500, 1800, 2500)]
    wave = np.zeros_like(hz)
    for vowel in vowels:
        share = np.clip(_smooth(rng, 4), 0, 1)
        wave += share * _formants(voice, tuple(f * tract for f in vowel), 0.12)
    hiss = signal.sosfilt(signal.butter(2, 3000, "high", fs=RATE, output="sos"), _noise(rng, 0))
    return wave / np.abs(wave).max() * syllables + 0.1 * hiss * _bumps(rng, 2, 0.08)


def _bird(rng: Rng) -> Array:
    """Birds: short whistles that slide."""
    hz = rng.uniform(1500, 3500) * 2 ** (0.4 * _smooth(rng, rng.uniform(3, 12)))
    return _harmonics(hz, np.array([1, 0.2])) * _bumps(rng, rng.uniform(1, 7), 0.1)


def _bang(rng: Rng) -> Array:
    """Doors, steps, dishes: blows that ring briefly."""
    t, wave = _times(), np.zeros(int(SECONDS * RATE))
    for _ in range(rng.integers(2, 16)):
        u = np.clip(t - rng.uniform(0, SECONDS), 0, None)
        ring = np.exp(-rng.uniform(8, 80) * u) * (u > 0)
        tones = sum(np.sin(2 * np.pi * rng.uniform(80, 3300) * u) for _ in range(4))
        wave += rng.uniform(0.2, 1) * ring * (tones + 3 * rng.uniform() * _noise(rng, 1))
    return wave


def _engine(rng: Rng) -> Array:
    """Motors: many overtones of a low pitch, pulsing, in noise."""
    hz = rng.uniform(25, 160) * 2 ** (rng.uniform(0, 0.6) * _smooth(rng, 0.5))
    wave = _harmonics(hz, rng.uniform(0, 1, 30) / np.arange(1, 31) ** rng.uniform(0, 1))
    wave = wave / np.abs(wave).max() + rng.uniform(0.1, 1) * _noise(rng, rng.uniform(0, 1))
    return wave * (1 + 0.5 * np.sin(2 * np.pi * rng.uniform(2, 25) * _times()))


KINDS: Mapping[str, Callable[[Rng], Array]] = {
    "fan": _fan,
    "hum": _hum,
    "room": _room,
    "music": _music,
    "siren": _siren,
    "beeps": _beeps,
    "mew": _mew,
    "laughter": _laughter,
    "babble": _babble,
    "bird": _bird,
    "bang": _bang,
    "engine": _engine,
}
"""By name; a number gives each a pitch, a rhythm and a loudness of its own."""
