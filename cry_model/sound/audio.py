"""Decode any file or array to mono float32 at its native rate and level; raise input errors."""

from __future__ import annotations

import contextlib
import io
import os
import re
import stat
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from numbers import Real
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from cry_model.sound.wav import Part, after_tags, plain_wav

if TYPE_CHECKING:
    import torch

MIN_SECONDS, MAX_SECONDS = 0.5, 600.0
MIN_RATE, MAX_RATE = 8_000, 192_000  # Hz
SILENCE_PEAK = 1e-3  # -60 dB relative to full scale
LOUDEST_PEAK = 2.0**32  # 32-bit integers stored as floats lie below
CANCELLED_DB = 12.0  # dB; the mean is 14 below one live channel of five, 9 below eight unlike ones
# The content decides how a file is decoded; suffixes only tell which files to try.
SUFFIXES: tuple[str, ...] = (
    ".3g2", ".3ga", ".3gp", ".aac", ".aif", ".aifc", ".aiff", ".amr", ".au", ".avi", ".awb",
    ".bw64", ".caf", ".flac", ".m4a", ".m4b", ".m4v", ".mka", ".mkv", ".mov", ".mp2", ".mp3",
    ".mp4", ".mpeg", ".mpg", ".oga", ".ogg", ".opus", ".rf64", ".snd", ".w64", ".wav", ".wave",
    ".weba", ".webm", ".wma", ".wmv", ".wv",
)  # fmt: skip
"""Lower-case suffixes of supported files: audio, and video with sound."""

UNREADABLE = "This file could not be read as sound; please give a wav, mp3, m4a or webm file."
_NOT_SAMPLES = "The samples must be real numbers in one or two dimensions; please convert them."
_BAD_RATE = f"The sample rate must be a whole number, {MIN_RATE} to {MAX_RATE} Hz; please check it."
EMPTY = "The recording is empty; please record it again."
_TOO_SHORT = f"The recording is only {{:.3g}} s long; please give at least {MIN_SECONDS:g} s."
TOO_LONG = f"The recording is longer than {MAX_SECONDS / 60:g} minutes; please shorten it."


class AudioError(ValueError):
    """Base class; the message is one sentence for a parent, free of paths and jargon."""


class MissingAudioError(AudioError):
    """No input was given, or the file does not exist or cannot be opened."""


class UndecodableAudioError(AudioError):
    """Not audio, or too damaged to yield any; whatever a damaged file yields is used."""


class EmptyAudioError(AudioError):
    """Zero bytes or zero samples."""


class SilentAudioError(AudioError):
    """All samples are closer than ``SILENCE_PEAK`` to their mean."""


class TooShortError(AudioError):
    """Shorter than ``MIN_SECONDS``."""


class TooLongError(AudioError):
    """Longer than ``MAX_SECONDS``."""


class SampleRateError(AudioError):
    """Missing for an array, not a whole number, or outside ``MIN_RATE`` to ``MAX_RATE``."""


class InvalidSamplesError(AudioError):
    """NaN, beyond ``LOUDEST_PEAK``, complex or not numeric, or not in one or two dimensions."""


@dataclass(frozen=True, eq=False)  # comparing tensors does not give a bool
class Recording:
    """Mono sound at its native level: waveform (samples,) float32, and sample rate in Hz. The
    waveform is a tensor, or an array if loaded without torch (:func:`load_array`)."""

    waveform: torch.Tensor | np.ndarray
    sample_rate: int

    @property
    def duration(self) -> float:
        """Length in seconds."""
        return self.waveform.shape[-1] / self.sample_rate


def load(
    source: str | os.PathLike | bytes | BinaryIO | np.ndarray | torch.Tensor | Recording | None,
    sample_rate: int | None = None,
) -> Recording:
    """Load a recording as the mean of its channels, sharing no memory with ``source``.

    If the channels cancel each other, use only the loudest. Raise a subclass of AudioError; each
    documents its condition.

    Args:
        source: a path, the bytes of a file, an open binary file (read from its start, left open),
            or samples: (samples,), (samples, channels) or (channels, samples), where the smaller
            dimension is the channels. Floating-point samples keep their level, integers are scaled
            to [-1, 1) by their full scale, unsigned ones after centring.
        sample_rate: of an array or tensor, in Hz. Files and ``Recording`` have their own.
    """
    import torch

    found = load_array(source, sample_rate)
    return Recording(torch.from_numpy(found.waveform), found.sample_rate)


