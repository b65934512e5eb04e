"""``cry_model.audio``: good files of every format."""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
import pytest
import soundfile

from cry_model import audio
from tests.cry_model.audio_checks import (
    RATE,
    assert_is_tone,
    level,
    loudest_frequency,
)
from tests.cry_model.encode import (
    OTHER_FORMATS,
    PYAV_FORMATS,
    SOUNDFILE_FORMATS,
    encode,
    tone,
    with_pyav,
    with_soundfile,
)

DATA = Path(os.environ.get("CRY_DATA", Path(__file__).parents[3] / "shared" / "data"))


RATES = {
    "wav": (8_000, 11_025, 16_000, 44_100, 48_000, 96_000, 192_000),
    "flac": (8_000, 16_000, 44_100, 48_000, 192_000),
    "ogg": (8_000, 16_000, 44_100, 48_000, 96_000),
    "mp3": (8_000, 16_000, 22_050, 44_100, 48_000),
    "aiff": (8_000, 44_100),
    "m4a": (8_000, 16_000, 44_100, 48_000, 96_000),
    "mp4": (16_000, 44_100),
    "webm": (48_000,),
    "mka": (8_000, 192_000),
    "mov": (8_000, 44_100),
    "avi": (8_000, 44_100),
    "au": (8_000, 44_100),
    "w64": (8_000, 44_100),
}
FILES = [(ending, rate) for ending, rates in RATES.items() for rate in rates]


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize(("ending", "rate"), FILES)
def test_files(ending, rate, channels):
    assert_is_tone(audio.load(encode(tone(rate, channels=channels), rate, ending)), rate)


@pytest.mark.parametrize("ending", [suffix[1:] for suffix in audio.SUFFIXES])
def test_every_suffix_is_read(tmp_path, ending):
    path = tmp_path / f"cry.{ending}"
    if ending == "awb":  # nothing here writes one: frames of 20 ms with any bits
        bits = np.random.default_rng(0)
        path.write_bytes(b"#!AMR-WB\n" + b"".join(b"\x44" + bits.bytes(60) for _ in range(50)))
        assert audio.load(path).duration == pytest.approx(1, abs=0.1)
        return
    if ending == "amr":  # a voice codec, which keeps no level
        path.write_bytes(with_pyav(tone(8_000), 8_000, ending))
        waveform = audio.load(path).waveform.numpy()
        assert loudest_frequency(waveform, 8_000) == pytest.approx(440, abs=2)
        return
    rate = 48_000
    samples = tone(rate)
    if ending in ("rf64", "bw64"):
        data = with_pyav(samples, rate, ending, options={"rf64": "always"})
        assert data.startswith(b"RF64")
        path.write_bytes(data.replace(b"RF64", ending.upper().encode(), 1))
    elif ending in OTHER_FORMATS:
        film = ending in ("3gp", "m4v", "mkv", "wmv")
        path.write_bytes(with_pyav(samples, rate, ending, video=film))
    else:
        path.write_bytes(encode(samples, rate, ending))
    assert_is_tone(audio.load(path), rate)


def test_no_format_of_these_tests_lacks_its_suffix():
    written = {f".{ending}" for ending in (*SOUNDFILE_FORMATS, *PYAV_FORMATS, *OTHER_FORMATS)}
    assert written <= set(audio.SUFFIXES)
    assert sorted(audio.SUFFIXES) == list(audio.SUFFIXES)


@pytest.mark.parametrize("ending", ["wav", "flac", "mka", "mov", "aiff"])
@pytest.mark.parametrize(
    ("gains", "expected"),
    [
        ((1, -1), 1),
        ((-1, 1), -1),
        ((1, -0.7), 1),
        ((0.4, -0.5), -0.5),
        ((0, 0, 1, 0, 0, 0), 1),
        ((1, 0, 0, 0, 0, 0, 0, 0), 1),
        ((1, -1, 0.5, -0.5, 0.2, -0.2), 1),
        ((1, 0), 0.5),
        ((1, 0.8), 0.9),
        ((1, -0.4), 0.3),
        ((1, 1, 1, 0, 1, 1), 5 / 6),
    ],
)
def test_channels_that_cancel_each_other(ending, gains, expected):
    wave = tone(48_000)[:, :1] * np.linspace(0.1, 1, 48_000, dtype=np.float32)[:, None]
    samples = wave * np.array(gains, np.float32)
    recording = audio.load(encode(samples, 48_000, ending))
    waveform = recording.waveform.numpy()
    np.testing.assert_allclose(waveform, expected * wave[:, 0], atol=2e-4)
    again = audio.load(samples, 48_000).waveform.numpy()
    np.testing.assert_allclose(again, expected * wave[:, 0], atol=1e-6)
    np.testing.assert_array_equal(audio.load(samples.T, 48_000).waveform.numpy(), again)


def test_an_offset_does_not_hide_that_channels_cancel():
    samples = tone(16_000) * np.array([1, -1], np.float32) + np.float32(0.4)
    waveform = audio.load(samples, 16_000).waveform.numpy()
    np.testing.assert_array_equal(waveform, samples[:, 0])


def test_channels_are_judged_over_the_whole_file():
    """In phase for a short while, as a bang in the room is, and opposite otherwise."""
    samples = tone(16_000, 60) * np.array([1, -1], np.float32)
    samples[-1_000:, 1] *= -1
    waveform = audio.load(with_soundfile(samples, 16_000, "FLAC")).waveform.numpy()
    np.testing.assert_allclose(waveform, samples[:, 0], atol=1e-4)


