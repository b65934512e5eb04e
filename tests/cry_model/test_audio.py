"""``cry_model.audio``: every kind of input, good and bad."""

from __future__ import annotations

import io
import os
import random
import re
import struct
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from cry_model import audio
from tests.cry_model.encode import PYAV_FORMATS, encode, png, tone, with_pyav, with_soundfile

RATE = 16_000
DATA = Path(os.environ.get("CRY_DATA", Path(__file__).parents[3] / "shared" / "data"))

# Good files ---------------------------------------------------------------------------------------

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


def level(waveform: np.ndarray) -> float:
    """RMS in dB of the middle, where no codec fades in or out."""
    quarter = len(waveform) // 4
    return 10 * np.log10(np.mean(waveform[quarter:-quarter] ** 2))


def loudest_frequency(waveform: np.ndarray, rate: int) -> float:
    spectrum = np.abs(np.fft.rfft(waveform * np.hanning(len(waveform))))
    return np.argmax(spectrum) * rate / len(waveform)


def assert_is_tone(recording: audio.Recording, rate: int, seconds: float = 1.0) -> None:
    waveform = recording.waveform.numpy()
    assert recording.sample_rate == rate
    assert recording.waveform.dtype == torch.float32
    assert recording.waveform.ndim == 1
    assert recording.duration == len(waveform) / rate
    # AAC and mp3 come in frames, of up to 1,152 samples.
    assert seconds - 0.001 <= recording.duration <= seconds + 2 * 1152 / rate
    assert loudest_frequency(waveform, rate) == pytest.approx(440, abs=2)
    assert level(waveform) == pytest.approx(level(tone(rate)[:, 0]), abs=1)


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize(("ending", "rate"), FILES)
def test_files(ending, rate, channels):
    assert_is_tone(audio.load(encode(tone(rate, channels=channels), rate, ending)), rate)


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


# Arrays -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("container", "subtype", "dtype"),
    [
        ("WAV", "PCM_16", "int16"),
        ("WAV", "PCM_24", "int32"),
        ("WAV", "PCM_32", "int32"),
        ("WAV", "FLOAT", "float32"),
        ("WAV", "DOUBLE", "float64"),
        ("FLAC", "PCM_16", "int16"),
    ],
)
@pytest.mark.parametrize("channels", [1, 2])
def test_arrays_like_files(container, subtype, dtype, channels):
    data = with_soundfile(tone(RATE, channels=channels), RATE, container, subtype)
    samples, rate = soundfile.read(io.BytesIO(data), dtype=dtype)
    expected = audio.load(data).waveform
    for array in (samples, samples.T, torch.from_numpy(samples), samples[::-1][::-1]):
        assert torch.equal(audio.load(array, rate).waveform, expected)


def test_uint8_like_a_file():
    data = with_soundfile(tone(RATE), RATE, "WAV", "PCM_U8")
    samples = np.frombuffer(data[-RATE:], dtype=np.uint8)  # read-only, too
    assert torch.equal(audio.load(samples, RATE).waveform, audio.load(data).waveform)


@pytest.mark.parametrize("dtype", [f"{u}int{bits}" for u in ("", "u") for bits in (8, 16, 32, 64)])
def test_integers_fill_minus_one_to_one(dtype):
    low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
    waveform = audio.load(np.array([low, high] * RATE, dtype=dtype), RATE).waveform
    assert waveform.min() == -1
    assert 1 - 2**-7 <= waveform.max() <= 1
    middle = (int(low) + int(high) + 1) // 2
    samples = np.array([low, middle] * RATE, dtype=dtype)
    assert audio.load(samples, RATE).waveform.max() == 0


