"""Any file or array -> mono float32 at its native rate and level; input errors are raised here."""

from __future__ import annotations

import contextlib
import io
import os
import stat
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from numbers import Real
from typing import BinaryIO

import av
import numpy as np
import soundfile
import torch

MIN_SECONDS, MAX_SECONDS = 0.5, 600.0
MIN_RATE, MAX_RATE = 8_000, 192_000  # Hz
SILENCE_PEAK = 1e-3  # -60 dB relative to full scale

# libsndfile gets what starts like wav, ogg or flac. Its mp3 decoder writes to stderr, even on sound
# mp3 files and on bytes that only resemble one, and its aiff reader makes soundfile write there on
# damaged ones, so FFmpeg reads everything else.
_SOUNDFILE_MAGIC = (b"RIFF", b"RF64", b"OggS", b"fLaC")
# FFmpeg would also read pictures, text, and playlists that open other files of this machine.
_FORMATS = "aac,ac3,aiff,amr,asf,au,avi,caf,flac,flv,matroska,mov,mp3,mpeg,mpegts,ogg,w64,wav,wv"
av.logging.set_level(None)

_UNREADABLE = "This file could not be read as sound; please give a wav, mp3, m4a or webm file."
_NOT_SAMPLES = "The samples must be real numbers in one or two dimensions; please convert them."
_BAD_RATE = f"The sample rate must be a whole number, {MIN_RATE} to {MAX_RATE} Hz; please check it."
_EMPTY = "The recording is empty; please record it again."
_TOO_SHORT = f"The recording is only {{:g}} s long; please give at least {MIN_SECONDS:g} s."
_TOO_LONG = f"The recording is longer than {MAX_SECONDS / 60:g} minutes; please shorten it."
_Block = tuple[np.ndarray, int]  # mono samples (samples,) float32 and their rate in Hz


class AudioError(ValueError):
    """The base of all: its message is one sentence for a parent, free of paths and jargon."""


class MissingAudioError(AudioError):
    """No input was given, or the file does not exist or may not be opened."""


class UndecodableAudioError(AudioError):
    """Not audio, or too damaged to yield any; what a damaged file does yield is used."""


class EmptyAudioError(AudioError):
    """Zero bytes or zero samples."""


class SilentAudioError(AudioError):
    """No sample is further than ``SILENCE_PEAK`` from the mean."""


class TooShortError(AudioError):
    """Shorter than ``MIN_SECONDS``."""


class TooLongError(AudioError):
    """Longer than ``MAX_SECONDS``."""


class SampleRateError(AudioError):
    """Missing for an array, not a whole number, or outside ``MIN_RATE`` to ``MAX_RATE``."""


class InvalidSamplesError(AudioError):
    """NaN, infinite, complex or not numeric, or not in one or two dimensions."""


@dataclass(frozen=True, eq=False)  # comparing tensors gives no bool
class Recording:
    """Mono sound at its native level: waveform (samples,) float32, sample rate in Hz."""

    waveform: torch.Tensor
    sample_rate: int

    @property
    def duration(self) -> float:
        """Length in seconds."""
        return self.waveform.shape[-1] / self.sample_rate


def load(
    source: str | os.PathLike | bytes | BinaryIO | np.ndarray | torch.Tensor | Recording | None,
    sample_rate: int | None = None,
) -> Recording:
    """Reads a recording as the mean of its channels, sharing no memory with ``source``.

    Args:
        source: a path, the bytes of a file, an open binary file (read from its start, left open),
            or samples: (samples,), (samples, channels) or (channels, samples), where the smaller
            dimension is the channels. Floating-point samples keep their level, integers are
            scaled to [-1, 1) by their full scale, unsigned ones after centring.
        sample_rate: of an array or tensor, in Hz. Files and ``Recording`` bring their own.

    Raises:
        AudioError: always as one of its subclasses, whose docstrings say when.
    """
    if isinstance(source, Recording):
        source, sample_rate = source.waveform, source.sample_rate
    if isinstance(source, np.ndarray | torch.Tensor):
        return _checked(_samples_to_mono(source), sample_rate)
    try:
        with _open(source) as stream:
            return _checked(*_decode(stream))
    except OSError:  # the disk failed
        raise UndecodableAudioError(_UNREADABLE) from None


def require_sound(waveform: torch.Tensor) -> None:
    """Raises ``SilentAudioError`` if floating-point samples (samples,) hold nothing to hear."""
    if not waveform.numel() or (waveform - waveform.mean()).abs().max() < SILENCE_PEAK:
        raise SilentAudioError("The recording is silent; please check the microphone and repeat.")


