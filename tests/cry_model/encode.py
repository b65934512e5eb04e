"""Encode test tones in memory with soundfile and PyAV, and check decoded recordings for them."""

import io
import re

import av
import numpy as np
import pytest
import soundfile
import torch

RATE = 16_000
BY_SOUNDFILE = ("wav", "flac", "ogg", "mp3", "aiff")
# File ending -> container and codec, for the formats that PyAV writes.
# fmt: off
BY_PYAV = {
    "3g2": ("3g2", "aac"), "3ga": ("3gp", "aac"), "3gp": ("3gp", "aac"), "aac": ("adts", "aac"),
    "aif": ("aiff", "pcm_s16be"), "aifc": ("aiff", "pcm_mulaw"),
    "amr": ("amr", "libopencore_amrnb"), "au": ("au", "pcm_s16be"), "avi": ("avi", "pcm_u8"),
    "bw64": ("wav", "pcm_s16le"), "caf": ("caf", "pcm_s16be"), "m4a": ("ipod", "aac"),
    "m4b": ("ipod", "aac"), "m4v": ("mp4", "aac"), "mka": ("matroska", "pcm_f32le"),
    "mkv": ("matroska", "aac"), "mov": ("mov", "pcm_s24le"), "mp2": ("mp2", "mp2"),
    "mp4": ("mp4", "aac"), "mpeg": ("mpeg", "mp2"), "mpg": ("mpeg", "mp2"), "oga": ("oga", "flac"),
    "opus": ("opus", "libopus"), "rf64": ("wav", "pcm_s16le"), "snd": ("au", "pcm_s16be"),
    "w64": ("w64", "pcm_f64le"), "wave": ("wav", "pcm_s24le"), "weba": ("webm", "libopus"),
    "webm": ("webm", "libopus"), "wma": ("asf", "libmp3lame"), "wmv": ("asf", "libmp3lame"),
    "wv": ("wv", "wavpack"),
}
# fmt: on
LAYOUTS = {1: "mono", 2: "stereo", 6: "5.1", 8: "7.1"}
TITLE = b"Wxyz"  # of each file that FFmpeg writes


class NoSeeking(io.BytesIO):
    def seekable(self):
        return False

    def seek(self, *_):
        raise io.UnsupportedOperation("seek")


def tone(rate=RATE, seconds=1.0, channels=1, peak=0.5):
    """Return a 440 Hz sine in every channel, (samples, channels)."""
    wave = peak * np.sin(2 * np.pi * 440 * np.arange(round(rate * seconds)) / rate)
    return np.repeat(wave[:, None], channels, axis=1).astype(np.float32)


def encode(samples, rate, ending):
    """Encode samples (samples, channels) in the format of a file ending; return the bytes."""
    if ending in BY_SOUNDFILE:
        return with_soundfile(samples, rate, ending.upper())
    return with_pyav(samples, rate, ending)


def with_soundfile(samples, rate, container="WAV", subtype=None, endian=None):
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, subtype, endian, container)
    return buffer.getvalue()


def with_pyav(samples, rate, ending, *, video=False, live=False, options=None):
    """Encode samples (samples, channels) with or without a video stream; None: no audio stream.

    ``live``: write as MediaRecorder does, without seeking back to put the duration in the header.
    """
    container_name, codec = BY_PYAV[ending]
    buffer = NoSeeking() if live else io.BytesIO()
    with av.open(buffer, "w", format=container_name, options=options or {}) as container:
        container.metadata["title"] = TITLE.decode()
        moving = "libvpx" if ending == "webm" else "mpeg4"
        picture = container.add_stream(moving, rate=10) if video else None
        if samples is not None:
            layout = LAYOUTS[samples.shape[1]]
            sound = container.add_stream(codec, rate=rate, layout=layout)
        if picture:
            picture.width = picture.height = 32
            picture.pix_fmt = "yuv420p"
            for _ in range(10):
                container.mux(picture.encode(av.VideoFrame(32, 32, "yuv420p")))
            container.mux(picture.encode(None))
        if samples is not None:
            for start in range(0, len(samples), 1_024):
                # Interleaved: PyAV reads past the end of a planar frame of eight channels.
                block = samples[start : start + 1_024].reshape(1, -1)
                frame = av.AudioFrame.from_ndarray(block, format="flt", layout=layout)
                frame.sample_rate, frame.pts = rate, start
                container.mux(sound.encode(frame))
            container.mux(sound.encode(None))
    return buffer.getvalue()


def level(waveform):
    """Return the RMS in dB of the middle half, where no codec fades in or out."""
    quarter = len(waveform) // 4
    return 10 * np.log10(np.mean(waveform[quarter:-quarter] ** 2))


def loudest_frequency(waveform, rate):
    spectrum = np.abs(np.fft.rfft(waveform * np.hanning(len(waveform))))
    return np.argmax(spectrum) * rate / len(waveform)


def assert_is_tone(recording, rate=RATE, seconds=1.0, within=1.0):
    """Assert that this is the sine of :func:`tone`, with its level ``within`` so many dB."""
    waveform = recording.waveform.numpy()
    assert recording.sample_rate == rate
    assert recording.waveform.dtype == torch.float32
    assert recording.waveform.ndim == 1
    assert recording.duration == len(waveform) / rate
    # AAC and mp3 come in frames, of up to 1,152 samples.
    assert seconds - 0.001 <= recording.duration <= seconds + 2 * 1152 / rate
    assert loudest_frequency(waveform, rate) == pytest.approx(440, abs=2)
    assert level(waveform) == pytest.approx(level(tone(rate)[:, 0]), abs=within)


def assert_is_for_a_parent(error):
    message = str(error)
    assert re.fullmatch(r"[A-Z][^/\\\n_]{20,110}\.", message)
    assert ". " not in message
    assert not re.search("ffmpeg|libsndfile|numpy|torch|tensor|dtype|Error|tmp", message, re.I)
    # No chained exception is logged with it: its message could contain a path.
    assert error.__cause__ is None
    assert error.__context__ is None or error.__suppress_context__
