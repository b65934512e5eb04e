"""Test malformed WAV files that programs write, and files crafted to stall a decoder."""

import io
import json
import struct
import subprocess
import sys
import time
from itertools import product

import numpy as np
import pytest
import soundfile

from cry_model.sound import audio
from tests.conftest import ROOT
from tests.cry_model import encode as files
from tests.cry_model.encode import RATE, encode, tone, with_soundfile

PCM = (tone()[:, 0] * 32767).astype("<i2")
SAMPLES = PCM.tobytes()


def chunk(name, body, length=None):
    """Build a RIFF chunk, padded to even length unless a false ``length`` is given."""
    size = len(body) if length is None else length % 2**32
    return name + struct.pack("<I", size) + body + b"\0" * (length is None and len(body) % 2)


FORMAT = chunk(b"fmt ", struct.pack("<HHIIHH", 1, 1, RATE, 2 * RATE, 2, 16))
DATA = chunk(b"data", SAMPLES)


def riff(*chunks):
    body = b"WAVE" + b"".join(chunks)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def tag(size, footer=False):
    """Build an ID3v2 tag with ``size`` zero bytes."""
    digits = bytes(size >> shift & 127 for shift in (21, 14, 7, 0))
    end = b"3DI\4\0\x10" + digits if footer else b""
    return b"ID3\4\0" + bytes([0x10 * footer]) + digits + bytes(size) + end


def odd(name, size):
    """Build a chunk of odd length without the padding byte that it needs."""
    return chunk(name, b"x" * size)[:-1]


WAV, FLAC = riff(FORMAT, DATA), encode(tone(), RATE, "flac")
ODD = {
    "1 odd byte": riff(FORMAT, odd(b"JUNK", 1), DATA),
    "10,001 odd bytes": riff(FORMAT, odd(b"JUNK", 10_001), DATA),
    "two odd chunks": riff(odd(b"iXML", 5), FORMAT, odd(b"LIST", 9), DATA),
    "odd chunks of both kinds": riff(FORMAT, odd(b"abcd", 5), chunk(b"LIST", b"1234567"), DATA),
    "padding that is a letter": riff(FORMAT, odd(b"JUNK", 3) + b"x", DATA),
    "list before the format": riff(chunk(b"LIST", b"INFOISFT\2\0\0\0ab"), FORMAT, DATA),
    "samples before the format": riff(DATA, FORMAT),
    "no size": WAV[:4] + bytes(4) + WAV[8:],
    "size of a stream": WAV[:4] + b"\xff\xff\xff\xff" + WAV[8:],
    "samples of a stream": riff(FORMAT, chunk(b"data", SAMPLES, -1)),
    "samples without a size": riff(FORMAT, chunk(b"data", SAMPLES, 0)),
    "samples with too large a size": riff(FORMAT, chunk(b"data", SAMPLES, 10**9)),
    "noise at the end": WAV + np.random.default_rng(0).bytes(5_000),
    "picture before": tag(3_000_000) + WAV,
    "two tags before": tag(70_000, footer=True) + tag(70_000) + WAV,
    "bytes of ones before": b"\xff" * 5_000 + WAV,
    "tag, junk, odd chunk": tag(9) + b"\xff" + riff(FORMAT, odd(b"JUNK", 7), DATA),
    "flac without a length": FLAC[:21] + bytes([FLAC[21] & 0xF0]) + bytes(4) + FLAC[26:],
    "tag before flac": tag(3_000_001) + FLAC,
    "junk before flac": bytes(3) + FLAC,
    "tag before aiff": tag(500) + encode(tone(), RATE, "aiff"),
    "picture before mp3": tag(3_000_000) + encode(tone(), RATE, "mp3"),
    "extensible": with_soundfile(tone(), RATE, "WAVEX", "PCM_24"),
    "adpcm": with_soundfile(tone(), RATE, "WAV", "MS_ADPCM"),
    "big-endian": with_soundfile(tone(), RATE, "WAV", endian="BIG"),
}


@pytest.mark.parametrize("name", ODD)
def test_malformed_files_are_read(name):
    found = audio.load(ODD[name])
    files.assert_is_tone(found, RATE)
    if SAMPLES in ODD[name]:
        np.testing.assert_array_equal(found.waveform[: len(PCM)], PCM / 2**15)


LENGTHS = """
import json, sys
from cry_model import audio
def length(path):
    try: return audio.load(path).duration
    except audio.AudioError: return None
print(json.dumps([length(path) for path in sys.argv[1:]]))
"""


def test_oversized_notes_do_not_hang_the_decoder(tmp_path):
    """Load notes that claim almost 2**32 bytes: libsndfile 1.2.2 seeks back and loops for ever.

    Load them in a separate process, as a hanging thread cannot be stopped.
    """
    files = []
    for note, size, name, length in product(
        (b"IXXX", b"zzzz"), (-8, -9), (b"LIST", b"INFO"), (None, 0xFFFFF000)
    ):
        notes = chunk(name, b"INFO" + chunk(note, b"Lavf59.27.100\0", size), length)
        files += [riff(FORMAT, notes, DATA), tag(9) + riff(FORMAT, DATA, notes)]
    paths = [tmp_path / f"{number}.wav" for number in range(len(files))]
    for path, data in zip(paths, files, strict=True):
        path.write_bytes(data)
    told = subprocess.check_output([sys.executable, "-c", LENGTHS, *paths], cwd=ROOT, timeout=120)
    lengths = json.loads(told)
    assert len(lengths) == len(files)
    assert lengths.count(1.0) >= len(files) / 2  # the files whose chunks can still be parsed


HEAVY = {
    "aac": b"\xff\xf1\x50\x80\x01\x3f\xfc\0\0" * 300_000,
    "notes": riff(
        chunk(b"LIST", b"INFO" + b"".join(b"I%03x\2\0\0\0ab" % n for n in range(4_096)) * 25),
        chunk(b"zzzz", b"", -16),
    ),
}


@pytest.mark.parametrize("name", HEAVY)
def test_decoding_stops_at_the_time_limit(monkeypatch, name):
    monkeypatch.setattr(audio, "FLOOR", 0.05)
    start = time.thread_time()
    with pytest.raises(audio.UndecodableAudioError, match="takes too long") as caught:
        audio.load(HEAVY[name])
    assert time.thread_time() - start < 1
    files.assert_is_for_a_parent(caught.value)


@pytest.mark.parametrize("ending", ["wav", "mp3"])  # libsndfile, FFmpeg
def test_the_time_limit_grows_with_duration(monkeypatch, ending):
    data = encode(tone(48_000, 5), 48_000, ending)
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
