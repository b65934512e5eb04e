"""Wav files as programs write them wrongly, and files that were made to keep a decoder busy."""

from __future__ import annotations

import io
import json
import struct
import subprocess
import sys
import time

import numpy as np
import pytest
import soundfile

from cry_model.sound import audio
from tests.conftest import ROOT
from tests.cry_model.encode import (
    RATE,
    assert_is_for_a_parent,
    assert_is_tone,
    encode,
    tone,
    with_soundfile,
)

SAMPLES = (tone()[:, 0] * 32767).astype("<i2").tobytes()


def chunk(name: bytes, body: bytes, length: int | None = None, order: str = "<") -> bytes:
    """With its padding byte, unless the length is a lie."""
    size = len(body) if length is None else length % 2**32
    return name + struct.pack(f"{order}I", size) + body + b"\0" * (length is None and len(body) % 2)


FORMAT = chunk(b"fmt ", struct.pack("<HHIIHH", 1, 1, RATE, 2 * RATE, 2, 16))
DATA = chunk(b"data", SAMPLES)


def riff(*chunks: bytes) -> bytes:
    body = b"WAVE" + b"".join(chunks)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def tag(size: int, footer: bool = False) -> bytes:
    """An ID3v2 tag with ``size`` bytes of nothing."""
    digits = bytes(size >> shift & 127 for shift in (21, 14, 7, 0))
    end = b"3DI\4\0\x10" + digits if footer else b""
    return b"ID3\4\0" + bytes([0x10 * footer]) + digits + bytes(size) + end


def odd(name: bytes, size: int) -> bytes:
    """A chunk without the padding byte that it needs."""
    return chunk(name, b"x" * size)[:-1]


ODD_WAVS = {
    **{f"{n} odd bytes": riff(FORMAT, odd(b"JUNK", n), DATA) for n in (1, 10_001)},
    "two odd chunks": riff(odd(b"iXML", 5), FORMAT, odd(b"LIST", 9), DATA),
    "odd chunks of both kinds": riff(FORMAT, odd(b"abcd", 5), chunk(b"LIST", b"1234567"), DATA),
    "padding that is a letter": riff(FORMAT, odd(b"JUNK", 3) + b"x", DATA),
    "list before the format": riff(chunk(b"LIST", b"INFOISFT\2\0\0\0ab"), FORMAT, DATA),
    "samples before the format": riff(DATA, FORMAT),
    "no size": riff(FORMAT, DATA).replace(struct.pack("<I", len(DATA) + 28), bytes(4), 1),
    "size of a stream": b"RIFF\xff\xff\xff\xff" + riff(FORMAT, DATA)[8:],
    "samples of a stream": riff(FORMAT, chunk(b"data", SAMPLES, -1)),
    "samples without a size": riff(FORMAT, chunk(b"data", SAMPLES, 0)),
    "noise at the end": riff(FORMAT, DATA) + np.random.default_rng(0).bytes(5_000),
    "picture before": tag(3_000_000) + riff(FORMAT, DATA),
    "two tags before": tag(20, footer=True) + tag(31) + riff(FORMAT, DATA),
    "bytes of ones before": b"\xff" * 5_000 + riff(FORMAT, DATA),
    "tag, junk, odd chunk": tag(9) + b"\xff" + riff(FORMAT, odd(b"JUNK", 7), DATA),
    "tag before flac": tag(3_000_001) + encode(tone(), RATE, "flac"),
    "junk before flac": bytes(3) + encode(tone(), RATE, "flac"),
    "tag before aiff": tag(500) + encode(tone(), RATE, "aiff"),
    "picture before mp3": tag(3_000_000) + encode(tone(), RATE, "mp3"),
    "extensible": with_soundfile(tone(), RATE, "WAVEX", "PCM_24"),
    "adpcm": with_soundfile(tone(), RATE, "WAV", "MS_ADPCM"),
    "big-endian": b"RIFX"
    + struct.pack(">I", 36 + len(SAMPLES))
    + b"WAVE"
    + chunk(b"fmt ", struct.pack(">HHIIHH", 1, 1, RATE, 2 * RATE, 2, 16), order=">")
    + chunk(b"data", np.frombuffer(SAMPLES, "<i2").astype(">i2").tobytes(), order=">"),
}


