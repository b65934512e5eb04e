"""Test that ``audio.load`` refuses bad input in one sentence and salvages damaged files."""

import io
import os
import random
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from cry_model.sound import audio
from tests.conftest import ROOT
from tests.cry_model import encode as files
from tests.cry_model.encode import RATE, encode, tone, with_pyav, with_soundfile

SOUND = tone()[:, 0]
HUGE = SOUND.astype(np.float64) * 1e200
PICTURE = (ROOT / "assets" / "icon.png").read_bytes()
NOISE = np.random.default_rng(0).bytes(100_000)
CLOSED = io.BytesIO(encode(tone(), RATE, "wav"))
CLOSED.close()


@pytest.fixture
def folder(tmp_path):
    """Return a folder with a valid recording and a named pipe that nobody writes to."""
    (tmp_path / "good.wav").write_bytes(encode(tone(), RATE, "wav"))
    os.mkfifo(tmp_path / "pipe.wav")
    return tmp_path


# Expected error -> name and factory of each bad source; a factory gets that folder.
BAD = {
    audio.MissingAudioError: {
        "nothing": lambda _: None,
        "no such file": lambda folder: folder / "gone.wav",
        "impossible name": lambda _: "a\0b.wav",
    },
    audio.UndecodableAudioError: {
        "folder": lambda folder: folder,
        "named pipe": lambda folder: folder / "pipe.wav",
        "rate and array": lambda _: (RATE, SOUND),
        "text file": lambda _: io.StringIO("a song"),
        "closed file": lambda _: CLOSED,
        "picture": lambda _: PICTURE,
        "silent film": lambda _: with_pyav(None, RATE, "mp4", video=True),
        "hls playlist": lambda folder: f"#EXTM3U\n#EXTINF:1,\n{folder / 'good.wav'}\n".encode(),
        "ffconcat": lambda _: b"ffconcat version 1.0\nfile good.wav\n",
        "unknown codec": lambda _: encode(tone(), RATE, "mka").replace(b"A_PCM", b"A_XYZ"),
        "noise": lambda _: NOISE,
        "noise like flac": lambda _: b"fLaC" + NOISE,
        "noise like mp3": lambda _: b"\xff\xfb" + NOISE,
        "start of ogg's only page": lambda _: encode(tone(48_000, 3), 48_000, "ogg")[:6_500],
        "webm without a cluster": lambda _: with_pyav(
            tone(48_000), 48_000, "webm", live=True
        ).partition(b"\x1f\x43\xb6\x75")[0],
    },
    audio.EmptyAudioError: {
        "file object": lambda _: io.BytesIO(),
        "wav": lambda _: encode(tone(seconds=0), RATE, "wav"),
        "channels": lambda _: torch.zeros(0, RATE),
    },
    audio.SilentAudioError: {
        "offset": lambda _: np.full(RATE, 0.5),
        "uint8 at its end": lambda _: np.full(RATE, 255, np.uint8),
        "-61 dB": lambda _: SOUND * 2 * 10 ** (-61 / 20) + 0.1,
        "wav": lambda _: encode(0 * tone(), RATE, "wav"),
    },
    audio.TooShortError: {
        "wav": lambda _: encode(tone(seconds=0.3), RATE, "wav"),
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
        "too large for float32": lambda _: HUGE,
        "huge in opposite phase": lambda _: np.stack([SOUND, -SOUND]) * np.float32(1e30),
        "huge in a wav": lambda _: with_soundfile(HUGE, RATE, "WAV", "DOUBLE"),
        "infinity in opposite phase": lambda _: np.outer([1, -1], SOUND + 1) * np.inf,
        "complex": lambda _: SOUND + 0j,
        "bool": lambda _: SOUND > 0,
        "objects": lambda _: np.array([None] * RATE),
        "0-d": lambda _: np.array(0.5),
        "3-d": lambda _: np.zeros((2, 2, RATE)),
        "without data": lambda _: torch.ones(RATE, device="meta"),
    },
}