@pytest.mark.parametrize("channels", [6, 8])
@pytest.mark.parametrize("ending", ["wav", "flac", *PYAV_FORMATS])
def test_surround(ending, channels):
    if (ending, channels) == ("w64", 8):
        pytest.skip("FFmpeg writes no 7.1 sound to w64")
    samples = tone(48_000, channels=channels)
    samples[:, 3] = 0  # the bass channel, where AAC keeps no 440 Hz
    waveform = audio.load(encode(samples, 48_000, ending)).waveform.numpy()
    assert loudest_frequency(waveform, 48_000) == pytest.approx(440, abs=2)
    assert level(waveform) == pytest.approx(level(samples.mean(axis=1)), abs=1)


@pytest.mark.parametrize("ending", ["wav", "flac", "ogg", "mp3", "m4a", "webm", "mka"])
def test_mono_is_the_mean_of_the_channels(ending):
    samples = tone(48_000, channels=2)
    samples[:, 1] = 0
    waveform = audio.load(encode(samples, 48_000, ending)).waveform.numpy()
    half = level(tone(48_000)[:, 0] / 2)
    assert level(waveform) == pytest.approx(half, abs=1)


@pytest.mark.parametrize(
    ("container", "subtype", "tolerance"),
    [
        ("WAV", "PCM_U8", 2**-7),
        ("WAV", "PCM_16", 2**-15),
        ("WAV", "PCM_24", 2**-23),
        ("WAV", "PCM_32", 2**-23),
        ("WAV", "FLOAT", 0),
        ("WAV", "DOUBLE", 0),
        ("RF64", "PCM_16", 2**-15),
        ("FLAC", "PCM_24", 2**-23),
        ("AIFF", "PCM_S8", 2**-7),
        ("WAV", "ULAW", 0.02),
        ("WAV", "IMA_ADPCM", 0.05),
        ("OGG", "OPUS", 0.05),
        ("CAF", "ALAW", 0.02),
        ("W64", "PCM_24", 2**-23),
        ("AU", "PCM_16", 2**-15),
    ],
)
def test_sample_types_of_files(container, subtype, tolerance):
    samples = tone(RATE)
    recording = audio.load(with_soundfile(samples, RATE, container, subtype))
    middle = slice(4_000, 12_000)
    difference = recording.waveform.numpy()[middle] - samples[middle, 0]
    assert np.abs(difference).max() <= tolerance


def test_float_files_keep_a_level_above_full_scale():
    samples = tone(RATE, peak=4.0)
    for data in (with_soundfile(samples, RATE, "WAV", "FLOAT"), with_pyav(samples, RATE, "mka")):
        np.testing.assert_array_equal(audio.load(data).waveform.numpy(), samples[:, 0])


@pytest.mark.parametrize("ending", ["m4a", "mp4", "webm", "flac", "ogg", "mp3"])
def test_sound_starts_where_it_started(ending):
    samples = tone(48_000)
    samples[:24_000] = 0
    waveform = audio.load(encode(samples, 48_000, ending)).waveform.numpy()
    start = np.argmax(np.abs(waveform) > 0.1)
    assert start == pytest.approx(24_000, abs=1_200)  # 25 ms


def test_sound_of_a_film():
    assert_is_tone(audio.load(with_pyav(tone(44_100), 44_100, "mp4", video=True)), 44_100)


def test_recording_of_a_browser():
    assert_is_tone(audio.load(with_pyav(tone(48_000), 48_000, "webm", live=True)), 48_000)


@pytest.mark.parametrize("name", ["cry.wav", "cry.raw", "cry.txt", "cry", "crié à 3 h.mp3"])
@pytest.mark.parametrize("ending", ["wav", "webm", "mp3"])
def test_content_counts_and_not_the_name(tmp_path, name, ending):
    path = tmp_path / name
    path.write_bytes(encode(tone(48_000), 48_000, ending))
    assert_is_tone(audio.load(path), 48_000)
    assert_is_tone(audio.load(str(path)), 48_000)


@pytest.mark.parametrize("ending", ["wav", "m4a"])
def test_file_objects_are_read_from_their_start_and_left_open(tmp_path, ending):
    data = encode(tone(44_100), 44_100, ending)
    path = tmp_path / "cry.raw"
    path.write_bytes(data)
    with path.open("rb") as file:
        file.seek(0, os.SEEK_END)
        assert_is_tone(audio.load(file), 44_100)
        assert not file.closed
    for source in (io.BytesIO(data), bytearray(data), memoryview(data), NoSeeking(data)):
        assert_is_tone(audio.load(source), 44_100)


class NoSeeking(io.BytesIO):
    def seekable(self):
        return False

    def seek(self, *_):
        raise io.UnsupportedOperation("seek")


def test_tags_in_an_unknown_encoding():
    data = with_pyav(tone(44_100), 44_100, "m4a", title="Wxyz")
    assert b"Wxyz" in data
    assert_is_tone(audio.load(data.replace(b"Wxyz", b"\xe9\xff\xfe\xe8")), 44_100)


@pytest.mark.parametrize(
    "pattern",
    [
        "donateacry/*/*.wav",
        "donateacry_ios/*.flac",
        "esc10/*/*.ogg",
        "speech/*.wav",
        "challenge6/*.wav",
    ],
)
def test_real_recordings(pattern):
    paths = sorted(DATA.glob(pattern))
    if not paths:
        pytest.skip(f"no {pattern} in CRY_DATA")
    path = next(path for path in paths if soundfile.info(path).duration >= audio.MIN_SECONDS)
    samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    recording = audio.load(path)
    assert recording.sample_rate == rate
    np.testing.assert_allclose(recording.waveform.numpy(), samples.mean(axis=1), atol=1e-7)
