"""``cry_model.sound.audio``: good files of every format, arrays and tensors."""

from __future__ import annotations

import io
import os

import numpy as np
import pytest
import soundfile
import torch

from cry_model import CryClassifier
from cry_model.sound import audio
from tests.cry_model.encode import (
    OTHER_FORMATS,
    RATE,
    assert_is_tone,
    encode,
    level,
    loudest_frequency,
    tone,
    with_pyav,
    with_soundfile,
)

RATES = {
    "wav": (8_000, 11_025, 44_100, 192_000),
    **dict.fromkeys(("flac", "mka"), (8_000, 192_000)),
    **dict.fromkeys(("ogg", "m4a"), (8_000, 96_000)),
    **dict.fromkeys(("mp3", "aiff", "mov", "avi", "au", "w64"), (8_000, 44_100)),
    "webm": (48_000,),
}


@pytest.mark.parametrize(("ending", "rate"), [(e, r) for e, rates in RATES.items() for r in rates])
def test_files(ending, rate):
    assert_is_tone(audio.load(encode(tone(rate, channels=2), rate, ending)), rate)


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
        film, live = ending in ("3gp", "m4v", "mkv", "wmv"), ending == "weba"
        path.write_bytes(with_pyav(samples, rate, ending, video=film, live=live))
    else:
        path.write_bytes(encode(samples, rate, ending))
    assert_is_tone(audio.load(path), rate)


@pytest.mark.parametrize("ending", ["wav", "mka"])
@pytest.mark.parametrize(
    ("gains", "expected"),
    [
        ((1, -1), 1),
        ((0.4, -0.5), -0.5),
        ((1, 0, 0, 0, 0, 0, 0, 0), 1),
        ((1, -1, 0.5, -0.5, 0.2, -0.2), 1),
        ((1, -0.4), 0.3),
        ((1, 1, 1, 0, 1, 1), 5 / 6),
    ],
)
def test_channels_that_cancel_each_other(ending, gains, expected):
    wave = tone(48_000)[:, :1] * np.linspace(0.1, 1, 48_000, dtype=np.float32)[:, None]
    samples = wave * np.array(gains, np.float32)
    waveform = audio.load(encode(samples, 48_000, ending)).waveform.numpy()
    np.testing.assert_allclose(waveform, expected * wave[:, 0], atol=2e-4)
    again = audio.load(samples, 48_000).waveform.numpy()
    np.testing.assert_allclose(again, expected * wave[:, 0], atol=1e-6)
    np.testing.assert_array_equal(audio.load(samples.T, 48_000).waveform.numpy(), again)


def test_channels_that_cancel_are_judged_over_the_whole_file_and_without_an_offset():
    """In phase for a short while, as a bang in the room is, and opposite otherwise."""
    samples = tone(seconds=60) * np.array([1, -1], np.float32)
    samples[-1_000:, 1] *= -1
    samples += np.float32(0.4)
    waveform = audio.load(with_soundfile(samples, RATE, "FLAC")).waveform.numpy()
    np.testing.assert_allclose(waveform, samples[:, 0], atol=1e-4)


@pytest.mark.parametrize("ending", ["m4a", "webm", "flac", "mp3"])
def test_sound_starts_where_it_started_as_the_mean_of_the_channels(ending):
    samples = tone(48_000, 2, channels=2)
    samples[:, 1] = samples[:48_000] = 0
    waveform = audio.load(encode(samples, 48_000, ending)).waveform.numpy()
    start = np.argmax(np.abs(waveform) > 0.05)
    assert start == pytest.approx(48_000, abs=1_200)  # 25 ms
    assert level(waveform[48_000:]) == pytest.approx(level(samples[48_000:, 0] / 2), abs=1)


def test_float_files_keep_a_level_above_full_scale():
    samples = tone(peak=4.0)
    for data in (with_soundfile(samples, RATE, "WAV", "FLOAT"), with_pyav(samples, RATE, "mka")):
        np.testing.assert_array_equal(audio.load(data).waveform.numpy(), samples[:, 0])


