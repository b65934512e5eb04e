"""Voices of people and animals that are no cry, made by formulas, and the parts they are made of.

None of them copies a recording: pitch, rhythm, roughness and formants are those that were measured,
spread widely, for what a detector has to tell apart is high, voiced and rising and falling.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import signal

RATE = 16_000  # Hz
SECONDS = 6.0
Array = NDArray[np.float64]
Rng = np.random.Generator
Call = tuple[float, float, Array, float]  # start and length in s, course of the pitch in Hz, level
VOWELS = (
    (270, 2290, 3010), (530, 1840, 2480), (660, 1720, 2410), (730, 1090, 2440), (570, 840, 2410),
    (300, 870, 2240), (640, 1190, 2390), (490, 1350, 1690),
)  # fmt: skip


def times() -> Array:
    """Return the second of each sample."""
    return np.arange(int(SECONDS * RATE)) / RATE


def noise(rng: Rng, slope: float) -> Array:
    """Noise whose power falls as 1 / f^slope, peak near 1."""
    spectrum = np.fft.rfft(rng.standard_normal(int(SECONDS * RATE)))
    spectrum *= np.maximum(np.arange(len(spectrum)), 30.0) ** (-slope / 2)
    wave = np.fft.irfft(spectrum, n=int(SECONDS * RATE))
    return wave / np.abs(wave).max()


def harmonics(hz: Array, weights: Array) -> Array:
    """Return a tone of pitch (samples,) Hz with partials of these weights, up to 7 kHz."""
    phase = 2 * np.pi * np.cumsum(hz) / RATE
    return sum(
        w * np.sin(k * phase) * (k * hz < 7000) for k, w in enumerate(weights.tolist(), start=1)
    )


def bumps(rng: Rng, rate_hz: float, length_s: float) -> Array:
    """Return a loudness curve (samples,) of syllables: so many a second, each about so long."""
    t, curve, at = times(), np.zeros(int(SECONDS * RATE)), rng.uniform(0, 0.3)
    while at < SECONDS:
        length = length_s * rng.uniform(0.7, 1.3)
        u = np.clip((t - at) / length, 0, 1)
        curve = np.maximum(curve, rng.uniform(0.5, 1) * np.sin(np.pi * u) ** 0.7)
        at += rng.uniform(0.7, 1.3) / rate_hz
    return curve


def smooth(rng: Rng, rate_hz: float) -> Array:
    """Return a random curve (samples,) in -1 to 1 with about ``rate_hz`` turns a second."""
    points = rng.uniform(-1, 1, max(4, int(SECONDS * rate_hz) + 3))
    at = np.linspace(0, len(points) - 1, int(SECONDS * RATE))
    return np.interp(at, np.arange(len(points)), points)


def formants(wave: Array, centres: tuple[float, ...], width: float) -> Array:
    """Return the wave through resonances, side by side."""
    total = np.zeros_like(wave)
    for order, hz in enumerate(centres):
        low, high = hz / (1 + width), min(hz * (1 + width), 0.49 * RATE)
        band = signal.butter(2, (low, high), "bandpass", fs=RATE, output="sos")
        total += 0.6**order * signal.sosfilt(band, wave)
    return total


def lay(calls: Sequence[Call], skew: float = 0.7) -> tuple[Array, Array]:
    """Return pitch in Hz and loudness, (samples,) each, of calls that follow one another."""
    size = int(SECONDS * RATE)
    hz, loud = np.full(size, 300.0), np.zeros(size)
    for start, length, pitches, level in calls:
        first = int(start * RATE)
        u = np.linspace(0, 1, max(2, int(length * RATE)))[: max(0, size - first)]
        points = np.linspace(0, 1, len(pitches))
        hz[first : first + len(u)] = np.exp(np.interp(u, points, np.log(pitches)))
        loud[first : first + len(u)] = level * np.sin(np.pi * u**skew) ** 0.6
    return hz, loud


def voice(rng: Rng, hz: Array, loud: Array, tract: float, turns_hz: float = 3.0) -> Array:
    """Return a voice of pitch ``hz`` and loudness ``loud``, (samples,) each, whose vowel wanders.

    Formants: Peterson and Barney, "Control methods used in a study of the vowels", JASA 24, 1952,
    of men; a shorter tract (1.17 women, 1.35 children) moves them up.
    """
    hz = hz * 2 ** (rng.uniform(0.005, 0.04) * smooth(rng, 40))
    slope, partials = rng.uniform(0.4, 1.6), int(np.clip(3600 / hz.min(), 6, 30))
    breath = 10 ** rng.uniform(-2.5, -0.5) * noise(rng, 0)
    wave = (harmonics(hz, np.arange(1.0, partials + 1) ** -slope) + breath) * loud
    wave *= 1 + rng.uniform(0, 0.25) * smooth(rng, 30)
    total = np.zeros_like(wave)
    for number in rng.permutation(len(VOWELS))[:3]:
        centres = tuple(f * tract for f in VOWELS[number])
        total += np.clip(0.4 + smooth(rng, turns_hz), 0, 1) * formants(wave, centres, 0.15)
    return total + 0.05 * wave


def in_room(rng: Rng, wave: Array) -> Array:
    """Return the wave with echoes that die away within 0.1 to 1.2 s."""
    t = times()[: int(1.2 * RATE)]
    echo = rng.standard_normal(len(t)) * 10 ** (-3 * t / rng.uniform(0.1, 1.2))
    echo *= rng.uniform(0, 1.2) / np.sqrt((echo**2).sum())
    return wave + signal.fftconvolve(wave, echo)[: len(wave)]


def music(rng: Rng) -> Array:
    """Return a tune of struck or blown tones, sometimes with a chord below."""
    t, wave, at = times(), np.zeros(int(SECONDS * RATE)), 0.0
    weights = rng.uniform(0.2, 1, 8) / np.arange(1, 9) ** rng.uniform(0.5, 2)
    root, decay, step = rng.uniform(130, 700), rng.uniform(0.2, 6), rng.uniform(0.15, 0.8)
    while at < SECONDS:
        for _ in range(rng.integers(1, 4)):
            hz = root * 2 ** (rng.choice([0, 2, 4, 5, 7, 9, 12]) / 12)
            u = np.clip(t - at, 0, None)
            tone = harmonics(np.full(len(t), hz), weights) * np.exp(-decay * u)
            wave += tone * np.clip(u / 0.01, 0, 1)
        at += step * rng.choice([0.5, 1, 1, 2])
    return wave


def mew(rng: Rng) -> Array:
    """Return a cat: mews, long yowls, trills or a kitten's calls, the mouth opening and closing.

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
    """Return bouts of laughter of a baby, a child, a woman or a man, with breaths between them.

    Three to seven calls a second, each 60 to 200 ms, whose pitch sinks over a bout, some of them
    unvoiced; babies and children squeal and laugh on the inbreath, too. Sources: Bachorowski,
    Smoski and Owren, "The acoustic features of human laughter", JASA 110, 2001; Nwokah et al.,
    "Vocal affect in three-year-olds", JASA 94, 1993; Kipper and Todt, "The role of rhythm and
    pitch in the evaluation of human laughter", 2003.
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
    return in_room(rng, voice(rng, hz, loud, tract, 1.0) + rng.uniform(0.1, 0.6) * breathy)


def babble(rng: Rng) -> Array:
    """Return a voice without words: syllables of changing pitch and vowel, low to high."""
    hz = rng.uniform(90, 380) * 2 ** (0.3 * smooth(rng, 2) + 0.1 * smooth(rng, 6))
    voice = harmonics(hz, np.ones(20) / np.arange(1, 21))
    tract = rng.uniform(0.9, 1.4)
    syllables = bumps(rng, rng.uniform(2.5, 5), rng.uniform(0.12, 0.25))
    vowels = [(300, 2300, 3000), (700, 1200, 2600), (350, 800, 2500), (500, 1800, 2500)]
    wave = np.zeros_like(hz)
    for vowel in vowels:
        share = np.clip(smooth(rng, 4), 0, 1)
        wave += share * formants(voice, tuple(f * tract for f in vowel), 0.12)
    hiss = signal.sosfilt(signal.butter(2, 3000, "high", fs=RATE, output="sos"), noise(rng, 0))
    return wave / np.abs(wave).max() * syllables + 0.1 * hiss * bumps(rng, 2, 0.08)


def utterances(rng: Rng, base: float, lively: float) -> list[Call]:
    """Return syllables in phrases, some of them drawn out as one calls a name; lively: 0 to 1."""
    calls: list[Call] = []
    at, slow = rng.uniform(0, 1), rng.uniform(0.7, 1.3)
    while at < SECONDS:
        top = base * 2 ** (lively * rng.uniform(0, 1.1))
        count = int(rng.integers(1, 10))
        for syllable in range(count):
            drawn = rng.random() < 0.25 * lively
            length = slow * (rng.uniform(0.3, 0.9) if drawn else rng.uniform(0.08, 0.25))
            sunk = top * 2 ** (-0.4 * syllable / count + lively * rng.normal(0, 0.25))
            bent = sunk * 2 ** (lively * rng.uniform(-0.5, 0.5, 3) + rng.uniform(-0.1, 0.1, 3))
            calls.append((at, length, bent, rng.uniform(0.4, 1)))
            at += length + slow * rng.uniform(0, 0.12)
        at += rng.uniform(0.1, 1.2)
    return calls


def voices(rng: Rng) -> Array:
    """Return one to four children or adults who talk with feeling, call, or scream.

    Children's pitch and tract: Lee, Potamianos and Narayanan, "Acoustics of children's speech",
    JASA 105, 1999. Screams are high, rise and fall once, and are rough, 30 to 150 times a second:
    Arnal et al., "Human screams occupy a privileged niche in the communication soundscape", 2015.
    """
    wave = np.zeros(int(SECONDS * RATE))
    child, lively = rng.random() < 0.6, rng.uniform(0.2, 1)
    for _ in range(rng.choice([1, 1, 2, 3, 4])):
        base = rng.uniform(220, 420) if child else rng.uniform(95, 260)
        tract = rng.uniform(1.2, 1.5) if child else rng.uniform(0.9, 1.2)
        hz, loud = lay(utterances(rng, base, lively), rng.uniform(0.4, 1))
        one = voice(rng, hz, loud, tract, 5.0)
        hiss = signal.sosfilt(signal.butter(2, 2800, "high", fs=RATE, output="sos"), noise(rng, 0))
        wave += 10 ** rng.uniform(-0.7, 0) * one / np.abs(one).max()
        wave += 10 ** rng.uniform(-2, -0.8) * hiss * bumps(rng, 2.5, 0.09)
    if rng.random() < 0.3:
        top, length = rng.uniform(600, 1700), rng.uniform(0.3, 1.6)
        bent = top * np.array([0.75, 1, 1, rng.uniform(0.5, 0.95)])
        hz, loud = lay([(rng.uniform(0, 4.5), length, bent, 1.0)], 0.6)
        rough = np.sin(2 * np.pi * rng.uniform(30, 150) * times())
        scream = voice(rng, hz, loud * (1 + rng.uniform(0, 1) * rough), rng.uniform(1, 1.5))
        wave += scream / np.abs(scream).max()
    return in_room(rng, wave)


def singing(rng: Rng) -> Array:
    """Return a song: notes of a scale with vibrato and glides, alone, in thirds or with a beat.

    Vibrato of 4.5 to 7 Hz and up to a semitone: Sundberg, "The Science of the Singing Voice", 1987.
    """
    wave, scale = np.zeros(int(SECONDS * RATE)), np.array([0, 2, 4, 5, 7, 9, 11, 12])
    root, beat = rng.uniform(110, 520), rng.uniform(0.2, 0.8)
    tract = 0.9 + 0.5 * np.clip((root - 110) / 400, 0, 1) + rng.uniform(0, 0.15)
    steps, lengths = rng.choice(scale, 40), beat * rng.choice([0.5, 1, 1, 2, 4], 40)
    starts = np.concatenate([[0.0], lengths.cumsum()[:-1]]) + rng.uniform(0, 0.4)
    shake = np.sin(2 * np.pi * rng.uniform(4.5, 7) * times()) * rng.choice([0, 0.02, 0.05, 0.09])
    for above in rng.choice([0, 3, 4, 7, -12], rng.integers(1, 4), replace=False):
        notes = root * 2 ** ((steps + above) / 12)
        slide = 2 ** (rng.uniform(-0.2, 0.2) * rng.random(40))
        legato = rng.uniform(0.8, 1.0)
        calls = [
            (s, legato * n, np.array([hz * g, hz, hz, hz, hz]), rng.uniform(0.6, 1))
            for s, n, hz, g in zip(starts, lengths, notes, slide, strict=True)
            if s < SECONDS
        ]
        hz, loud = lay(calls, rng.uniform(0.5, 1))
        wave += voice(rng, hz * 2**shake, loud**0.5, tract * rng.uniform(0.95, 1.05), 1.0 / beat)
    if rng.random() < 0.4:
        wave = wave / np.abs(wave).max() + rng.uniform(0.1, 1) * music(rng) / 4
    return in_room(rng, wave)


def animal(rng: Rng) -> Array:
    """Return a crowing cock, bleating sheep or goats, geese, gulls, or a howling or whining dog.

    Crows: three or four syllables, the last long and falling, 400 to 1,000 Hz. Bleats: 150 to 600
    Hz, trembling 6 to 12 times a second. Both as Ceugniet and Izumi 2004 and Briefer and McElligott
    2011 measured.
    """
    kind, calls, at = rng.integers(5), [], rng.uniform(0, 0.7)
    base = rng.uniform(*[(350, 800), (180, 600), (350, 800), (700, 1500), (250, 900)][kind])
    while at < SECONDS:
        if kind == 0:  # cock
            for length, pitch in ((0.2, 0.8), (0.15, 1.0), (0.3, 1.1)):
                calls.append((at, length, base * pitch * np.array([0.9, 1, 0.95]), 0.8))
                at += length + 0.05
            length = rng.uniform(0.6, 1.4)
            calls.append((at, length, base * np.array([1.1, 1.15, 1, rng.uniform(0.5, 0.8)]), 1.0))
        else:
            longest = (0, 1.3, 0.35, 0.9, 2.5)[kind]
            length = longest * rng.uniform(0.3, 1)
            bent = base * 2 ** rng.uniform(-0.3, 0.3, 3) * np.array([0.8, 1.1, 0.8])
            calls.append((at, length, bent, rng.uniform(0.5, 1)))
        at += length + rng.uniform(0.05, 1.5)
    hz, loud = lay(calls, rng.uniform(0.4, 0.8))
    if kind == 1:
        beat = np.sin(2 * np.pi * rng.uniform(6, 12) * times())
        hz, loud = hz * 2 ** (0.06 * beat), loud * (1 + rng.uniform(0.2, 0.9) * beat)
    return in_room(rng, voice(rng, hz, loud, rng.uniform(0.9, 1.8), 2.0))
