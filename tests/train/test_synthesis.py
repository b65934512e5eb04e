"""The synthetic cries are what they claim: measured on the waveform, not read from the code."""

import subprocess
import sys
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest

from train.data.synthesis import STYLES, CryStyle, synthesise, write_examples

EXAMPLES = Path(__file__).parents[2] / "assets" / "examples"
F0_RANGE = {"rhythmic": (330, 560), "high_pitched": (580, 1_080), "whimper": (240, 430)}  # Hz
RATE = 16_000

make = lru_cache(synthesise)


def level(wave, start, stop, rate=RATE):
    """RMS between two times in seconds, in dB."""
    part = wave[max(0, int(start * rate)) : int(stop * rate)]
    return 10 * np.log10(np.mean(np.square(part, dtype=float)) + 1e-12)


def voiced_pitch(wave, rate=RATE):
    """F0 in Hz of every loud, clearly periodic 40 ms frame, by autocorrelation."""
    size, found = int(0.04 * rate), []
    frames = np.lib.stride_tricks.sliding_window_view(wave.astype(float), size)[::size]
    power = np.mean(frames**2, axis=1)
    lags = np.arange(int(rate / 1_500), int(rate / 150))
    for frame in frames[power > 0.05 * power.max()]:
        products = [frame[:-lag] @ frame[lag:] for lag in lags]
        norms = [np.linalg.norm(frame[:-lag]) * np.linalg.norm(frame[lag:]) for lag in lags]
        similarity = np.array(products) / np.array(norms)
        if similarity.max() < 0.8:
            continue  # rough or noisy
        peak = (similarity[1:-1] >= similarity[:-2]) & (similarity[1:-1] >= similarity[2:])
        # Multiples of the period match as well: the shortest good match is the period.
        good = np.flatnonzero(peak & (similarity[1:-1] > similarity.max() - 0.1))
        found.extend(rate / lags[1 + good[:1]])
    return np.array(found)


def attack(cry):
    """Median time in seconds that an expiration takes to 70 % of its level 0.1 to 0.2 s later."""
    hop, times = cry.sample_rate // 500, []
    for onset in cry.onsets[cry.onsets < len(cry.waveform) / cry.sample_rate - 0.25]:
        part = np.abs(cry.waveform[int(onset * cry.sample_rate) :])[: 125 * hop]
        # Maxima over 4 ms: a period of each style and not much more.
        peaks = part.reshape(-1, hop).max(axis=1)
        peaks = np.maximum(peaks[:-1], peaks[1:])
        times.append(np.argmax(peaks > 0.7 * np.median(peaks[50:100])) * hop / cry.sample_rate)
    return np.median(times)


@pytest.mark.parametrize("style", STYLES)
def test_a_seed_is_one_cry(style):
    first, again, other = (synthesise(style, 1.5, seed=seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first.waveform, again.waveform)
    np.testing.assert_array_equal(first.onsets, again.onsets)
    assert 0.1 < np.abs(first.waveform).max() < 1
    assert abs(np.corrcoef(first.waveform, other.waveform)[0, 1]) < 0.5
    assert (first.style, first.seed, first.sample_rate) == (style, 3, RATE)


@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100])
@pytest.mark.parametrize("seconds", [0.01, 1.23456])
def test_length_level_and_values(rate, seconds):
    cry = synthesise("high_pitched", seconds, rate, seed=1)
    assert cry.waveform.shape == (round(seconds * rate),)
    assert cry.waveform.dtype == np.float32
    assert np.isfinite(cry.waveform).all()
    assert np.abs(cry.waveform).max() == pytest.approx(10 ** (-3 / 20), rel=1e-5)


def test_another_rate_is_the_same_cry():
    high, low = (synthesise("rhythmic", 1.0, rate).waveform for rate in (16_000, 8_000))
    spectra = [np.abs(np.fft.rfft(wave))[100:3_500] for wave in (high, low)]
    assert np.corrcoef(*spectra)[0, 1] > 0.999


@pytest.mark.parametrize("style", STYLES)
def test_pitch_lies_in_the_range_of_the_style(style):
    pitch = np.concatenate([voiced_pitch(make(style, 6.0, seed=seed).waveform) for seed in (0, 1)])
    low, high = F0_RANGE[style]
    assert len(pitch) > 50
    # The lower quarter is free: a stretch with subharmonics has half the pitch.
    assert low < np.percentile(pitch, 25)
    assert np.percentile(pitch, 97) < high
    assert np.ptp(np.percentile(12 * np.log2(pitch), [25, 95])) > 1  # semitones: not monotone


@pytest.mark.parametrize("style", STYLES)
def test_melody_rises_and_falls(style):
    calm = {"rough_probability": 0.0, "leap_probability": 0.0, "expiration_s": (1.0, 1.0)}
    cry = synthesise(CryStyle(**{**vars(STYLES[style]), **calm}), 1.8, seed=0)
    start = int(cry.onsets[0] * RATE)
    first, top, last = (
        np.median(voiced_pitch(cry.waveform[start + int(a * RATE) : start + int(b * RATE)]))
        for a, b in ((0.03, 0.1), (0.2, 0.5), (0.75, 0.9))
    )
    assert top > 1.03 * first
    assert top > 1.05 * last


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("style", STYLES)
def test_onsets_are_where_the_sound_begins(style, seed):
    cry = make(style, 6.0, seed=seed)
    heard = [onset for onset in cry.onsets if onset < 5.9]
    rises = [
        level(cry.waveform, onset, onset + 0.06) - level(cry.waveform, onset - 0.06, onset)
        for onset in heard
    ]
    assert min(rises) > 6
    # Not only the truth but all of it: no other rise of an expiration's size between the onsets.
    fewest, most = {"rhythmic": (4, 5), "high_pitched": (2, 3), "whimper": (4, 9)}[style]
    assert fewest <= len(heard) <= most
    times = np.arange(0.1, 5.9, 0.02)
    before, after = (
        np.array([level(cry.waveform, t + shift, t + shift + 0.06) for t in times])
        for shift in (-0.06, 0)
    )
    begins = times[(after > after.max() - 15) & (after > before + 10)]
    assert len(begins) > 0
    assert all(np.abs(begin - np.array(heard)).min() < 0.15 for begin in begins)