def _checked(mono: np.ndarray, rate: object) -> Recording:
    if not (isinstance(rate, Real) and MIN_RATE <= rate <= MAX_RATE and rate == int(rate)):
        raise SampleRateError(_BAD_RATE)
    rate = int(rate)
    if mono.size < MIN_SECONDS * rate:  # rounded down, for 0.499 s must not read as 0.5 s
        raise TooShortError(_TOO_SHORT.format(mono.size * 100 // rate / 100))
    if mono.size > MAX_SECONDS * rate:
        raise TooLongError(_TOO_LONG)
    if not np.isfinite(mono).all():
        raise InvalidSamplesError("The recording holds impossible values; please record it again.")
    require_sound(waveform := torch.from_numpy(mono))
    return Recording(waveform, rate)


def _samples_to_mono(samples: np.ndarray | torch.Tensor) -> np.ndarray:
    if isinstance(samples, torch.Tensor):
        try:
            samples = samples.detach().cpu()
            samples = (samples.float() if samples.is_floating_point() else samples).numpy()
        except (RuntimeError, TypeError):  # sparse, without data, or of a type that NumPy lacks
            raise InvalidSamplesError(_NOT_SAMPLES) from None
    if samples.ndim not in (1, 2) or samples.dtype.kind not in "iuf":
        raise InvalidSamplesError(_NOT_SAMPLES)
    if not samples.size:
        raise EmptyAudioError(_EMPTY)
    samples = np.atleast_2d(np.asarray(samples))  # without mask
    return _mix(samples if samples.shape[0] >= samples.shape[1] else samples.T)


def _mix(samples: np.ndarray) -> np.ndarray:
    """(samples, channels) of any real type -> their mean (samples,), a new float32 array."""
    if samples.dtype.kind in "iu":
        full_scale = 2.0 ** (8 * samples.dtype.itemsize - 1)
        samples = np.divide(samples, full_scale, dtype=np.float64) - (samples.dtype.kind == "u")
    with np.errstate(all="ignore"):  # overflow becomes infinite, which is refused
        return samples.astype(np.float32, copy=False).mean(axis=1)


def _open(source: object) -> BinaryIO:
    """A seekable stream without a name, whose ending could mislead the libraries."""
    if source is None:
        raise MissingAudioError("There is no recording; please record one or choose a file.")
    if not isinstance(source, str | os.PathLike):
        return io.BytesIO(_read_all(source))
    try:  # unblocked: otherwise opening a named pipe waits for its writer
        descriptor = os.open(source, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    except (OSError, ValueError):
        raise MissingAudioError("The file could not be opened; please choose it again.") from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise UndecodableAudioError(_UNREADABLE)
    return os.fdopen(descriptor, "rb")


def _read_all(source: object) -> memoryview:
    try:
        if hasattr(source, "read"):
            if source.seekable():
                source.seek(0)
            source = source.read()
        return memoryview(source)
    except (AttributeError, TypeError, OSError, ValueError):  # not binary, no file, or closed
        raise UndecodableAudioError(_UNREADABLE) from None


def _decode(stream: BinaryIO) -> _Block:
    start = stream.read(4)
    stream.seek(0)
    if not start:
        raise EmptyAudioError(_EMPTY)
    failure: AudioError = UndecodableAudioError(_UNREADABLE)
    if start in _SOUNDFILE_MAGIC:
        try:
            return _gather(_soundfile_blocks(stream), failure)
        except EmptyAudioError as error:
            failure = error  # unless the length was never filled in: FFmpeg reads to the end
        except soundfile.SoundFileError:
            pass  # FFmpeg knows more codecs, and goes on after damage
        stream.seek(0)
    return _gather(_ffmpeg_blocks(stream), failure)


def _gather(blocks: Iterator[_Block], failure: AudioError) -> _Block:
    """Joins a file's blocks, up to where FFmpeg fails; raises ``failure`` if there are none."""
    parts, length = [], 0
    with contextlib.closing(blocks), contextlib.suppress(av.error.FFmpegError):
        for mono, rate in blocks:
            parts.append(mono)
            length += mono.size
            if length > MAX_SECONDS * rate:
                raise TooLongError(_TOO_LONG)
    if not length:
        raise failure
    return np.concatenate(parts), rate


def _soundfile_blocks(stream: BinaryIO) -> Iterator[_Block]:
    with soundfile.SoundFile(stream) as file:
        if not file.frames and file.format != "OGG":  # which states no length: it may be cut
            raise EmptyAudioError(_EMPTY)
        if MAX_SECONDS * file.samplerate < file.frames < 2**62:
            raise TooLongError(_TOO_LONG)  # a streamed flac states no length: 2**63 - 1 here
        while len(block := file.read(2**18 // file.channels, dtype="float32", always_2d=True)):
            yield _mix(block), file.samplerate


def _ffmpeg_blocks(stream: BinaryIO) -> Iterator[_Block]:
    with av.open(stream, metadata_errors="ignore", options={"format_whitelist": _FORMATS}) as file:
        if not file.streams.audio:
            raise UndecodableAudioError("There is no sound in this file; please give another one.")
        # PyAV before 18 crashes on a stream of an unknown codec.
        known = [stream for stream in file.streams.audio if stream.codec_context is not None]
        rate, resamplers = 0, defaultdict(lambda: av.AudioResampler(format="flt", rate=rate))
        for packet in file.demux(known[0]) if known else ():
            with contextlib.suppress(av.error.FFmpegError):  # leave a damaged packet out
                for frame in packet.decode():
                    rate = rate or frame.sample_rate  # joined files may change it on the way
                    kind = frame.format.name, frame.layout.name, frame.sample_rate
                    # To interleaved samples: PyAV reads beyond planar frames of eight channels.
                    for flat in resamplers[kind].resample(frame):
                        yield _mix(flat.to_ndarray().reshape(-1, flat.layout.nb_channels)), rate
