"""Test that ``cry_model.sound.audio`` loads valid files of every format, arrays and tensors."""

import io
import os

import numpy as np
import pytest
import torch

from cry_model import CryClassifier
from cry_model.sound import audio
from tests.cry_model import encode as files
from tests.cry_model.encode import RATE, assert_is_tone, encode, tone, with_pyav, with_soundfile

FORMATS = [
    *((suffix[1:], 48_000) for suffix in audio.SUFFIXES if suffix not in (".amr", ".awb")),
    *((e, 8_000) for e in (*files.BY_SOUNDFILE, "mka", "m4a", "mov", "avi", "au", "w64")),
    *((ending, 96_000) for ending in ("ogg", "m4a")),
    *((ending, 192_000) for ending in ("wav", "flac", "mka")),
]


@pytest.mark.parametrize(("ending", "rate"), FORMATS)
def test_every_format_is_read(tmp_path, ending, rate):
    path, samples = tmp_path / f"cry.{ending}", tone(rate, channels=2)
    if ending in ("rf64", "bw64"):
        data = with_pyav(samples, rate, ending, options={"rf64": "always"})
        assert data.startswith(b"RF64")
        path.write_bytes(data.replace(b"RF64", ending.upper().encode(), 1))
    elif ending in ("3gp", "m4v", "mkv", "wmv"):
        path.write_bytes(with_pyav(samples, rate, ending, video=True))
    elif ending == "weba":
        path.write_bytes(with_pyav(samples, rate, ending, live=True))
    else:
        path.write_bytes(encode(samples, rate, ending))
    assert_is_tone(audio.load(path), rate)


def test_voice_codecs_are_read():
    assert_is_tone(audio.load(encode(tone(8_000), 8_000, "amr")), 8_000, within=2)
    bits = np.random.default_rng(0)  # there is no AMR-WB encoder here: 20 ms frames of random bits
    data = b"#!AMR-WB\n" + b"".join(b"\x44" + bits.bytes(60) for _ in range(50))
    assert audio.load(data).duration == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("ending", ["wav", "mka"])
@pytest.mark.parametrize(
    ("gains", "expected"),
    [
        ((1, -1), 1), ((0.4, -0.5), -0.5), ((1, 0, 0, 0, 0, 0, 0, 0), 1),
        ((1, -1, 0.5, -0.5, 0.2, -0.2), 1), ((1, -0.4), 0.3), ((1, 1, 1, 0, 1, 1), 5 / 6),
    ],
)  # fmt: skip
def test_mixdown_takes_the_loudest_channel_if_channels_cancel(ending, gains, expected):
    wave = tone(48_000)[:, :1] * np.linspace(0.1, 1, 48_000, dtype=np.float32)[:, None]
    samples = wave * np.array(gains, np.float32)
    waveform = audio.load(encode(samples, 48_000, ending)).waveform.numpy()
    np.testing.assert_allclose(waveform, expected * wave[:, 0], atol=2e-4)
    again = audio.load(samples, 48_000).waveform.numpy()
    np.testing.assert_allclose(again, expected * wave[:, 0], atol=1e-6)
    np.testing.assert_array_equal(audio.load(samples.T, 48_000).waveform.numpy(), again)


def test_cancellation_is_judged_over_the_whole_file_without_dc():
    """Use opposite channels, in phase only for a short while, as during a bang in the room."""
    samples = tone(seconds=60) * np.array([1, -1], np.float32)
    samples[-1_000:, 1] *= -1
    samples += np.float32(0.4)
    waveform = audio.load(with_soundfile(samples, RATE, "FLAC")).waveform.numpy()
    np.testing.assert_allclose(waveform, samples[:, 0], atol=1e-4)


@pytest.mark.parametrize("ending", ["m4a", "webm", "flac", "mp3"])
def test_codecs_keep_the_onset_and_channels_are_averaged(ending):
    samples = tone(48_000, 2, channels=2)
    samples[:, 1] = samples[:48_000] = 0
    waveform = audio.load(encode(samples, 48_000, ending)).waveform.numpy()
    start = np.argmax(np.abs(waveform) > 0.05)
    assert start == pytest.approx(48_000, abs=1_200)  # 25 ms
    mean = files.level(samples[48_000:, 0] / 2)
    assert files.level(waveform[48_000:]) == pytest.approx(mean, abs=1)


def test_float_files_keep_a_level_above_full_scale():
    samples = tone(peak=4.0)
    for data in (with_soundfile(samples, RATE, "WAV", "FLOAT"), with_pyav(samples, RATE, "mka")):
        np.testing.assert_array_equal(audio.load(data).waveform.numpy(), samples[:, 0])


@pytest.mark.parametrize("ending", ["wav", "m4a", "mp3"])
def test_files_are_read_from_the_start_whatever_their_name_or_source(tmp_path, ending):
    data, path = encode(tone(44_100), 44_100, ending), tmp_path / "crié à 3 h.webm"
    path.write_bytes(data)
    with path.open("rb") as file:
        file.seek(0, os.SEEK_END)
        for source in (file, path, str(path), bytearray(data), memoryview(data),
                       io.BytesIO(data), files.NoSeeking(data)):  # fmt: skip
            assert_is_tone(audio.load(source), 44_100)
        assert not file.closed


def test_tags_in_an_unknown_encoding_are_ignored():
    data = with_pyav(tone(44_100), 44_100, "m4a")
    assert files.TITLE in data
    assert_is_tone(audio.load(data.replace(files.TITLE, b"\xe9\xff\xfe\xe8")), 44_100)


INTEGERS = [*(f"{u}int{bits}" for u in ("", "u") for bits in (8, 16, 32, 64)), ">i2"]


@pytest.mark.parametrize("dtype", [*INTEGERS, "float16", "float64", "longdouble", ">f4"])
def test_any_real_dtype_is_scaled_to_plus_minus_one(dtype):
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


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64, torch.int16])
def test_tensors_of_any_dtype_are_converted_and_detached(dtype):
    samples = torch.from_numpy(tone(peak=3.0)[:, 0] * 10_000).to(dtype)
    if dtype.is_floating_point:
        samples.requires_grad_()
    waveform = audio.load(samples, RATE).waveform
    full = 1 if dtype.is_floating_point else 2**15
    assert torch.equal(waveform, samples.detach().float() / full)
    assert not waveform.requires_grad


def test_result_shares_no_memory_with_the_input():
    samples = tone()[:, 0]
    recording = audio.load(torch.from_numpy(samples), RATE)
    again = audio.load(recording, 44_100)  # a Recording's own rate takes precedence
    assert again.sample_rate == RATE
    samples[:] = 0
    recording.waveform[:] = 0
    assert again.waveform.abs().max() > 0.4


@pytest.mark.parametrize(("name", "detector"), [("six-class", True), ("six-class-features", False)])
def test_the_loudest_accepted_samples_get_an_answer(name, detector):
    """Predict the loudest samples that are accepted: any finite ones must give an answer."""
    samples = tone()[:, 0] * np.float32(2**33)
    model = CryClassifier.from_pretrained(name, detector=detector)
    assert sum(model.predict(samples, RATE).probabilities.values()) == pytest.approx(1)
    with pytest.raises(audio.InvalidSamplesError):
        audio.load(2 * samples, RATE)


@pytest.mark.parametrize(("rate", "seconds"), [(8_000, 0.5), (8_000, 600), (192_000, 0.5)])
@pytest.mark.parametrize("make", [lambda samples, _: samples, with_soundfile])
def test_the_shortest_and_longest_durations_are_accepted(rate, seconds, make):
    assert audio.load(make(tone(rate, seconds), rate), rate).duration == seconds