def test_inspiration_is_audible_and_weaker():
    style = CryStyle(pause_s=(0.3, 0.3), inspiration_s=(0.2, 0.2), expiration_s=(1.0, 1.0))
    cry = synthesise(style, 2.5, seed=0)
    start = cry.onsets[0]
    out, silence, breath = (
        level(cry.waveform, start + a, start + b)
        for a, b in ((0.2, 0.8), (1.22, 1.29), (1.35, 1.45))
    )
    assert breath > silence + 6
    assert breath < out - 10


def test_pain_is_higher_and_more_abrupt_than_fussing():
    pain, fuss = (make(style, 6.0, seed=0) for style in ("high_pitched", "whimper"))
    assert np.median(voiced_pitch(pain.waveform)) > 1.6 * np.median(voiced_pitch(fuss.waveform))
    assert attack(pain) < 0.03
    assert attack(pain) < 0.6 * attack(fuss)
    assert np.abs(pain.waveform).max() > 3 * np.abs(fuss.waveform).max()


@pytest.mark.parametrize("style", STYLES)
def test_spectrum_has_a_formant_and_treble(style):
    wave = make(style, 6.0, seed=0).waveform
    power, hz = np.abs(np.fft.rfft(wave)) ** 2, np.fft.rfftfreq(len(wave), 1 / RATE)

    def band(low, high):
        return 10 * np.log10(power[(hz >= low) & (hz < high)].mean())

    assert band(700, 1_500) > band(1_700, 2_500) + 2  # first formant
    assert band(2_900, 3_400) > band(1_900, 2_400) - 3  # second, against the source's slope
    assert -40 < band(4_000, 7_900) - band(200, 2_000) < -5


def test_a_rough_voice_is_less_periodic():
    clean, rough = (
        synthesise(CryStyle(rough_probability=p, breath=0.02), 4.0, seed=2).waveform
        for p in (0.0, 1.0)
    )
    assert len(voiced_pitch(rough)) < 0.9 * len(voiced_pitch(clean))


def test_a_baby_has_one_voice_in_every_style():
    calm, pain = STYLES["rhythmic"], STYLES["high_pitched"]
    ratios = {seed: calm.of_baby(seed).f0_hz / calm.f0_hz for seed in range(8)}
    assert len({round(ratio, 6) for ratio in ratios.values()}) == 8
    assert all(0.8 < ratio < 1.25 for ratio in ratios.values())
    assert pain.of_baby(5).f0_hz / pain.f0_hz == pytest.approx(ratios[5])
    scale = np.divide(pain.of_baby(5).formants_hz, pain.formants_hz)
    np.testing.assert_allclose(scale, scale[0])
    low, high = sorted(ratios, key=ratios.get)[:: len(ratios) - 1]
    heard = [
        np.median(voiced_pitch(synthesise(calm.of_baby(seed), 2.0).waveform))
        for seed in (low, high)
    ]
    assert heard[1] / heard[0] == pytest.approx(ratios[high] / ratios[low], rel=0.1)


def test_nonsense_is_refused():
    with pytest.raises(ValueError, match=r"unknown style 'angry'.*rhythmic"):
        synthesise("angry", 1.0)
    with pytest.raises(ValueError, match="no sample"):
        synthesise("rhythmic", 0.0)
    with pytest.raises(ValueError, match="no sample"):
        synthesise("rhythmic", 1.0, sample_rate=0)


def test_examples_are_regenerated_byte_for_byte(tmp_path):
    made = {path.name: path.read_bytes() for path in write_examples(tmp_path)}
    assert made == {path.name: path.read_bytes() for path in EXAMPLES.glob("synthetic_*.wav")}


def test_examples_are_16_bit_mono_with_headroom():
    soundfile = pytest.importorskip("soundfile")
    names = {f"synthetic_{name}.wav" for name in (*STYLES, "door_chime")}
    assert {path.name for path in EXAMPLES.glob("*.wav")} == names
    for name in names:
        info = soundfile.info(EXAMPLES / name)
        assert (info.samplerate, info.channels, info.subtype) == (RATE, 1, "PCM_16")
        assert 5 <= info.duration <= 7
        peak = np.abs(soundfile.read(EXAMPLES / name)[0]).max()
        assert 20 * np.log10(peak) == pytest.approx(-3, abs=0.01)


def test_import_needs_only_numpy_and_scipy():
    code = (
        "import sys; sys.modules.update(soundfile=None, librosa=None); import train.data.synthesis;"
        "assert not {'torch', 'pandas', 'sklearn'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=EXAMPLES.parents[1], check=True)
