"""``cry_model.sound.audio``: bad inputs, each one sentence, and what damaged files still hold."""

from __future__ import annotations

import io
import os
import random
import struct
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from cry_model.sound import audio
from tests.cry_model.encode import (
    RATE,
    assert_is_for_a_parent,
    assert_is_tone,
    encode,
    loudest_frequency,
    png,
    tone,
    with_pyav,
    with_soundfile,
)

SOUND = tone()[:, 0]


def noise(start: bytes) -> bytes:
    return start + np.random.default_rng(0).bytes(100_000)


def text_file(path: Path) -> io.TextIOWrapper:
    path.write_text("a song")
    return path.open()


def closed_file() -> io.BytesIO:
    file = io.BytesIO(encode(tone(), RATE, "wav"))
    file.close()
    return file


def start_of_webm() -> bytes:
    data = with_pyav(tone(48_000), 48_000, "webm", live=True)
    return data[: data.index(b"\x1f\x43\xb6\x75")]  # up to the first cluster


def playlist(folder: Path, text: str) -> Path:
    (folder / "good.wav").write_bytes(encode(tone(), RATE, "wav"))
    path = folder / "list.m3u8"
    path.write_text(text.format(folder / "good.wav"))
    return path


def named_pipe(folder: Path) -> Path:
    os.mkfifo(folder / "pipe.wav")
    return folder / "pipe.wav"


# What makes each bad source out of an empty folder.
BAD = {
    audio.MissingAudioError: {
        "nothing": lambda _: None,
        "no such file": lambda folder: folder / "gone.wav",
        "impossible name": lambda _: "a\0b.wav",
        "long name": lambda _: "a" * 5_000,
    },
    audio.UndecodableAudioError: {
        "folder": lambda folder: folder,
        "named pipe": named_pipe,
        "number": lambda _: 42,
        "rate and array": lambda _: (RATE, SOUND),
        "text file": lambda folder: text_file(folder / "a.txt"),
        "closed file": lambda _: closed_file(),
        "text": lambda _: b"Dear baby,\nwhy do you cry?\n" * 99,
        "one byte": lambda _: b"R",
        "picture": lambda _: png(),
        "silent film": lambda _: with_pyav(None, RATE, "mp4", video=True),
        "hls playlist": lambda folder: playlist(folder, "#EXTM3U\n#EXTINF:1,\n{}\n"),
        "ffconcat": lambda folder: (
            playlist(folder, "") and b"ffconcat version 1.0\nfile good.wav\n"
        ),
        "unknown codec": lambda _: encode(tone(), RATE, "mka").replace(b"A_PCM", b"A_XYZ"),
        "noise": lambda _: noise(b""),
        "noise like flac": lambda _: noise(b"fLaC"),
        "noise like mp3": lambda _: noise(b"\xff\xfb"),
        "start of ogg's only page": lambda _: encode(tone(48_000, 3), 48_000, "ogg")[:6_500],
        "start of webm": lambda _: start_of_webm(),
    },
    audio.EmptyAudioError: {
        "bytes": lambda _: b"",
        "file object": lambda _: io.BytesIO(),
        "wav": lambda _: encode(tone(seconds=0), RATE, "wav"),
        "array": lambda _: np.zeros(0),
        "channels": lambda _: torch.zeros(0, RATE),
    },
    audio.SilentAudioError: {
        "array": lambda _: np.zeros(RATE),
        "offset": lambda _: np.full(RATE, 0.5),
        "uint8 at its end": lambda _: np.full(RATE, 255, np.uint8),
        "-61 dB": lambda _: SOUND * 2 * 10 ** (-61 / 20) + 0.1,
        "wav": lambda _: encode(0 * tone(), RATE, "wav"),
    },
    audio.TooShortError: {
        "wav": lambda _: encode(tone(seconds=0.3), RATE, "wav"),
        "one less": lambda _: SOUND[:7_999],
        "one sample": lambda _: SOUND[:1],
    },
    audio.TooLongError: {
        "wav": lambda _: encode(tone(8_000, 600.001), 8_000, "wav"),
        "flac": lambda _: encode(tone(8_000, 601), 8_000, "flac"),
        "mka": lambda _: with_pyav(tone(8_000, 601), 8_000, "mka", live=True),
        "array": lambda _: np.zeros(600 * RATE + 1, np.int16),
    },
    audio.SampleRateError: {
        "wav at 4 kHz": lambda _: encode(tone(4_000), 4_000, "wav"),
        "wav at 384 kHz": lambda _: encode(tone(384_000), 384_000, "wav"),
    },
    audio.InvalidSamplesError: {
        "nan": lambda _: SOUND * np.nan,
        "nan in a wav": lambda _: with_soundfile(np.append(SOUND, np.nan), RATE, "WAV", "FLOAT"),
        "nan in an mka": lambda _: encode(tone() * np.float32("nan"), RATE, "mka"),
        "too large for float32": lambda _: SOUND.astype(np.float64) * 1e300,
        "huge in opposite phase": lambda _: np.stack([SOUND, -SOUND]) * np.float32(1e30),
        "huge in a double wav": lambda _: with_soundfile(
            SOUND.astype(np.float64) * 1e200, RATE, "WAV", "DOUBLE"
        ),
        "infinity in opposite phase": lambda _: np.outer([1, -1], SOUND + 1) * np.inf,
        "complex": lambda _: SOUND + 0j,
        "bool": lambda _: SOUND > 0,
        "objects": lambda _: np.array([None] * RATE),
        "0-d": lambda _: np.array(0.5),
        "3-d": lambda _: np.zeros((2, 2, RATE)),
        "without data": lambda _: torch.ones(RATE, device="meta"),
    },
}
BAD_CASES = [
    pytest.param(error, make, id=f"{error.__name__}-{name}")
    for error, sources in BAD.items()
    for name, make in sources.items()
]


