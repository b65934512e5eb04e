"""``cry_model.audio``: damaged and lying files."""

from __future__ import annotations

import random
import sys
from pathlib import Path

import numpy as np
import pytest

from cry_model import audio
from cry_model import audio as decoding
from tests.cry_model.audio_checks import (
    RATE,
    assert_is_for_a_parent,
    assert_is_tone,
    loudest_frequency,
    wav_with_length,
)
from tests.cry_model.encode import encode, png, tone


def noisy_tone(seconds: float) -> np.ndarray:
    """At 48 kHz; the noise keeps codecs from packing all of it into a few bytes."""
    samples = tone(48_000, seconds)
    return samples + 0.02 * np.random.default_rng(0).standard_normal(samples.shape, np.float32)


@pytest.mark.parametrize("ending", ["wav", "flac", "ogg", "mp3", "aiff", "webm", "mka", "avi"])
def test_cut_files(ending):
    data = encode(noisy_tone(3), 48_000, ending)
    recording = audio.load(data[: len(data) * 7 // 10])
    assert recording.duration == pytest.approx(2, abs=0.6)
    assert loudest_frequency(recording.waveform.numpy(), 48_000) == pytest.approx(440, abs=2)


@pytest.mark.parametrize("ending", ["flac", "mp3", "m4a", "webm"])
def test_a_damaged_spot_costs_little(ending):
    data = bytearray(encode(noisy_tone(3), 48_000, ending))
    middle = len(data) // 2
    data[middle : middle + 50] = b"\xff" * 50
    recording = audio.load(bytes(data))
    assert recording.duration == pytest.approx(3, abs=0.3)
    assert loudest_frequency(recording.waveform.numpy(), 48_000) == pytest.approx(440, abs=2)


@pytest.mark.parametrize("length", [0, 2**31 - 1, 2**32 - 1, 10**9])
def test_wav_that_lies_about_its_length(length):
    assert_is_tone(audio.load(wav_with_length(length)), RATE)


def test_flac_without_length():
    data = bytearray(encode(tone(RATE), RATE, "flac"))
    data[21] &= 0xF0  # the 36 bits of the number of samples
    data[22:26] = bytes(4)
    assert_is_tone(audio.load(bytes(data)), RATE)


def test_damaged_aiff_headers_print_nothing(monkeypatch):
    printed = []  # what Python would write to stderr if pytest did not catch it
    monkeypatch.setattr(sys, "unraisablehook", printed.append)
    data = bytearray(encode(tone(RATE), RATE, "aiff")[:25])
    for value in range(256):
        data[4] = value
        with pytest.raises(audio.AudioError):
            audio.load(bytes(data))
    assert not printed


def test_joined_files_of_two_rates():
    parts = [encode(tone(rate), rate, "mp3") for rate in (48_000, 44_100)]
    recording = audio.load(b"".join(parts))
    assert recording.duration == pytest.approx(2, abs=0.1)
    for second in recording.waveform.numpy()[: 2 * recording.sample_rate].reshape(2, -1):
        assert loudest_frequency(second, recording.sample_rate) == pytest.approx(440, abs=2)


@pytest.mark.parametrize(("ending", "most"), [("wav", 0), ("flac", 0), ("mp3", 3), ("webm", 3)])
def test_long_files_are_not_decoded_whole(monkeypatch, ending, most):
    decoded = []

    class Counted(audio.Mixer):
        def __call__(self, samples):
            decoded.append(len(samples))
            return super().__call__(samples)

    monkeypatch.setattr(decoding, "Mixer", Counted)
    for module in (audio, decoding):
        monkeypatch.setattr(module, "MAX_SECONDS", 2.0)
    data = encode(tone(48_000, 20), 48_000, ending)
    with pytest.raises(audio.TooLongError):
        audio.load(data)
    assert sum(decoded) <= most * 48_000


def test_fuzz(capfd):
    """200 damaged files: each loads or raises an AudioError, and nothing is printed."""
    rng = random.Random(0)
    rates = dict.fromkeys(("wav", "flac", "ogg", "mp3", "m4a", "mka", "mov", "avi"), RATE)
    rates["webm"] = 48_000
    files = [bytearray(encode(tone(rate, 0.7), rate, ending)) for ending, rate in rates.items()]
    outcomes = []
    for _ in range(200):
        data = rng.choice(files).copy()
        if rng.random() < 0.3:
            data = data[: rng.randrange(len(data))]
        for _ in range(rng.choice((0, 1, 10, 100))):
            reach = rng.choice((64, 1_024, len(data)))  # headers are small and matter most
            if data:
                data[rng.randrange(min(reach, len(data)))] ^= 1 << rng.randrange(8)
        try:
            outcomes.append(audio.load(bytes(data)).waveform.isfinite().all())
        except audio.AudioError as error:
            assert_is_for_a_parent(error)
            outcomes.append(False)
    assert 20 < sum(outcomes) < 180
    assert capfd.readouterr() == ("", "")


def test_no_file_stays_open(tmp_path):
    folder = Path("/proc/self/fd")
    if not folder.exists():
        pytest.skip("no /proc here")
    paths = [tmp_path / f"cry.{ending}" for ending in ("wav", "ogg", "mp3", "m4a", "webm", "png")]
    for path in paths:
        data = png() if path.suffix == ".png" else encode(tone(48_000), 48_000, path.suffix[1:])
        path.write_bytes(data)
        path.with_name(f"cut_{path.name}").write_bytes(data[:200])
    paths += [path.with_name(f"cut_{path.name}") for path in paths] + [tmp_path]
    errors = []  # an error that is kept must not keep a file open
    before = len(list(folder.iterdir()))
    for path in paths * 3:
        try:
            audio.load(path)
        except audio.AudioError as error:
            errors.append(error)
    assert errors
    assert len(list(folder.iterdir())) == before
