"""Sounds that are no cry, made by formulas: what a microphone hears in a home.

None of them copies a recording. Sirens, horns, bells and birds are made because they are high,
harmonic and rising and falling, as a cry is; the others because every recording has some of them.
Voices and animals: :mod:`train.data.synthetic_voices`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray
from scipy import signal

from train.data.synthetic_voices import (
    RATE,
    SECONDS,
    Array,
    Rng,
    animal,
    babble,
    bumps,
    harmonics,
    in_room,
    laughter,
    lay,
    mew,
    music,
    noise,
    singing,
    smooth,
    times,
    voices,
)


def make_sound(kind: str, number: int) -> NDArray[np.float32]:
    """Return a sound (samples,) at :data:`RATE` by its kind and number, peak at 0.5."""
    rng = np.random.default_rng([list(KINDS).index(kind), number])
    wave = KINDS[kind](rng) + 10 ** rng.uniform(-4, -2) * noise(rng, rng.uniform(0, 2))
    return (0.5 * wave / np.abs(wave).max()).astype(np.float32)


def _fan(rng: Rng) -> Array:
    """Even noise: a fan, a shower, an untuned radio."""
    return noise(rng, rng.uniform(0, 2)) * (1 + 0.3 * smooth(rng, 0.5))


def _hum(rng: Rng) -> Array:
    """Mains hum and its overtones."""
    hz = np.full(int(SECONDS * RATE), rng.choice([50.0, 60.0, 100.0, 120.0]))
    return harmonics(hz, rng.uniform(0, 1, 20) / np.arange(1, 21) ** rng.uniform(0, 1.5))


def _room(rng: Rng) -> Array:
    """Return the tone of a quiet room with a rustle now and then."""
    rustle = noise(rng, rng.uniform(0, 1)) * bumps(rng, rng.uniform(0.2, 1.5), 0.15) ** 3
    return noise(rng, rng.uniform(1, 2)) + rng.uniform(0, 1.5) * rustle


def _siren(rng: Rng) -> Array:
    """Return a siren: a tone with overtones that sweeps or steps between two pitches."""
    low, octaves = rng.uniform(300, 900), rng.uniform(0.2, 1.3)
    cycle = 2 * np.pi * rng.uniform(0.2, 4) * times() + rng.uniform(0, 6)
    course = rng.choice([np.sin, signal.square, lambda x: signal.sawtooth(x, 0.7)])(cycle)
    hz = low * 2 ** (octaves * (0.5 + 0.5 * course))
    return harmonics(hz, rng.uniform(0.2, 1, 6) / np.arange(1, 7) ** rng.uniform(0.5, 2))


def _beeps(rng: Rng) -> Array:
    """Alarm clock, telephone, toy: tones that are switched on and off."""
    t, period = times(), rng.uniform(0.1, 1.2)
    on = ((t / period) % 1 < rng.uniform(0.2, 0.8)).astype(float)
    on = np.convolve(on, np.ones(80) / 80, "same")
    hz = rng.uniform(350, 3200) * 2 ** (np.floor(2 * t / period) % 2 * rng.choice([0, 0.25, 0.5]))
    return on * harmonics(hz, np.array([1, rng.uniform(0, 0.6), rng.uniform(0, 0.5)]))


def _bird(rng: Rng) -> Array:
    """Birds: short whistles that slide."""
    hz = rng.uniform(1500, 3500) * 2 ** (0.4 * smooth(rng, rng.uniform(3, 12)))
    return harmonics(hz, np.array([1, 0.2])) * bumps(rng, rng.uniform(1, 7), 0.1)


def _bang(rng: Rng) -> Array:
    """Doors, steps, dishes: blows that ring briefly."""
    t, wave = times(), np.zeros(int(SECONDS * RATE))
    for _ in range(rng.integers(2, 16)):
        u = np.clip(t - rng.uniform(0, SECONDS), 0, None)
        ring = np.exp(-rng.uniform(8, 80) * u) * (u > 0)
        tones = sum(np.sin(2 * np.pi * rng.uniform(80, 3300) * u) for _ in range(4))
        wave += rng.uniform(0.2, 1) * ring * (tones + 3 * rng.uniform() * noise(rng, 1))
    return wave


def _engine(rng: Rng) -> Array:
    """Motors: many overtones of a low pitch, pulsing, in noise."""
    hz = rng.uniform(25, 160) * 2 ** (rng.uniform(0, 0.6) * smooth(rng, 0.5))
    wave = harmonics(hz, rng.uniform(0, 1, 30) / np.arange(1, 31) ** rng.uniform(0, 1))
    wave = wave / np.abs(wave).max() + rng.uniform(0.1, 1) * noise(rng, rng.uniform(0, 1))
    return wave * (1 + 0.5 * np.sin(2 * np.pi * rng.uniform(2, 25) * times()))


def _chime(rng: Rng) -> Array:
    """Return church bells, hand bells, tubes or bars, struck one after another, often overlapping.

    Partials: hum, prime, tierce, quint, nominal and above of church bells; free tubes and bars,
    whose partials are as odd squares. Source: Fletcher and Rossing, "The Physics of Musical
    Instruments", chapters 19 and 21. Higher ones die sooner; doublets beat.
    """
    t, wave = times(), np.zeros(int(SECONDS * RATE))
    partials = (
        np.array([0.5, 1, 1.2, 1.5, 2, 2.5, 2.67, 3, 4, 5.33]),
        np.array([1, 2, 2.9, 4.1, 5.4]),
        np.array([3.011, 5, 7, 9, 11, 13]) ** 2 / 49,
    )[rng.integers(3)]
    pitch, lasts = rng.uniform(180, 1300), 10 ** rng.uniform(-0.5, 0.8)
    peal = pitch * 2 ** (np.array([0, 2, 4, 5, 7, 9, 11, 12])[: rng.integers(1, 9)] / 12)
    at, swing = rng.uniform(-1, 0.5), rng.uniform(0.15, 2)
    levels = rng.uniform(0.2, 1, len(partials))
    while at < SECONDS:
        u, bell = np.clip(t - at, 0, None), rng.choice(peal)
        struck = rng.uniform(0.4, 1) * (t >= at)
        spread = partials * 2 ** rng.normal(0, 0.01, len(partials))
        for partial, level in zip(spread, levels, strict=True):
            hz = bell * partial
            if hz < 7000:
                doublet = np.cos(np.pi * rng.uniform(0, 2.5) * u)
                fades = np.exp(-u * (1 + partial) / (2 * lasts))
                wave += struck * level * fades * doublet * np.sin(2 * np.pi * hz * u)
        wave += 0.5 * struck * np.exp(-u * 60) * noise(rng, 0.5)
        at += swing * rng.uniform(0.7, 1.3)
    return in_room(rng, wave)


def _horn(rng: Rng) -> Array:
    """Return horns of cars (two tones, 300 to 600 Hz), lorries or trains (chords), or a trumpet.

    Car horns: two reeds about a third apart near 400 and 500 Hz; of brass, the louder the brighter
    (Risset and Mathews, "Analysis of musical-instrument tones", 1969).
    """
    wave, at, calls = np.zeros(int(SECONDS * RATE)), rng.uniform(0, 0.8), []
    while at < SECONDS:
        length = rng.choice([rng.uniform(0.08, 0.4), rng.uniform(0.4, 3)])
        calls.append((at, length))
        at += length + rng.choice([rng.uniform(0.05, 0.3), rng.uniform(0.3, 2.5)])
    root = rng.uniform(130, 620)
    slope, fall = rng.uniform(0, 1.2), 1 - rng.choice([0, 0, 0.05, 0.12])  # of what drives past
    for ratio in rng.choice([1, 1.19, 1.26, 1.33, 1.5, 2], rng.integers(1, 4), replace=False):
        hz = root * ratio * fall ** (times() / SECONDS * 2)
        tone = harmonics(hz, rng.uniform(0.3, 1, 16) * np.arange(1.0, 17) ** -slope)
        dull = harmonics(hz, np.array([1, 0.3]))
        for start, length in calls:
            u = np.clip((times() - start) * (start + length - times()) * 40 / length, 0, 1)
            wave += u * tone + (1 - u) * u * dull
    return in_room(rng, wave)


def _creak(rng: Rng) -> Array:
    """Return doors, brakes, swings and squeaky toys: what sticks and slips, so harmonic glides."""
    calls, at, base = [], rng.uniform(0, 0.8), 10 ** rng.uniform(2.3, 3.3)
    while at < SECONDS:
        length = rng.uniform(0.05, 0.3) if rng.random() < 0.5 else rng.uniform(0.3, 2)
        bent = base * 2 ** rng.uniform(-0.6, 0.6, rng.integers(2, 6))
        calls.append((at, length, bent, rng.uniform(0.3, 1)))
        at += length + rng.uniform(0.02, 1)
    hz, loud = lay(calls, rng.uniform(0.3, 1.2))
    tone = harmonics(hz * 2 ** (0.03 * smooth(rng, 50)), np.arange(1.0, 11) ** -rng.uniform(0, 2))
    return in_room(rng, loud * (tone + rng.uniform(0, 0.5) * noise(rng, 0.5)))


KINDS: Mapping[str, Callable[[Rng], Array]] = {
    make.__name__.strip("_"): make
    for make in (
        _fan, _hum, _room, music, _siren, _beeps, mew, laughter, babble, _bird, _bang, _engine,
        voices, singing, _chime, _horn, animal, _creak,
    )
}  # fmt: skip
"""By name; a number gives each a pitch, a rhythm and a loudness of its own."""