@pytest.mark.parametrize(
    ("name", "ending"), [("cry.raw", "wav"), ("cry", "mp3"), ("crié à 3 h.mp3", "webm")]
)
def test_content_counts_and_not_the_name(tmp_path, name, ending):
    path = tmp_path / name
    path.write_bytes(encode(tone(48_000), 48_000, ending))
    assert_is_tone(audio.load(path), 48_000)
    assert_is_tone(audio.load(str(path)), 48_000)


class NoSeeking(io.BytesIO):
    def seekable(self):
        return False

    def seek(self, *_):
        raise io.UnsupportedOperation("seek")


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


def test_tags_in_an_unknown_encoding():
    data = with_pyav(tone(44_100), 44_100, "m4a", title="Wxyz")
    assert b"Wxyz" in data
    assert_is_tone(audio.load(data.replace(b"Wxyz", b"\xe9\xff\xfe\xe8")), 44_100)


@pytest.mark.parametrize(
    ("subtype", "dtype"), [("PCM_16", "int16"), ("PCM_24", "int32"), ("DOUBLE", "float64")]
)
def test_arrays_like_files(subtype, dtype):
    data = with_soundfile(tone(channels=2), RATE, "WAV", subtype)
    samples, rate = soundfile.read(io.BytesIO(data), dtype=dtype)
    expected = audio.load(data).waveform
    for array in (samples, samples.T, torch.from_numpy(samples), samples[::-1][::-1]):
        assert torch.equal(audio.load(array, rate).waveform, expected)


INTEGERS = [*(f"{u}int{bits}" for u in ("", "u") for bits in (8, 16, 32, 64)), ">i2"]


@pytest.mark.parametrize("dtype", [*INTEGERS, "float16", "float64", "longdouble", ">f4"])
def test_any_real_type_fills_minus_one_to_one(dtype):
    kind, full, middle = np.dtype(dtype), 1.0, 0.0
    if kind.kind in "iu":
        full = 2.0 ** (8 * kind.itemsize - 1)
        middle = full if kind.kind == "u" else 0.0
    samples = (tone(peak=0.99)[:, 0].astype(np.longdouble) * full + middle).astype(dtype)
    samples[:2] = (np.iinfo(kind).min, np.iinfo(kind).max) if kind.kind in "iu" else (-1, 1)
    samples.flags.writeable = False
    found = audio.load(samples, np.float32(RATE))
    assert type(found.sample_rate) is int
    expected = (samples.astype(np.longdouble) - middle) / full
    np.testing.assert_allclose(found.waveform.numpy(), expected.astype(np.float64), atol=1e-7)
    assert found.waveform[0] == -1


def test_tensors_of_other_floats_and_with_a_gradient():
    samples = torch.from_numpy(tone(peak=3.0)[:, 0]).to(torch.bfloat16).requires_grad_()
    waveform = audio.load(samples, RATE).waveform
    assert torch.equal(waveform, samples.detach().float())
    assert not waveform.requires_grad


def test_the_result_shares_no_memory():
    samples = tone()[:, 0]
    recording = audio.load(torch.from_numpy(samples), RATE)
    again = audio.load(recording, 44_100)  # which brings its own rate
    assert again.sample_rate == RATE
    samples[:] = 0
    recording.waveform[:] = 0
    assert again.waveform.abs().max() > 0.4


def test_the_loudest_samples_are_answered():
    """No finite sample that is let in may end in anything but an answer."""
    samples = tone()[:, 0] * np.float32(2**33)
    for name, detector in (("six-class", True), ("six-class-features", False)):
        model = CryClassifier.from_pretrained(name, detector=detector)
        assert sum(model.predict(samples, RATE).probabilities.values()) == pytest.approx(1)
    with pytest.raises(audio.InvalidSamplesError):
        audio.load(2 * samples, RATE)


@pytest.mark.parametrize(("rate", "seconds"), [(8_000, 0.5), (8_000, 600), (192_000, 0.5)])
@pytest.mark.parametrize("make", [lambda samples, _: samples, with_soundfile])
def test_limits_are_allowed(rate, seconds, make):
    assert audio.load(make(tone(rate, seconds), rate), rate).duration == seconds
