"""Synthesise sounds that resemble a cry, as additional negative examples for the detector.

Laughter, mews, sirens, beeps and birds are high, voiced or harmonic, and rise and fall like a cry.
Pitch, rhythm, roughness and formants vary widely around published measurements.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import signal

RATE = 16_000  # Hz
SECONDS = 6.0
Array = NDArray[np.float64]
Rng = np.random.Generator
Call = tuple[float, float, Array, float]  # start (s), length (s), pitch contour (Hz), level
VOWELS = (
    (270, 2290, 3010), (530, 1840, 2480), (660, 1720, 2410), (730, 1090, 2440), (570, 840, 2410),
    (300, 870, 2240), (640, 1190, 2390), (490, 1350, 1690),
)  # fmt: skip


def make_sound(kind: str, number: int) -> NDArray[np.float32]:
    """Synthesise sound ``number`` of a kind: (samples,) at :data:`RATE`, with peak 0.5."""
    rng = np.random.default_rng([list(KINDS).index(kind), number])
    wave = KINDS[kind](rng) + 10 ** rng.uniform(-4, -2) * noise(rng, rng.uniform(0, 2))
    return (0.5 * wave / np.abs(wave).max()).astype(np.float32)


def times() -> Array:
    """Return the time of each sample in s."""
    return np.arange(int(SECONDS * RATE)) / RATE


def noise(rng: Rng, slope: float) -> Array:
    """Return noise (samples,) with power 1 / f^slope above 5 Hz and peak 1."""
    spectrum = np.fft.rfft(rng.standard_normal(int(SECONDS * RATE)))
    spectrum *= np.maximum(np.arange(len(spectrum)), 30.0) ** (-slope / 2)
    wave = np.fft.irfft(spectrum, n=int(SECONDS * RATE))
    return wave / np.abs(wave).max()


def harmonics(hz: Array, weights: Array) -> Array:
    """Synthesise a tone of pitch ``hz`` (samples,) from weighted partials up to 7 kHz."""
    phase = 2 * np.pi * np.cumsum(hz) / RATE
    return sum(
        w * np.sin(k * phase) * (k * hz < 7000) for k, w in enumerate(weights.tolist(), start=1)
    )


def bumps(rng: Rng, rate_hz: float) -> Array:
    """Return an envelope (samples,) of about ``rate_hz`` syllables of 0.1 s a second."""
    t, curve, at = times(), np.zeros(int(SECONDS * RATE)), rng.uniform(0, 0.3)
    while at < SECONDS:
        length = 0.1 * rng.uniform(0.7, 1.3)
        u = np.clip((t - at) / length, 0, 1)
        curve = np.maximum(curve, rng.uniform(0.5, 1) * np.sin(np.pi * u) ** 0.7)
        at += rng.uniform(0.7, 1.3) / rate_hz
    return curve


def smooth(rng: Rng, rate_hz: float) -> Array:
    """Interpolate about ``rate_hz`` random values a second, from -1 to 1, to (samples,)."""
    points = rng.uniform(-1, 1, max(4, int(SECONDS * rate_hz) + 3))
    at = np.linspace(0, len(points) - 1, int(SECONDS * RATE))
    return np.interp(at, np.arange(len(points)), points)


def formants(wave: Array, centres: tuple[float, ...], width: float) -> Array:
    """Filter the wave by parallel band-passes at ``centres`` (Hz); each gain is 0.6 of the last."""
    total = np.zeros_like(wave)
    for order, hz in enumerate(centres):
        low, high = hz / (1 + width), min(hz * (1 + width), 0.49 * RATE)
        band = signal.butter(2, (low, high), "bandpass", fs=RATE, output="sos")
        total += 0.6**order * signal.sosfilt(band, wave)
    return total


def lay(calls: Sequence[Call], skew: float = 0.7) -> tuple[Array, Array]:
    """Return the pitch contour (Hz) and envelope of successive calls, (samples,) each."""
    size = int(SECONDS * RATE)
    hz, loud = np.full(size, 300.0), np.zeros(size)
    for start, length, pitches, level in calls:
        first = int(start * RATE)
        u = np.linspace(0, 1, max(2, int(length * RATE)))[: max(0, size - first)]
        points = np.linspace(0, 1, len(pitches))
        hz[first : first + len(u)] = np.exp(np.interp(u, points, np.log(pitches)))
        loud[first : first + len(u)] = level * np.sin(np.pi * u**skew) ** 0.6
    return hz, loud


def voice(rng: Rng, hz: Array, loud: Array, tract: float) -> Array:
    """Synthesise a voice of pitch ``hz`` and envelope ``loud``, (samples,) each; its vowel varies.

    Men's formants are from Peterson and Barney, "Control methods used in a study of the vowels",
    JASA 24, 1952. ``tract`` scales them for a shorter vocal tract (1.17 women, 1.35 children).
    """
    hz = hz * 2 ** (rng.uniform(0.005, 0.04) * smooth(rng, 40))
    slope, partials = rng.uniform(0.4, 1.6), int(np.clip(3600 / hz.min(), 6, 30))
    breath = 10 ** rng.uniform(-2.5, -0.5) * noise(rng, 0)
    wave = (harmonics(hz, np.arange(1.0, partials + 1) ** -slope) + breath) * loud
    wave *= 1 + rng.uniform(0, 0.25) * smooth(rng, 30)
    total = np.zeros_like(wave)
    for number in rng.permutation(len(VOWELS))[:3]:
        centres = tuple(f * tract for f in VOWELS[number])
        total += np.clip(0.4 + smooth(rng, 1.0), 0, 1) * formants(wave, centres, 0.15)
    return total + 0.05 * wave


def in_room(rng: Rng, wave: Array) -> Array:
    """Add reverberation with a random RT60 of 0.1 to 1.2 s."""
    t = times()[: int(1.2 * RATE)]
    echo = rng.standard_normal(len(t)) * 10 ** (-3 * t / rng.uniform(0.1, 1.2))
    echo *= rng.uniform(0, 1.2) / np.sqrt((echo**2).sum())
    return wave + signal.fftconvolve(wave, echo)[: len(wave)]


def mew(rng: Rng) -> Array:
    """Synthesise a cat: mews, long yowls, trills or a kitten's calls; the mouth opens and closes.

    Pitch, length and contours: Nicastro, "Perceptual and acoustic evidence for species-level
    differences in meow vocalizations", J. Comp. Psych. 118, 2004; Schötz, van de Weijer and Eklund,
    "Melody matters: an acoustic study of domestic cat meows", 2019; kittens: Brown et al. 1978.
    """
    manner = rng.choice(["mew", "mew", "yowl", "trill", "kitten"])
    low, high, shortest, longest = {
        "mew": (350, 900, 0.3, 1.2),
        "yowl": (220, 700, 0.9, 3.0),
        "trill": (300, 600, 0.2, 0.6),
        "kitten": (900, 1700, 0.2, 0.6),
    }[manner]
    base, tract, calls, at = rng.uniform(low, high), rng.uniform(1.0, 1.7), [], rng.uniform(0, 0.8)
    shape = rng.choice([[1, 1.3, 1.1], [1, 1.2, 0.8], [0.8, 1, 1.3], [1, 1.05, 1], [1.3, 1, 0.7]])
    while at < SECONDS:
        length = rng.uniform(shortest, longest)
        bend = shape ** rng.uniform(0.4, 1.6) * 2 ** rng.normal(0, 0.06)
        calls.append((at, length, base * bend, rng.uniform(0.4, 1)))
        at += length + rng.uniform(0.15, 2.5)
    hz, loud = lay(calls, rng.uniform(0.5, 0.9))
    if manner == "trill" or rng.random() < 0.2:
        beat = np.sin(2 * np.pi * rng.uniform(18, 32) * times())
        loud, hz = loud * (1 + rng.uniform(0.4, 1) * beat), hz * 2 ** (0.03 * beat)
    call = harmonics(hz, np.arange(1.0, 13) ** -rng.uniform(0.2, 1.2)) * loud
    call += 10 ** rng.uniform(-2.5, -0.7) * noise(rng, 0) * loud
    opened = np.clip(loud / loud.max(), 0, 1) ** rng.uniform(0.7, 2)
    wide = formants(call, (950 * tract, 1900 * tract), 0.25)
    return in_room(
        rng, formants(call, (500 * tract, 1500 * tract), 0.25) * (1 - opened) + wide * opened
    )


def laughter(rng: Rng) -> Array:
    """Synthesise bouts of laughter of a baby, child, woman or man, with breaths in between.

    About three to seven calls a second, each of 40 to 300 ms, fall in pitch over a bout; some are
    unvoiced. Babies and children often squeal; only babies voice their inbreath. Sources:
    Bachorowski, Smoski and Owren, "The acoustic features of human laughter", JASA 110, 2001; Nwokah
    et al., "Vocal affect in three-year-olds", JASA 94, 1993; Kipper and Todt, "The role of rhythm
    and pitch in the evaluation of human laughter", 2003.
    """
    speaker = rng.integers(4)
    base = rng.uniform(*[(280, 650), (260, 600), (200, 500), (100, 320)][speaker])
    tract = rng.uniform(*[(1.4, 1.8), (1.2, 1.45), (1.05, 1.2), (0.9, 1.05)][speaker])
    rate, duty = rng.uniform(3, 7), rng.uniform(0.35, 0.75)
    voiced, squeals = rng.uniform(0.4, 1), 0.25 if speaker < 2 else 0.05
    calls, hisses, at = [], [], rng.uniform(0, 0.6)
    while at < SECONDS:
        count, pitch = int(rng.integers(2, 14)), base * 2 ** rng.normal(0, 0.25)
        sink, arch = rng.uniform(0, 0.8), rng.uniform(-0.2, 0.5)
        for call in range(count):
            now = pitch * 2 ** (-sink * call / count + rng.normal(0, 0.06))
            length, level = duty / rate * rng.uniform(0.8, 1.2), rng.uniform(0.6, 1) * 0.95**call
            bent = now * 2.0 ** np.array([-arch / 2, arch / 2, -0.2 * rng.random()])
            (calls if rng.random() < voiced else hisses).append((at, length, bent, level))
            at += rng.uniform(0.88, 1.12) * (1 + 0.3 * call / count) / rate
        if rng.random() < squeals:
            length, top = rng.uniform(0.15, 0.8), min(pitch * rng.uniform(1.5, 3.2), 1800)
            calls.append((at, length, top * np.array([0.8, 1, rng.uniform(0.6, 1.1)]), 1.0))
            at += length
        breath = rng.uniform(0.15, 0.5)
        inhaled = calls if speaker == 0 and rng.random() < 0.4 else hisses
        inhaled.append((at + 0.05, breath, pitch * np.array([1.2, 1.8]), rng.uniform(0.1, 0.5)))
        at += breath + rng.uniform(0.05, 1.2)
    hz, loud = lay(calls)
    hiss = lay(hisses)[1] * noise(rng, 0.5)
    breathy = formants(hiss, (900 * tract, 1700 * tract, 2900 * tract), 0.4)
    return in_room(rng, voice(rng, hz, loud, tract) + rng.uniform(0.1, 0.6) * breathy)


def _siren(rng: Rng) -> Array:
    """Synthesise a siren: a harmonic tone that sweeps or steps between two pitches."""
    low, octaves = rng.uniform(300, 900), rng.uniform(0.2, 1.3)
    cycle = 2 * np.pi * rng.uniform(0.2, 4) * times() + rng.uniform(0, 6)
    course = rng.choice([np.sin, signal.square, lambda x: signal.sawtooth(x, 0.7)])(cycle)
    hz = low * 2 ** (octaves * (0.5 + 0.5 * course))
    return harmonics(hz, rng.uniform(0.2, 1, 6) / np.arange(1, 7) ** rng.uniform(0.5, 2))


def _beeps(rng: Rng) -> Array:
    """Synthesise the on-off tones of an alarm clock, telephone or toy."""
    t, period = times(), rng.uniform(0.1, 1.2)
    on = ((t / period) % 1 < rng.uniform(0.2, 0.8)).astype(float)
    on = np.convolve(on, np.ones(80) / 80, "same")
    hz = rng.uniform(350, 3200) * 2 ** (np.floor(2 * t / period) % 2 * rng.choice([0, 0.25, 0.5]))
    return on * harmonics(hz, np.array([1, rng.uniform(0, 0.6), rng.uniform(0, 0.5)]))


def _bird(rng: Rng) -> Array:
    """Synthesise birds: short gliding whistles."""
    hz = rng.uniform(1500, 3500) * 2 ** (0.4 * smooth(rng, rng.uniform(3, 12)))
    return harmonics(hz, np.array([1, 0.2])) * bumps(rng, rng.uniform(1, 7))


KINDS: Mapping[str, Callable[[Rng], Array]] = {
    make.__name__.strip("_"): make for make in (mew, laughter, _siren, _beeps, _bird)
}
"""Kind -> function that synthesises it, with random pitch, rhythm and loudness."""