def test_small_unsigned_values_are_exact():
    samples = np.array([0, 2**31 + 1] * RATE, dtype=np.uint32)
    assert audio.load(samples, RATE).waveform.max() == 2**-31


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_float_tensors(dtype):
    samples = torch.from_numpy(tone(RATE, peak=3.0)[:, 0]).to(getattr(torch, dtype))
    samples.requires_grad_()
    recording = audio.load(samples, RATE)
    assert torch.equal(recording.waveform, samples.detach().float())
    assert not recording.waveform.requires_grad


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "longdouble", ">f4", ">i2"])
def test_float_and_big_endian_arrays(dtype):
    scale = 2**15 if dtype == ">i2" else 1
    samples = (tone(RATE)[:, 0] * scale).astype(dtype)
    waveform = audio.load(samples, RATE).waveform.numpy()
    np.testing.assert_allclose(waveform, samples.astype(np.float64) / scale, atol=1e-7)


def test_the_smaller_dimension_is_the_channels():
    samples = tone(RATE, channels=2)
    samples[:, 1] = 0
    expected = torch.from_numpy(samples[:, 0] / 2)
    assert torch.equal(audio.load(samples, RATE).waveform, expected)
    assert torch.equal(audio.load(samples.T, RATE).waveform, expected)
    for column in (samples[:, :1], samples[:, :1].T):
        assert torch.equal(audio.load(column, RATE).waveform, torch.from_numpy(samples[:, 0]))


def test_masks_are_ignored():
    samples = np.ma.masked_less(tone(RATE)[:, 0], 0)
    assert torch.equal(audio.load(samples, RATE).waveform, torch.from_numpy(samples.data))


@pytest.mark.parametrize("as_tensor", [False, True])
def test_the_result_shares_no_memory(as_tensor):
    samples = tone(RATE)[:, 0]
    recording = audio.load(torch.from_numpy(samples) if as_tensor else samples, RATE)
    again = audio.load(recording)
    samples[:] = 0
    recording.waveform[:] = 0
    assert again.waveform.abs().max() > 0.4


def test_a_recording_is_checked_again():
    recording = audio.load(tone(RATE), RATE)
    again = audio.load(recording, 44_100)
    assert again.sample_rate == RATE
    assert torch.equal(again.waveform, recording.waveform)
    with pytest.raises(audio.SampleRateError):
        audio.load(audio.Recording(recording.waveform, 0))


@pytest.mark.parametrize("rate", [RATE, float(RATE), np.int64(RATE), np.float32(RATE)])
def test_sample_rates(rate):
    recording = audio.load(tone(RATE), rate)
    assert type(recording.sample_rate) is int
    assert recording.sample_rate == RATE


def test_limits_are_allowed():
    assert audio.load(tone(8_000, 0.5), 8_000).duration == 0.5
    assert audio.load(tone(8_000, 600), 8_000).duration == 600
    assert audio.load(with_soundfile(tone(8_000, 600), 8_000)).duration == 600
    assert audio.load(tone(192_000, 0.5), 192_000).duration == 0.5


# Bad inputs ---------------------------------------------------------------------------------------


def wav_with_length(length: int, seconds: float = 1.0) -> bytes:
    """A wav whose header states ``length`` bytes of samples."""
    data = with_soundfile(tone(RATE, seconds), RATE)
    return data[:40] + struct.pack("<I", length) + data[44:]


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


def assert_is_for_a_parent(error: audio.AudioError) -> None:
    message = str(error)
    assert re.fullmatch(r"[A-Z][^/\\\n_]{20,110}\.", message)
    assert ". " not in message
    assert "Traceback" not in message
    assert not re.search("ffmpeg|libsndfile|numpy|torch|tensor|dtype|Error|tmp", message, re.I)
    # A log of the error shows no other error, whose message could hold a path.
    assert error.__cause__ is None
    assert error.__context__ is None or error.__suppress_context__


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


# Damaged files ------------------------------------------------------------------------------------


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
    mix = audio._mix
    monkeypatch.setattr(audio, "_mix", lambda block: decoded.append(len(block)) or mix(block))
    monkeypatch.setattr(audio, "MAX_SECONDS", 2.0)
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
