"""``cry_model.audio``: bad inputs, the exact error and one sentence."""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from cry_model import audio
from tests.cry_model.audio_checks import (
    RATE,
    assert_is_for_a_parent,
    assert_is_tone,
)
from tests.cry_model.encode import encode, png, tone, with_pyav, with_soundfile


def noise(start: bytes) -> bytes:
    return start + np.random.default_rng(0).bytes(100_000)


def text_file(path: Path) -> io.TextIOWrapper:
    path.write_text("a song")
    return path.open()


def closed_file() -> io.BytesIO:
    file = io.BytesIO(encode(tone(RATE), RATE, "wav"))
    file.close()
    return file


def start_of_webm() -> bytes:
    data = with_pyav(tone(48_000), 48_000, "webm", live=True)
    return data[: data.index(b"\x1f\x43\xb6\x75")]  # up to the first cluster


def playlist(folder: Path, text: str) -> Path:
    (folder / "good.wav").write_bytes(encode(tone(RATE), RATE, "wav"))
    path = folder / "list.m3u8"
    path.write_text(text.format(folder / "good.wav"))
    return path


def named_pipe(folder: Path) -> Path:
    if not hasattr(os, "mkfifo"):
        pytest.skip("no named pipes here")
    os.mkfifo(folder / "pipe.wav")
    return folder / "pipe.wav"


def silent(ending: str) -> bytes:
    return encode(0 * tone(RATE), RATE, ending)


SOUND = tone(RATE)[:, 0]
NOT_A_RATE = [0, -RATE, 7_999, 192_001, 10**400, 44_100.5, float("nan"), float("inf")]
NOT_A_RATE += [None, "16000", True, 1j, [RATE], torch.tensor(RATE)]
# What makes each bad source out of an empty folder.
BAD = {
    audio.MissingAudioError: {
        "nothing": lambda _: None,
        "no such file": lambda folder: folder / "gone.wav",
        "file as folder": lambda folder: playlist(folder, "") / "a.wav",
        "empty name": lambda _: "",
        "impossible name": lambda _: "a\0b.wav",
        "long name": lambda _: "a" * 5_000,
        "address": lambda _: "https://example.org/cry.wav",
    },
    audio.UndecodableAudioError: {
        "folder": lambda folder: folder,
        "named pipe": named_pipe,
        "number": lambda _: 42,
        "list": lambda _: [0.1] * RATE,
        "rate and array": lambda _: (RATE, SOUND),
        "text file": lambda folder: text_file(folder / "a.txt"),
        "text object": lambda _: io.StringIO("a song"),
        "closed file": lambda _: closed_file(),
        "text": lambda _: b"Dear baby,\nwhy do you cry?\n" * 99,
        "one byte": lambda _: b"R",
        "picture": lambda _: png(),
        "jpeg": lambda _: noise(b"\xff\xd8\xff\xe0"),
        "zip": lambda _: noise(b"PK\3\4"),
        "silent film": lambda _: with_pyav(None, RATE, "mp4", video=True),
        "hls playlist": lambda folder: playlist(folder, "#EXTM3U\n#EXTINF:1,\n{}\n"),
        "unknown codec": lambda _: encode(tone(RATE), RATE, "mka").replace(b"A_PCM", b"A_XYZ"),
        "noise": lambda _: noise(b""),
        "noise like wav": lambda _: noise(b"RIFF"),
        "noise like flac": lambda _: noise(b"fLaC"),
        "noise like ogg": lambda _: noise(b"OggS"),
        "noise like mp3": lambda _: noise(b"\xff\xfb"),
        "noise like tags": lambda _: noise(b"ID3\3\0\0\0\0\0\0"),
        "start of flac": lambda _: encode(tone(RATE), RATE, "flac")[:99],
        "start of ogg": lambda _: encode(tone(RATE), RATE, "ogg")[:999],
        "start of ogg's only page": lambda _: encode(tone(48_000, 3), 48_000, "ogg")[:6_500],
        "start of m4a": lambda _: encode(tone(RATE), RATE, "m4a")[:5_000],
        "start of webm": lambda _: start_of_webm(),
    },
    audio.EmptyAudioError: {
        "bytes": lambda _: b"",
        "file object": lambda _: io.BytesIO(),
        "wav": lambda _: encode(tone(RATE, 0), RATE, "wav"),
        "array": lambda _: np.zeros(0),
        "channels": lambda _: torch.zeros(0, RATE),
    },
    audio.SilentAudioError: {
        "array": lambda _: np.zeros(RATE),
        "offset": lambda _: np.full(RATE, 0.5),
        "uint8": lambda _: np.full(RATE, 128, np.uint8),
        "uint8 at its end": lambda _: np.full(RATE, 255, np.uint8),
        "int16 at its end": lambda _: np.full(RATE, -(2**15), np.int16),
        "tiny": lambda _: SOUND * np.float32(1e-30),
        "denormal": lambda _: SOUND * np.float32(1e-40),
        "float64 below float32": lambda _: SOUND.astype(np.float64) * 1e-300,
        "-61 dB": lambda _: SOUND * 2 * 10 ** (-61 / 20) + 0.1,
        "wav": lambda _: silent("wav"),
        "m4a": lambda _: silent("m4a"),
    },
    audio.TooShortError: {
        "wav": lambda _: encode(tone(RATE, 0.3), RATE, "wav"),
        "webm": lambda _: encode(tone(48_000, 0.3), 48_000, "webm"),
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
        "mka at 4 kHz": lambda _: encode(tone(4_000), 4_000, "mka"),
        "wav at 384 kHz": lambda _: encode(tone(384_000), 384_000, "wav"),
    },
    audio.InvalidSamplesError: {
        "nan": lambda _: SOUND * np.nan,
        "one nan": lambda _: np.append(SOUND, np.nan),
        "infinity": lambda _: np.append(SOUND, [np.inf, -np.inf]),
        "nan in a tensor": lambda _: torch.full((RATE,), torch.nan),
        "nan in a wav": lambda _: with_soundfile(np.append(SOUND, np.nan), RATE, "WAV", "FLOAT"),
        "nan in an mka": lambda _: encode(tone(RATE) * np.float32("nan"), RATE, "mka"),
        "too large for float32": lambda _: SOUND.astype(np.float64) * 1e300,
        "huge": lambda _: SOUND * np.float32(1e20),
        "one huge sample": lambda _: np.append(SOUND, np.float32(-1e30)),
        "huge in opposite phase": lambda _: np.stack([SOUND, -SOUND]) * np.float32(1e30),
        "the largest of all": lambda _: np.full(RATE, np.finfo(np.float32).max) * np.sign(SOUND),
        "huge tensor": lambda _: torch.from_numpy(SOUND) * 1e12,
        "huge in a wav": lambda _: with_soundfile(SOUND * 1e30, RATE, "WAV", "FLOAT"),
        "huge in a double wav": lambda _: with_soundfile(
            SOUND.astype(np.float64) * 1e200, RATE, "WAV", "DOUBLE"
        ),
        "huge in an mka": lambda _: encode(tone(RATE) * np.float32(1e25), RATE, "mka"),
        "nan in one channel": lambda _: np.stack([SOUND, SOUND * np.nan]),
        "infinity in opposite phase": lambda _: np.outer([1, -1], SOUND + 1) * np.inf,
        "complex": lambda _: SOUND + 0j,
        "complex tensor": lambda _: torch.ones(RATE) * 1j,
        "bool": lambda _: SOUND > 0,
        "bool tensor": lambda _: torch.ones(RATE) > 0,
        "strings": lambda _: np.array(["a"] * RATE),
        "objects": lambda _: np.array([None] * RATE),
        "dates": lambda _: np.zeros(RATE, "datetime64[s]"),
        "0-d": lambda _: np.array(0.5),
        "3-d": lambda _: np.zeros((2, 2, RATE)),
        "3-d tensor": lambda _: torch.zeros(1, 1, RATE),
        "sparse": lambda _: torch.ones(RATE).to_sparse(),
        "without data": lambda _: torch.ones(RATE, device="meta"),
    },
}
BAD_CASES = [
    pytest.param(error, make, id=f"{error.__name__}-{name}")
    for error, sources in BAD.items()
    for name, make in sources.items()
]