def load_array(source: Any, sample_rate: int | None = None) -> Recording:
    """Load as :func:`load` does, without torch: the waveform is an array."""
    if isinstance(source, Recording):
        source, sample_rate = source.waveform, source.sample_rate
    if isinstance(source, np.ndarray) or _is_tensor(source):
        return _checked(_samples_to_mono(source), sample_rate)

    try:
        with _open(source) as stream:
            return _checked(*decode(stream))
    except OSError:  # disk failure
        raise UndecodableAudioError(UNREADABLE) from None


def _is_tensor(source: object) -> bool:
    torch = sys.modules.get("torch")  # without the import, there can be no tensor
    return torch is not None and isinstance(source, torch.Tensor)


def require_sound(waveform: torch.Tensor | np.ndarray) -> None:
    """Raise ``SilentAudioError`` if floating-point samples (samples,) are empty or silent."""
    if not len(waveform) or abs(waveform - waveform.mean()).max() < SILENCE_PEAK:
        raise SilentAudioError("The recording is silent; please check the microphone and repeat.")


def _checked(mono: np.ndarray, rate: object) -> Recording:
    if not (isinstance(rate, Real) and MIN_RATE <= rate <= MAX_RATE and rate == int(rate)):
        raise SampleRateError(_BAD_RATE)
    rate = int(rate)
    if mono.size < MIN_SECONDS * rate:  # printed rounded down: 0.499 s must not read as 0.5 s
        raise TooShortError(_TOO_SHORT.format(mono.size * 100 // rate / 100 or mono.size / rate))
    if mono.size > MAX_SECONDS * rate:
        raise TooLongError(TOO_LONG)
    if not max(mono.max(), -mono.min()) <= LOUDEST_PEAK:  # both are NaN if one sample is
        raise InvalidSamplesError("The recording has invalid values; please record it again.")
    require_sound(mono)
    return Recording(mono, rate)


def _samples_to_mono(samples: np.ndarray | torch.Tensor) -> np.ndarray:
    if _is_tensor(samples):
        try:
            samples = samples.detach().cpu()
            samples = (samples.float() if samples.is_floating_point() else samples).numpy()
        except (RuntimeError, TypeError):  # sparse, without data, or of a dtype that NumPy lacks
            raise InvalidSamplesError(_NOT_SAMPLES) from None
    if samples.ndim not in (1, 2) or samples.dtype.kind not in "iuf":
        raise InvalidSamplesError(_NOT_SAMPLES)
    if not samples.size:
        raise EmptyAudioError(EMPTY)
    samples = np.atleast_2d(np.asarray(samples))  # drops a mask
    return mix(samples if samples.shape[0] >= samples.shape[1] else samples.T)


class Mixer:
    """Mix blocks of one recording, (samples, channels) -> (samples,): the mean over the channels,
    or one ``channel`` alone."""

    def __init__(self, channel: int | None = None):
        self.channel = channel
        self.count, self.total, self.products = 0, np.zeros(0), 0.0

    def __call__(self, samples: np.ndarray) -> np.ndarray:
        columns = samples.T
        if self.channel is not None:
            return columns[min(self.channel, len(columns) - 1)].copy()
        with np.errstate(all="ignore"):  # overflow gives infinity, which _checked rejects
            if len(columns) > 1:
                if len(self.total) != len(columns):  # restart for a new layout
                    self.count, self.total, self.products = 0, np.zeros(len(columns)), 0.0
                exact = columns.astype(np.float64, order="C")
                self.count += exact.shape[1]
                self.total += exact.sum(1)
                self.products += exact @ exact.T
            # Add columns: over so short an axis, NumPy's mean takes twenty times as long.
            return sum(columns[1:], columns[0]) / np.float32(len(columns))

    @property
    def loudest(self) -> int | None:
        """The loudest channel, if the mean lies ``CANCELLED_DB`` below it, as with channels in
        opposite phase or one live channel among six; otherwise None."""
        if not self.count:
            return None
        with np.errstate(all="ignore"):
            mean = self.total / self.count
            covariance = self.products / self.count - np.outer(mean, mean)
        power = np.diag(covariance)
        if not covariance.mean() < power.max() * 10 ** (-CANCELLED_DB / 10):
            return None
        return int(np.argmax(power >= 0.9 * power.max()))  # the first of near equals


def mix(samples: np.ndarray) -> np.ndarray:
    """Mix (samples, channels) of any real dtype to a new float32 array (samples,): the mean of the
    channels, or the loudest if they cancel each other (:class:`Mixer`)."""
    if samples.dtype.kind in "iu":
        full_scale = 2.0 ** (8 * samples.dtype.itemsize - 1)
        samples = np.divide(samples, full_scale, dtype=np.float64) - (samples.dtype.kind == "u")
    with np.errstate(all="ignore"):
        samples = samples.astype(np.float32, copy=False)
    mixer = Mixer()
    mono = mixer(samples)
    return mono if mixer.loudest is None else Mixer(mixer.loudest)(samples)


def _open(source: object) -> BinaryIO:
    """Return a seekable stream without a name, whose suffix could mislead the libraries."""
    if source is None:
        raise MissingAudioError("There is no recording; please record one or choose a file.")
    if not isinstance(source, str | os.PathLike):
        return io.BytesIO(_read_all(source))
    try:  # non-blocking: else opening a named pipe waits for its writer
        descriptor = os.open(source, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    except (OSError, ValueError):
        told = "This file is missing or could not be opened; please choose another."
        raise MissingAudioError(told) from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise UndecodableAudioError(UNREADABLE)
    return os.fdopen(descriptor, "rb")


def _read_all(source: object) -> memoryview:
    try:
        if hasattr(source, "read"):
            if source.seekable():
                source.seek(0)
            source = source.read()
        return memoryview(source)
    except (AttributeError, TypeError, OSError, ValueError):  # not binary, not a file, or closed
        raise UndecodableAudioError(UNREADABLE) from None


# libsndfile gets wav, ogg and flac. Its mp3 decoder writes to stderr, even on intact mp3 files and
# on bytes that only resemble one. Its aiff reader makes soundfile write there on damaged files.
# So FFmpeg decodes everything else.
_SOUNDFILE_MAGIC = (b"OggS", b"fLaC")
# FFmpeg would also read images, text, and playlists that open other local files.
_FORMATS = "aac,ac3,aiff,amr,asf,au,avi,caf,flac,flv,matroska,mov,mp3,mpeg,mpegts,ogg,w64,wav,wv"

_INSIDE = re.compile(rb"RIF[FX]....WAVE|fLaC\0", re.DOTALL)
_SEARCHED = 2**16  # bytes of leading junk searched for a file
_LONGEST_FRAME = 60.0  # s; a longer frame is bogus, and would exhaust memory
TOO_SLOW = "This file takes too long to read; please save it again as wav or mp3."
FLOOR, PER_SECOND = 10.0, 10.0 / 60  # s of CPU time allowed: per file, and per second of sound

_Block = tuple[np.ndarray, int]  # samples (samples, channels) float32 and their rate in Hz


class _Work:
    """Track the CPU time that decoding costs this thread, to stop at files made to be expensive."""

    def __init__(self):
        self.start, self.begun = time.thread_time(), time.perf_counter()
        self.seconds, self.stopped = 0.0, False

    def done(self) -> bool:
        """Return whether the limit is exceeded; once True, it stays so."""
        limit = FLOOR + PER_SECOND * self.seconds
        if time.perf_counter() - self.begun > limit:  # faster to read, and never less
            self.stopped = self.stopped or time.thread_time() - self.start > limit
        return self.stopped


def decode(stream: BinaryIO) -> tuple[np.ndarray, int]:
    """Decode a file to mono samples (samples,) float32 and their rate in Hz; raise AudioError."""
    if not stream.read(1):
        raise EmptyAudioError(EMPTY)
    work, failure = _Work(), None
    for start in _starts(stream):
        try:
            mono, rate, loudest = _read(stream, start, work, Mixer())
            if loudest is not None:
                mono, rate, _ = _read(stream, start, work, Mixer(loudest))
            return mono, rate
        except (EmptyAudioError, UndecodableAudioError) as error:
            failure = failure or error
    raise failure from None


def _starts(stream: BinaryIO) -> Iterator[int]:
    """Yield offsets where the file may begin: after its tags, at 0, or after leading junk."""
    tags = after_tags(stream)
    yield tags
    if tags:
        yield 0
    stream.seek(tags)
    if (found := _INSIDE.search(stream.read(_SEARCHED))) and found.start():
        yield tags + found.start()


def _read(
    stream: BinaryIO, start: int, work: _Work, mixer: Mixer
) -> tuple[np.ndarray, int, int | None]:
    """Return mono samples, their rate, and the channel to use instead if channels cancel out."""
    failure: AudioError = UndecodableAudioError(UNREADABLE)
    whole = Part(stream, start, stopped=work.done)
    source = plain_wav(stream, start, work.done)
    if whole.read(4) in _SOUNDFILE_MAGIC:
        source = whole
    if source is not None:
        import soundfile  # imported here: only files need a decoder

        source.seek(0)
        try:
            return _gather(_soundfile_blocks(source), failure, work, mixer)
        except EmptyAudioError as error:
            failure = error  # or no length was filled in: FFmpeg reads to the end
        except soundfile.SoundFileError:
            pass  # FFmpeg knows more codecs, and continues after damage
    whole.seek(0)
    return _gather(_ffmpeg_blocks(whole, work.done), failure, work, mixer)


def _gather(
    blocks: Iterator[_Block], failure: AudioError, work: _Work, mixer: Mixer
) -> tuple[np.ndarray, int, int | None]:
    """Join a file's blocks, up to where FFmpeg fails; raise ``failure`` if there are none."""
    from av.error import FFmpegError

    parts, length = [], 0
    with contextlib.closing(blocks), contextlib.suppress(FFmpegError):
        for block, rate in blocks:
            parts.append(mixer(block))
            length += len(block)
            work.seconds += len(block) / rate
            if length > MAX_SECONDS * rate:
                raise TooLongError(TOO_LONG)
            if work.done():
                break
    if work.stopped:
        raise UndecodableAudioError(TOO_SLOW)
    if not length:
        raise failure
    return np.concatenate(parts), rate, mixer.loudest


def _soundfile_blocks(stream: Part) -> Iterator[_Block]:
    import soundfile

    # Buffered: libsndfile makes many small reads, each of which would call into Python.
    with soundfile.SoundFile(io.BufferedReader(stream, 2**17)) as file:
        if not file.frames and file.format != "OGG":  # Ogg states no length: it may be cut
            raise EmptyAudioError(EMPTY)
        if MAX_SECONDS * file.samplerate < file.frames < 2**62:
            raise TooLongError(TOO_LONG)  # a streamed flac states no length: 2**63 - 1 here
        while len(block := file.read(2**18 // file.channels, dtype="float32", always_2d=True)):
            yield block, file.samplerate


def _ffmpeg_blocks(stream: Part, stopped: Callable[[], bool]) -> Iterator[_Block]:
    import av

    av.logging.set_level(None)
    with av.open(stream, metadata_errors="ignore", options={"format_whitelist": _FORMATS}) as file:
        if not file.streams.audio:
            raise UndecodableAudioError("There is no sound in this file; please give another one.")
        # PyAV before 18 crashes on a stream of an unknown codec.
        known = [stream for stream in file.streams.audio if stream.codec_context is not None]
        rate, resamplers = 0, defaultdict(lambda: av.AudioResampler(format="flt", rate=rate))
        for packet in file.demux(known[0]) if known else ():
            if stopped():
                return
            with contextlib.suppress(av.error.FFmpegError):  # skip a damaged packet
                for frame in packet.decode():
                    if frame.samples > _LONGEST_FRAME * frame.sample_rate:
                        continue
                    rate = rate or frame.sample_rate  # concatenated files may change it
                    kind = frame.format.name, frame.layout.name, frame.sample_rate
                    # Interleaved: PyAV reads out of bounds on planar frames of eight channels.
                    for flat in resamplers[kind].resample(frame):
                        yield flat.to_ndarray().reshape(-1, flat.layout.nb_channels), rate
