"""Synthesise infant cries with a source-filter model, for examples and tests without real children.

Glottal pulses and breath noise pass through an infant's vocal tract into a small room. The kinds of
phonation (voiced, dysphonated, hyperphonated) are those of Golub and Corwin (1985). The breathing
cycle and its rhythmical and pain-like patterns follow Wolff (1969). The parameter values are ours,
set so that spectrum, melody and rhythm resemble real cries; they do not model causes of crying.

    python -m train.data.synthesis --out assets/examples
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, fields, replace
from math import gcd
from pathlib import Path

import numpy as np
from scipy import signal

RATE = 96_000  # Hz, of the model: high enough to make the pulses' aliasing inaudible
CONTROL_RATE = 1_000  # Hz, of the slow curves (pitch, loudness): resolves a 10 ms attack
CURVES = ("f0", "voice", "breath", "rough", "halving", "mouth")  # Hz, then 0 to about 1
BLOCK = RATE // 200  # samples (5 ms) during which the vocal tract is constant
NOISE_FLOOR_DBFS = -62.0  # RMS of the room noise
EXAMPLE_RATE, EXAMPLE_SECONDS, EXAMPLE_SEED = 16_000, 6.5, 1

Range = tuple[float, float]  # minimum and maximum
Array = np.ndarray
Rng = np.random.Generator


@dataclass(frozen=True)
class CryStyle:
    """Parameters of a cry; defaults give the rhythmical cry. Ranges are sampled for each use."""

    f0_hz: float = 500.0  # peak pitch of an average expiration, Hz
    melody_semitones: float = 6.0  # fall from that peak to the end
    expiration_s: Range = (0.85, 1.15)  # voiced, s
    pause_s: Range = (0.06, 0.12)  # silence after it (breath held), s
    inspiration_s: Range = (0.14, 0.24)  # audible, s
    rest_s: Range = (0.1, 0.2)  # silence before the next expiration, s
    attack_s: Range = (0.05, 0.09)  # from silence to full loudness, s
    level_dbfs: float = -6.0  # peak of a clip, dB relative to full scale, at most 0
    irregularity: float = 1.0  # variation between expirations: 1 is 2 dB and 0.7 semitones
    jitter: float = 0.006  # relative standard deviation of a period; shimmer is 6 times as much
    vibrato_hz: float = 6.0  # rate of the slow tremor, Hz
    open_quotient: float = 0.6  # share of a period with open glottis; more is softer and duller
    breath: float = 0.05  # noise during voicing, relative to the voice
    rough_probability: float = 0.3  # of a dysphonated stretch in an expiration
    leap_probability: float = 0.0  # of a hyperphonated stretch, four semitones higher
    mouth: Range = (0.45, 1.0)  # opening at the ends and in the middle; moves the first formant
    nasality: float = 0.0  # 0 oral, 1 nasal: damped formants and an antiresonance
    formants_hz: tuple[float, float, float] = (1_150.0, 3_200.0, 5_100.0)
    bandwidths_hz: tuple[float, float, float] = (350.0, 400.0, 500.0)

    def of_baby(self, seed: int) -> CryStyle:
        """Return this style in the voice of one baby, given by a seed."""
        draws = np.clip(np.random.default_rng([seed, 0xBABE]).standard_normal(4), -2, 2)
        pitch, tract, jitter, tremor = np.exp(draws * (0.1, 0.06, 0.3, 0.1)).tolist()
        formants = tuple(hz * tract for hz in self.formants_hz)
        voice = {"jitter": self.jitter * jitter, "vibrato_hz": self.vibrato_hz * tremor}
        return replace(self, f0_hz=self.f0_hz * pitch, formants_hz=formants, **voice)


_HIGH_PITCHED = CryStyle(
    f0_hz=800.0, melody_semitones=4.0, expiration_s=(1.4, 2.2),
    pause_s=(0.6, 1.1), attack_s=(0.01, 0.025), level_dbfs=-3.0, jitter=0.009, open_quotient=0.55,
    rough_probability=0.7, leap_probability=0.5, mouth=(0.8, 1.1),
)  # fmt: skip
_WHIMPER = CryStyle(
    f0_hz=360.0, expiration_s=(0.25, 0.65), pause_s=(0.08, 0.3), rest_s=(0.1, 0.5),
    attack_s=(0.07, 0.12), level_dbfs=-16.0, irregularity=1.7, jitter=0.012, open_quotient=0.75,
    mouth=(0.35, 0.65), nasality=0.4,
)  # fmt: skip
STYLES = {"rhythmic": CryStyle(), "high_pitched": _HIGH_PITCHED, "whimper": _WHIMPER}


@dataclass(frozen=True)
class SyntheticCry:
    """A synthetic cry with its true expiration onsets."""

    waveform: Array  # (samples,) float32, peak at the style's level
    onsets: Array  # (expirations,) float64, start of each expiration, s


def synthesise(
    style: str | CryStyle, seconds: float, sample_rate: int = 16_000, seed: int = 0
) -> SyntheticCry:
    """Synthesise round(seconds * sample_rate) samples; a seed is one cry, at any rate (Hz)."""
    style = STYLES[style] if isinstance(style, str) else style
    rng = np.random.default_rng(seed)
    curves, onsets = _plan(style, seconds, rng)
    dry = _vocal_tract(_excitation(curves, style, rng), curves["mouth"], style)
    wet = _in_a_room(dry, NOISE_FLOOR_DBFS - style.level_dbfs, rng)
    return SyntheticCry(_to_rate(wet, seconds, sample_rate, style.level_dbfs), onsets)


def _plan(style: CryStyle, seconds: float, rng: Rng) -> tuple[Array, ...]:
    """Plan breaths for a clip; return curves, a structured array (steps,), and onsets in s."""
    curves = np.zeros(int(np.ceil(seconds * CONTROL_RATE)) + 1, [(name, float) for name in CURVES])
    curves["f0"], curves["mouth"] = style.f0_hz, style.mouth[0]
    now, onsets = min(rng.uniform(0.2, 0.4), seconds / 4), []
    while now < seconds:
        onsets.append(now)
        now += _breathe_out(curves, style, now, rng) + rng.uniform(*style.pause_s)
        now += _breathe_in(curves, style, now, rng) + rng.uniform(*style.rest_s)
    return curves, np.array(onsets)


def _breathe_out(curves: Array, style: CryStyle, start: float, rng: Rng) -> float:
    """Write one expiration from ``start`` (s) into the curves; return its length in seconds."""
    length = rng.uniform(*style.expiration_s)
    t = np.arange(int(length * CONTROL_RATE)) / CONTROL_RATE
    u = t / length
    semitones = _melody(u, style, rng) + 4 * _stretch(u, style.leap_probability, 0.02, rng)
    tremor = 0.008 * np.sin(2 * np.pi * (style.vibrato_hz * t + rng.random()))
    rise = np.sin(np.pi / 2 * np.clip(t / rng.uniform(*style.attack_s), 0, 1)) ** 2
    fall = np.sin(np.pi / 2 * np.clip((1 - u) / 0.25, 0, 1)) * (1 - 0.3 * u)
    gain = 10 ** (style.irregularity * np.clip(rng.standard_normal(), -2, 1) / 10)
    loud = gain * rise * fall * (1 + 4 * tremor)
    rough = _stretch(u, style.rough_probability, 0.12, rng)
    halving = _stretch(u, 0.15, 0.05, rng)
    # Air still flows while the voice fades, so it is breathier near the end and where rough.
    breath = (style.breath * (1 + u) + 0.5 * rough) * loud**0.7
    mouth = style.mouth[0] + np.ptp(style.mouth) * np.sin(np.pi * u**0.7) ** 0.6
    f0, voice = style.f0_hz * 2 ** (semitones / 12) * (1 + tremor), loud * (1 - 0.4 * rough)
    _write(curves, start, f0=f0, voice=voice, breath=breath, mouth=mouth)
    _write(curves, start, rough=rough, halving=halving)
    return length


def _breathe_in(curves: Array, style: CryStyle, start: float, rng: Rng) -> float:
    """Write one inspiration, noise with a faint voiced gasp; return its length in seconds."""
    length = rng.uniform(*style.inspiration_s)
    u = np.linspace(0, 1, int(length * CONTROL_RATE))
    breath = rng.uniform(0.12, 0.2) * np.sin(np.pi * u) ** 2
    voice, mouth = rng.uniform(0, 0.25) * breath, np.full(u.shape, 0.8 * style.mouth[1])
    _write(curves, start, f0=style.f0_hz * (1 + 0.2 * u), voice=voice, breath=breath, mouth=mouth)
    return length


def _write(curves: Array, start: float, **values: Array) -> None:
    """Write values into the named curves; drop those past the end of the clip."""
    first = round(start * CONTROL_RATE)
    for name, course in values.items():
        part = curves[name][first : first + len(course)]
        part[:] = course[: len(part)]


def _melody(u: Array, style: CryStyle, rng: Rng) -> Array:
    """Return the pitch contour in semitones over the course u (0 to 1) of an expiration."""
    top = rng.uniform(0.2, 0.45)
    heights = np.array([-0.8, -0.2, 0, -0.35, -1]) + 0.1 * rng.standard_normal(5)
    smooth = np.hanning(len(u) // 10 | 1)
    bent = np.interp(u, [0, 0.4 * top, top, (1 + top) / 2, 1], heights)
    bent = np.pad(bent, len(smooth) // 2, mode="edge")
    depth = style.melody_semitones * rng.uniform(0.7, 1.1)
    shift = 0.7 * style.irregularity * np.clip(rng.standard_normal(), -1.5, 1.5)
    return shift + depth * np.convolve(bent, smooth / smooth.sum(), mode="valid")


def _stretch(u: Array, chance: float, edge: float, rng: Rng) -> Array:
    """Return, with probability ``chance``, 1 in a random stretch of u with ramps; else all 0."""
    happens, begin = rng.random() < chance, rng.uniform(0.15, 0.6)
    end = begin + rng.uniform(0.2, 0.4)
    return happens * np.clip(np.minimum(u - begin, end - u) / edge, 0, 1)


def _excitation(curves: Array, style: CryStyle, rng: Rng) -> Array:
    """Return glottal pulses and breath noise (samples,) at RATE, including lip radiation."""
    steps = np.arange((len(curves) - 1) * RATE // CONTROL_RATE) * (CONTROL_RATE / RATE)
    grid = np.arange(len(curves))
    f0, voice, breath, rough, halving = (np.interp(steps, grid, curves[c]) for c in CURVES[:5])
    period = (np.cumsum(f0) / RATE).astype(int)
    draws = np.clip(rng.standard_normal((2, 2 * period[-1] + 2)), -3, 3)
    phase = np.cumsum(f0 * (1 + (style.jitter + 0.06 * rough) * draws[0, period])) / RATE
    period = phase.astype(int)
    height = 1 + (6 * style.jitter + 0.3 * rough) * draws[1, period] - 0.6 * halving * (period % 2)
    flow = _glottal_pulse(phase % 1, style.open_quotient) * height
    # Lip radiation differentiates; scaled by period, so that loudness does not grow with pitch.
    pulses = np.diff(flow, prepend=0.0) * RATE / f0 * voice
    cutoff = 12_000 * (0.6 / style.open_quotient) ** 4  # Hz; a soft voice has less treble
    pulses = signal.lfilter(*signal.butter(1, cutoff, fs=RATE), pulses)
    noise = signal.lfilter(*signal.butter(1, 9_000, fs=RATE), rng.standard_normal(len(steps)))
    return pulses + 3 * breath * noise * (0.5 + flow)


def _glottal_pulse(phase: Array, open_quotient: float) -> Array:
    """Return the glottal flow (0 to 1) at a phase (0 to 1): trigonometric pulse, Rosenberg 1971."""
    opening, closing = 0.8 * open_quotient, 0.2 * open_quotient
    rise = 0.5 - 0.5 * np.cos(np.pi * phase / opening)
    fall = np.cos(np.pi / 2 * (phase - opening) / closing)
    return np.where(phase < opening, rise, np.where(phase < open_quotient, fall, 0.0))


def _vocal_tract(source: Array, mouth: Array, style: CryStyle) -> Array:
    """Filter the source (samples,) with formants that follow the mouth opening."""
    out, state = np.empty_like(source), np.zeros((14, 2))
    for begin in range(0, len(source), BLOCK):
        sections = _formants(style, mouth[begin * CONTROL_RATE // RATE])
        part = slice(begin, begin + BLOCK)
        out[part], state = signal.sosfilt(sections, source[part], zi=state)
    antiresonance = signal.iirnotch(1.3 * style.formants_hz[0], 2.5, fs=RATE)
    return out + style.nasality * (signal.lfilter(*antiresonance, out) - out)


def _formants(style: CryStyle, opening: float) -> Array:
    """Return 14 resonators (14, 6), gain 1 at 0 Hz; those above the third preserve the treble."""
    first, second, third = style.formants_hz
    higher = third + (third - first) / 2 * np.arange(1, 12)
    hz = np.r_[first * (0.4 + 0.6 * opening), second * (0.85 + 0.15 * opening), third, higher]
    radius = np.exp(-np.pi / RATE * np.r_[style.bandwidths_hz, 0.1 * higher] * (1 + style.nasality))
    a1, a2 = -2 * radius * np.cos(2 * np.pi * hz / RATE), radius**2
    zero = np.zeros_like(hz)
    return np.stack([1 + a1 + a2, zero, zero, zero + 1, a1, a2], axis=1)


def _in_a_room(dry: Array, floor_db: float, rng: Rng) -> Array:
    """Add reverberation (60 dB in 0.3 s) and noise at floor_db relative to the peak, at RATE."""
    t = np.arange(int(0.35 * RATE)) / RATE
    echoes = rng.standard_normal(len(t)) * 10 ** (-3 * t / 0.3) * (t > 0.004)
    echoes = signal.lfilter(*signal.butter(1, 3_500, fs=RATE), echoes)
    wet = dry + signal.fftconvolve(dry, 0.35 * echoes / np.linalg.norm(echoes))[: len(dry)]
    noise = signal.lfilter(*signal.butter(1, 400, fs=RATE), rng.standard_normal(len(dry)))
    return wet / np.abs(wet).max() + 10 ** (floor_db / 20) * noise / noise.std()


def _to_rate(wave: Array, seconds: float, sample_rate: int, peak_dbfs: float) -> Array:
    """Resample from RATE to (round(seconds * sample_rate),) float32 with the given peak."""
    common = gcd(sample_rate, RATE)
    wave = np.pad(wave, (0, RATE // 10), mode="edge")  # filter input past the last sample
    out = signal.resample_poly(wave, sample_rate // common, RATE // common)
    out = out[: round(seconds * sample_rate)]
    return (out * (10 ** (peak_dbfs / 20) / np.abs(out).max())).astype(np.float32)


def _door_chime(seconds: float) -> Array:
    """Synthesise a non-cry: two struck tones and two knocks on wood, (samples,) at EXAMPLE_RATE."""
    t = np.arange(int(seconds * RATE)) / RATE
    dry = np.zeros_like(t)
    events = ((0.3, 659.3, 2.5), (1.1, 523.3, 2.0), (3.6, 170.0, 38.0), (3.95, 170.0, 38.0))
    for start, pitch, decay in events:  # s, Hz, 1/s
        u = np.maximum(t - start, 0)
        for order, ratio in enumerate((1, 2.76, 5.4)):  # modes of a struck bar
            ring = np.exp(-decay * (1 + order) * u) * np.sin(2 * np.pi * pitch * ratio * u)
            dry += 0.4**order * ring * np.minimum(u / 0.002, 1)
    wet = _in_a_room(dry, NOISE_FLOOR_DBFS, np.random.default_rng(0))
    return _to_rate(wet, seconds, EXAMPLE_RATE, peak_dbfs=0.0)


def write_examples(folder: str | Path) -> list[Path]:
    """Write the page's clips (16 kHz, 16 bit, mono, peak -3 dBFS), the same bytes every time."""
    import soundfile  # imported here, so that the rest needs only numpy and scipy

    recipe = (EXAMPLE_SECONDS, EXAMPLE_RATE, EXAMPLE_SEED)
    clips = {name: synthesise(name, *recipe).waveform for name in STYLES}
    clips["door_chime"] = _door_chime(seconds=5.0)
    Path(folder).mkdir(parents=True, exist_ok=True)
    paths = [Path(folder) / f"synthetic_{name}.wav" for name in clips]
    for path, clip in zip(paths, clips.values(), strict=True):
        scale = 32_767 * 10 ** (-3 / 20) / float(np.abs(clip).max())
        pcm = np.round(clip.astype(float) * scale).astype(np.int16)
        soundfile.write(path, pcm, EXAMPLE_RATE)
    return paths