@pytest.mark.parametrize(
    ("error", "make"),
    [
        pytest.param(error, make, id=f"{error.__name__}-{name}")
        for error, sources in BAD.items()
        for name, make in sources.items()
    ],
)
def test_bad_input_is_refused_in_one_sentence(folder, capfd, caplog, monkeypatch, error, make):
    monkeypatch.chdir(folder)
    source, opened = make(folder), Path("/proc/self/fd")
    if isinstance(source, bytes):
        source = folder / "bad.wav"
        source.write_bytes(make(folder))
    before = len([*opened.iterdir()])
    with pytest.raises(audio.AudioError) as caught:
        audio.load(source, RATE)
    assert caught.type is error
    files.assert_is_for_a_parent(caught.value)
    files.assert_is_tone(audio.load("good.wav"))
    assert len([*opened.iterdir()]) == before  # the stored exception keeps no file open
    assert capfd.readouterr() == ("", "")
    assert not caplog.records


NOT_A_RATE = [0, 7_999, 192_001, 10**400, 44_100.5, float("nan"), float("inf")]
NOT_A_RATE += [None, "16000", True, 1j, torch.tensor(RATE)]


@pytest.mark.parametrize("rate", NOT_A_RATE, ids=lambda rate: str(rate)[:20])
def test_bad_sample_rates_are_refused(rate):
    for given in ((SOUND, rate), (audio.Recording(torch.from_numpy(SOUND), rate),)):
        with pytest.raises(audio.SampleRateError) as caught:
            audio.load(*given)
        files.assert_is_for_a_parent(caught.value)


def test_a_length_just_too_short_is_not_rounded_up():
    with pytest.raises(audio.TooShortError, match=r"only 0\.49 s long; .* at least 0\.5 s"):
        audio.load(SOUND[:7_999], RATE)


def cut(data):
    return data[: len(data) * 7 // 10]


def spoilt(data):
    """Overwrite 50 bytes in the middle."""
    middle = len(data) // 2
    return data[:middle] + b"\xff" * 50 + data[middle + 50 :]


@pytest.mark.parametrize(
    ("damage", "ending", "seconds", "within"),
    [
        *((cut, ending, 2, 0.6) for ending in ("wav", "flac", "ogg", "mp3", "aiff", "webm")),
        *((spoilt, ending, 3, 0.3) for ending in ("flac", "mp3", "m4a", "webm")),
    ],
)
def test_intact_parts_of_damaged_files_are_read(damage, ending, seconds, within):
    samples = tone(48_000, 3)  # with noise, or codecs would compress it to a few bytes
    samples += 0.02 * np.random.default_rng(0).standard_normal(samples.shape, np.float32)
    recording = audio.load(damage(encode(samples, 48_000, ending)))
    assert recording.duration == pytest.approx(seconds, abs=within)
    assert files.loudest_frequency(recording.waveform.numpy(), 48_000) == pytest.approx(440, abs=2)


def test_concatenated_files_of_two_rates_are_read():
    recording = audio.load(b"".join(encode(tone(rate), rate, "mp3") for rate in (48_000, 44_100)))
    assert recording.duration == pytest.approx(2, abs=0.1)
    for second in recording.waveform.numpy()[: 2 * recording.sample_rate].reshape(2, -1):
        assert files.loudest_frequency(second, recording.sample_rate) == pytest.approx(440, abs=2)


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


def test_damaged_files_load_or_raise_an_audio_error(capfd, monkeypatch):
    """Load 250 damaged files: each loads or raises an AudioError, and nothing is printed."""
    printed = []  # what Python would write to stderr if pytest did not capture it
    monkeypatch.setattr(sys, "unraisablehook", printed.append)
    rng, outcomes = random.Random(0), []
    endings = ("wav", "flac", "ogg", "mp3", "aiff", "m4a", "mka", "mov", "avi", "webm")
    rates = {ending: 48_000 if ending == "webm" else RATE for ending in endings}
    good = [bytearray(encode(tone(rate, 0.7), rate, ending)) for ending, rate in rates.items()]
    for _ in range(250):
        data = rng.choice(good).copy()
        if rng.random() < 0.3:
            data = data[: rng.randrange(1, len(data))]
        for _ in range(rng.choice((0, 1, 10, 100))):
            reach = rng.choice((64, 1_024, len(data)))  # small headers matter most
            data[rng.randrange(min(reach, len(data)))] ^= 1 << rng.randrange(8)
        try:
            outcomes.append(audio.load(bytes(data)).waveform.isfinite().all())
        except audio.AudioError as error:
            files.assert_is_for_a_parent(error)
            outcomes.append(False)
    assert 20 < sum(outcomes) < 230
    assert not printed
    assert capfd.readouterr() == ("", "")
