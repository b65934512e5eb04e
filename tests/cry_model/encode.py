"""Write small files in memory, through soundfile and PyAV, and recognise the tone in them."""

from __future__ import annotations

import io
import re

import av
import numpy as np
import pytest
import soundfile
import torch
from PIL import Image

from cry_model.sound import audio

RATE = 16_000
# Container and codec of each file ending: what phones and browsers write, and one container for
# each kind of sample that FFmpeg can decode to (planar and interleaved, integer and float).
PYAV_FORMATS = {
    "m4a": ("ipod", "aac"),
    "mp4": ("mp4", "aac"),
    "webm": ("webm", "libopus"),
    "mka": ("matroska", "pcm_f32le"),
    "mov": ("mov", "pcm_s24le"),
    "avi": ("avi", "pcm_u8"),
    "au": ("au", "pcm_s16be"),
    "w64": ("w64", "pcm_f64le"),
}
# Of the endings that hold the same as another one, or that only few programs write.
# fmt: off
OTHER_FORMATS = {
    "3g2": ("3g2", "aac"), "3ga": ("3gp", "aac"), "3gp": ("3gp", "aac"), "aac": ("adts", "aac"),
    "aif": ("aiff", "pcm_s16be"), "aifc": ("aiff", "pcm_mulaw"),
    "amr": ("amr", "libopencore_amrnb"), "bw64": ("wav", "pcm_s16le"), "caf": ("caf", "pcm_s16be"),
    "m4b": ("ipod", "aac"), "m4v": ("mp4", "aac"), "mkv": ("matroska", "aac"),
    "mp2": ("mp2", "mp2"), "mpeg": ("mpeg", "mp2"), "mpg": ("mpeg", "mp2"), "oga": ("oga", "flac"),
    "opus": ("opus", "libopus"), "rf64": ("wav", "pcm_s16le"), "snd": ("au", "pcm_s16be"),
    "wave": ("wav", "pcm_s24le"), "weba": ("webm", "libopus"), "wma": ("asf", "libmp3lame"),
    "wmv": ("asf", "libmp3lame"), "wv": ("wv", "wavpack"),
}
# fmt: on
SOUNDFILE_FORMATS = {"wav": "WAV", "flac": "FLAC", "ogg": "OGG", "mp3": "MP3", "aiff": "AIFF"}
LAYOUTS = {1: "mono", 2: "stereo", 6: "5.1", 8: "7.1"}


def tone(
    rate: int = RATE, seconds: float = 1.0, channels: int = 1, peak: float = 0.5
) -> np.ndarray:
    """Return 440 Hz in every channel, (samples, channels) float32."""
    wave = peak * np.sin(2 * np.pi * 440 * np.arange(round(rate * seconds)) / rate)
    return np.repeat(wave[:, None], channels, axis=1).astype(np.float32)


def encode(samples: np.ndarray, rate: int, ending: str) -> bytes:
    """Return the samples (samples, channels) as a file with this ending."""
    if ending in SOUNDFILE_FORMATS:
        return with_soundfile(samples, rate, SOUNDFILE_FORMATS[ending])
    return with_pyav(samples, rate, ending)


def with_soundfile(
    samples: np.ndarray, rate: int, container: str = "WAV", subtype: str | None = None
) -> bytes:
    """Return the samples (samples, channels) as libsndfile writes them."""
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, format=container, subtype=subtype)
    return buffer.getvalue()


def with_pyav(
    samples: np.ndarray | None,
    rate: int,
    ending: str,
    *,
    video: bool = False,
    live: bool = False,
    title: str = "",
    options: dict[str, str] | None = None,
) -> bytes:
    """Return the samples (samples, channels) as FFmpeg writes them; None: without sound.

    ``video`` adds a moving picture; ``live`` writes as MediaRecorder does, without ever going
    back to the header to fill in the duration. ``options`` are the container's.
    """
    container_name, codec = {**PYAV_FORMATS, **OTHER_FORMATS}[ending]
    buffer = _Pipe() if live else io.BytesIO()
    with av.open(buffer, "w", format=container_name, options=options or {}) as container:
        container.metadata.update({"title": title} if title else {})
        moving = "libvpx" if ending == "webm" else "mpeg4"
        picture = container.add_stream(moving, rate=10) if video else None
        if samples is not None:
            layout = LAYOUTS[samples.shape[1]]
            sound = container.add_stream(codec, rate=rate, layout=layout)
        if picture:
            picture.width = picture.height = 32
            picture.pix_fmt = "yuv420p"
            for value in range(10):
                image = np.full((32, 32, 3), 20 * value, dtype=np.uint8)
                container.mux(picture.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
            container.mux(picture.encode(None))
        if samples is not None:
            for start in range(0, len(samples), 1_024):
                # Interleaved, for PyAV reads beyond a planar frame of eight channels.
                block = samples[start : start + 1_024].reshape(1, -1)
                frame = av.AudioFrame.from_ndarray(block, format="flt", layout=layout)
                frame.sample_rate, frame.pts = rate, start
                container.mux(sound.encode(frame))
            container.mux(sound.encode(None))
    return buffer.getvalue()


class _Pipe:
    """FFmpeg can write to it but not go back."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def write(self, data: bytes) -> int:
        self._parts.append(bytes(data))
        return len(data)

    def getvalue(self) -> bytes:
        return b"".join(self._parts)


def png() -> bytes:
    """Return a small grey picture."""
    buffer = io.BytesIO()
    Image.new("L", (16, 16), 99).save(buffer, "PNG")
    return buffer.getvalue()


def level(waveform: np.ndarray) -> float:
    """Return the RMS in dB of the middle, where no codec fades in or out."""
    quarter = len(waveform) // 4
    return 10 * np.log10(np.mean(waveform[quarter:-quarter] ** 2))


def loudest_frequency(waveform: np.ndarray, rate: int) -> float:
    spectrum = np.abs(np.fft.rfft(waveform * np.hanning(len(waveform))))
    return np.argmax(spectrum) * rate / len(waveform)


def assert_is_tone(recording: audio.Recording, rate: int = RATE, seconds: float = 1.0) -> None:
    waveform = recording.waveform.numpy()
    assert recording.sample_rate == rate
    assert recording.waveform.dtype == torch.float32
    assert recording.waveform.ndim == 1
    assert recording.duration == len(waveform) / rate
    # AAC and mp3 come in frames, of up to 1,152 samples.
    assert seconds - 0.001 <= recording.duration <= seconds + 2 * 1152 / rate
    assert loudest_frequency(waveform, rate) == pytest.approx(440, abs=2)
    assert level(waveform) == pytest.approx(level(tone(rate)[:, 0]), abs=1)


def assert_is_for_a_parent(error: audio.AudioError) -> None:
    message = str(error)
    assert re.fullmatch(r"[A-Z][^/\\\n_]{20,110}\.", message)
    assert ". " not in message
    assert not re.search("ffmpeg|libsndfile|numpy|torch|tensor|dtype|Error|tmp", message, re.I)
    # A log of the error shows no other error, whose message could hold a path.
    assert error.__cause__ is None
    assert error.__context__ is None or error.__suppress_context__