OTHER = ("adpcm", "extensible")  # samples
PCM = audio.load(riff(FORMAT, DATA)).waveform


@pytest.mark.parametrize("name", ODD_WAVS)
def test_odd_wavs_are_read(name):
    found = audio.load(ODD_WAVS[name])
    assert_is_tone(found, RATE)
    if name not in OTHER and name.split()[-1] not in ("flac", "ogg", "aiff", "mp3"):
        np.testing.assert_array_equal(found.waveform[: len(PCM)].numpy(), PCM.numpy())


def endless() -> list[bytes]:
    """Wavs whose notes claim almost 2**32 bytes: libsndfile 1.2.2 goes back to where it was."""
    found = []
    for note in (b"IXXX", b"zzzz"):
        for size in (-8, -9):
            inner = b"INFO" + chunk(note, b"Lavf59.27.100\0", size)
            for name in (b"LIST", b"INFO"):
                for length in (None, 0xFFFFF000):
                    found.append(riff(FORMAT, chunk(name, inner, length), DATA))
                    found.append(tag(9) + riff(FORMAT, DATA, chunk(name, inner, length)))
    return found


def test_no_note_keeps_the_decoder_for_ever(tmp_path):
    """In a process of its own, for a thread that hangs could not be ended."""
    paths = []
    for number, data in enumerate(endless()):
        paths.append(tmp_path / f"{number}.wav")
        paths[-1].write_bytes(data)
    code = (
        "import json, sys\n"
        "from cry_model import audio\n"
        "def length(path):\n"
        "    try: return audio.load(path).duration\n"
        "    except audio.AudioError: return None\n"
        "print(json.dumps([length(path) for path in sys.argv[1:]]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, paths)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    lengths = json.loads(done.stdout)
    assert len(lengths) == len(paths)
    assert lengths.count(1.0) >= len(paths) / 2  # those whose chunks can be told apart


HEAVY = {
    "aac": b"\xff\xf1\x50\x80\x01\x3f\xfc\0\0" * 300_000,
    "notes": riff(
        chunk(b"LIST", b"INFO" + b"".join(b"I%03x\2\0\0\0ab" % n for n in range(4_096)) * 25),
        chunk(b"zzzz", b"", -16),
    ),
}


@pytest.mark.parametrize("name", HEAVY)
def test_what_takes_too_long_is_given_up(monkeypatch, name):
    monkeypatch.setattr(audio, "FLOOR", 0.05)
    start = time.thread_time()
    with pytest.raises(audio.UndecodableAudioError, match="takes too long") as caught:
        audio.load(HEAVY[name])
    assert time.thread_time() - start < 1
    assert_is_for_a_parent(caught.value)


@pytest.mark.parametrize("ending", ["wav", "mp3"])  # libsndfile, FFmpeg
def test_the_time_is_that_of_work_and_of_each_file(monkeypatch, ending):
    data = encode(tone(48_000, 5), 48_000, ending)
    assert audio.load(data).duration == pytest.approx(5, abs=0.1)
    monkeypatch.setattr(audio, "FLOOR", 0.0)
    monkeypatch.setattr(audio, "PER_SECOND", 0.0)
    with pytest.raises(audio.UndecodableAudioError, match="takes too long"):
        audio.load(data)
    monkeypatch.setattr(audio, "PER_SECOND", 10.0)
    monkeypatch.setattr(audio, "FLOOR", 1.0)
    assert audio.load(data).duration == pytest.approx(5, abs=0.1)


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"])
def test_both_decoders_give_the_same_samples(monkeypatch, subtype):
    samples = np.random.default_rng(0).uniform(-1, 1, (RATE, 6))
    data = with_soundfile(samples, RATE, "WAV", subtype)
    first = audio.load(data).waveform.numpy()
    monkeypatch.setattr(audio, "plain_wav", lambda *_: None)
    np.testing.assert_array_equal(audio.load(data).waveform.numpy(), first)
    whole = soundfile.read(io.BytesIO(data), dtype="float32", always_2d=True)[0]
    np.testing.assert_allclose(first, whole.mean(1), atol=1e-7)