@dataclass(frozen=True)
class CryKind:
    """Ranges of the parameters that vary between recordings; each sets its namesake in CryStyle."""

    f0_hz: Range = (380, 620)
    melody_semitones: Range = (3, 8)
    expiration_s: Range = (0.5, 1.3)  # recording mean; expirations vary around it by up to 30 %
    rest_s: Range = (0.1, 0.5)  # likewise
    open_quotient: Range = (0.52, 0.72)
    breath: Range = (0.03, 0.2)
    rough_probability: Range = (0.1, 0.6)
    nasality: Range = (0, 0.4)
    mouth: Range = (0.75, 1.05)  # widest opening; half as much at the ends

    def draw(self, baby: int, recording: int) -> CryStyle:
        """Draw the style of one recording of one baby, both given by seeds, in that baby's voice.

        Each value's position in its range is the mean of two uniform draws, of baby and recording.
        """
        names = [field.name for field in fields(self)]
        low, high = np.array([getattr(self, name) for name in names], float).T
        seeds = ([baby, 0], [recording, 1])
        places = np.mean([np.random.default_rng(s).random(len(names)) for s in seeds], axis=0)
        drawn = dict(zip(names, (low + (high - low) * places).tolist(), strict=True))
        for name in ("expiration_s", "rest_s"):
            drawn[name] = (0.7 * drawn[name], 1.3 * drawn[name])
        drawn["mouth"] = (0.5 * drawn["mouth"], drawn["mouth"])
        return CryStyle(**drawn).of_baby(baby)


KINDS = (
    CryKind(f0_hz=(350, 530), open_quotient=(0.62, 0.78), expiration_s=(0.3, 0.8)),
    CryKind(f0_hz=(340, 520), open_quotient=(0.48, 0.62), rough_probability=(0.5, 1)),
    CryKind(f0_hz=(400, 580), nasality=(0.5, 1), expiration_s=(1.0, 1.9)),
    CryKind(f0_hz=(410, 590), breath=(0.2, 0.5), rest_s=(0.4, 1)),
    CryKind(f0_hz=(540, 800), open_quotient=(0.46, 0.6), expiration_s=(0.9, 1.8)),
    CryKind(f0_hz=(530, 790), nasality=(0.2, 0.7), rest_s=(0.4, 1)),
)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Write the example clips.")
    parser.add_argument("--out", type=Path, required=True, help="folder for the clips")
    print(*write_examples(parser.parse_args().out), sep="\n")