@pytest.mark.parametrize(("error", "make"), BAD_CASES)
def test_bad_inputs(tmp_path, capfd, caplog, error, make):
    source = make(tmp_path)
    with pytest.raises(audio.AudioError) as caught:
        audio.load(source, RATE)
    assert caught.type is error
    assert_is_for_a_parent(caught.value)
    assert_is_tone(audio.load(encode(tone(RATE), RATE, "wav")), RATE)
    assert capfd.readouterr() == ("", "")
    assert not caplog.records


@pytest.mark.parametrize("rate", NOT_A_RATE, ids=lambda rate: str(rate)[:20])
def test_bad_sample_rates(rate):
    for samples in (SOUND, torch.from_numpy(SOUND)):
        with pytest.raises(audio.SampleRateError) as caught:
            audio.load(samples, rate)
        assert_is_for_a_parent(caught.value)


def test_messages():
    with pytest.raises(audio.TooShortError) as caught:
        audio.load(tone(RATE, 0.3), RATE)
    assert str(caught.value) == "The recording is only 0.3 s long; please give at least 0.5 s."
    with pytest.raises(audio.TooShortError, match=r"only 0\.49 s long"):
        audio.load(SOUND[:7_999], RATE)
    with pytest.raises(audio.TooLongError, match=r"longer than 10 minutes"):
        audio.load(np.zeros(601 * 8_000), 8_000)
    with pytest.raises(audio.UndecodableAudioError, match=r"There is no sound in this file"):
        audio.load(with_pyav(None, RATE, "avi", video=True))


def test_playlists_open_no_other_file(tmp_path, monkeypatch):
    (tmp_path / "good.wav").write_bytes(encode(tone(RATE), RATE, "wav"))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(audio.UndecodableAudioError):
        audio.load(b"ffconcat version 1.0\nfile good.wav\n")


def test_unreadable_file(tmp_path):
    path = tmp_path / "cry.wav"
    path.write_bytes(encode(tone(RATE), RATE, "wav"))
    path.chmod(0)
    if os.access(path, os.R_OK):
        pytest.skip("nothing is unreadable for root")
    with pytest.raises(audio.MissingAudioError):
        audio.load(path)


@pytest.mark.parametrize(
    "samples", [torch.zeros(0), torch.zeros(9), torch.ones(9), torch.tensor([9e-4, -9e-4])]
)
def test_require_sound_refuses(samples):
    with pytest.raises(audio.SilentAudioError) as caught:
        audio.require_sound(samples)
    assert_is_for_a_parent(caught.value)


def test_require_sound_accepts():
    audio.require_sound(torch.tensor([1.1e-3, -1.1e-3]) + 0.5)