@pytest.mark.parametrize(("error", "make"), BAD_CASES)
def test_bad_inputs(tmp_path, capfd, caplog, monkeypatch, error, make):
    source = make(tmp_path)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(audio.AudioError) as caught:
        audio.load(source, RATE)
    assert caught.type is error
    assert_is_for_a_parent(caught.value)
    assert_is_tone(audio.load(encode(tone(), RATE, "wav")), RATE)
    assert capfd.readouterr() == ("", "")
    assert not caplog.records


NOT_A_RATE = [0, 7_999, 192_001, 10**400, 44_100.5, float("nan"), float("inf")]
NOT_A_RATE += [None, "16000", True, 1j, torch.tensor(RATE)]


@pytest.mark.parametrize("rate", NOT_A_RATE, ids=lambda rate: str(rate)[:20])
def test_bad_sample_rates(rate):
    for given in ((SOUND, rate), (audio.Recording(torch.from_numpy(SOUND), rate),)):
        with pytest.raises(audio.SampleRateError) as caught:
            audio.load(*given)
        assert_is_for_a_parent(caught.value)


def test_a_length_just_too_short_is_not_rounded_up():
    with pytest.raises(
        audio.TooShortError, match=r"only 0\.49 s long; please give at least 0\.5 s"
    ):
        audio.load(SOUND[:7_999], RATE)


def noisy_tone(seconds: float) -> np.ndarray:
    """At 48 kHz; the noise keeps codecs from packing all of it into a few bytes."""
    samples = tone(48_000, seconds)
    return samples + 0.02 * np.random.default_rng(0).standard_normal(samples.shape, np.float32)


def assert_is_about(data: bytes, seconds: float, within: float) -> None:
    recording = audio.load(data)
    assert recording.duration == pytest.approx(seconds, abs=within)
    assert loudest_frequency(recording.waveform.numpy(), 48_000) == pytest.approx(440, abs=2)


@pytest.mark.parametrize("ending", ["wav", "flac", "ogg", "mp3", "aiff", "webm"])
def test_cut_files(ending):
    data = encode(noisy_tone(3), 48_000, ending)
    assert_is_about(data[: len(data) * 7 // 10], 2, 0.6)


@pytest.mark.parametrize("ending", ["flac", "mp3", "m4a", "webm"])
def test_a_damaged_spot_costs_little(ending):
    data = bytearray(encode(noisy_tone(3), 48_000, ending))
    middle = len(data) // 2
    data[middle : middle + 50] = b"\xff" * 50
    assert_is_about(bytes(data), 3, 0.3)


def test_files_that_lie_about_their_length():
    wav, flac = encode(tone(), RATE, "wav"), bytearray(encode(tone(), RATE, "flac"))
    for length in (0, 2**31 - 1, 2**32 - 1, 10**9):
        assert_is_tone(audio.load(wav[:40] + struct.pack("<I", length) + wav[44:]), RATE)
    flac[21] &= 0xF0  # the 36 bits of the number of samples
    flac[22:26] = bytes(4)
    assert_is_tone(audio.load(bytes(flac)), RATE)


def test_damaged_aiff_headers_print_nothing(monkeypatch):
    printed = []  # what Python would write to stderr if pytest did not catch it
    monkeypatch.setattr(sys, "unraisablehook", printed.append)
    data = bytearray(encode(tone(), RATE, "aiff")[:25])
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

    monkeypatch.setattr(audio, "Mixer", Counted)
    monkeypatch.setattr(audio, "MAX_SECONDS", 2.0)
    with pytest.raises(audio.TooLongError):
        audio.load(encode(tone(48_000, 20), 48_000, ending))
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
