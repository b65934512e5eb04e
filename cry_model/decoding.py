"""The bytes of a file -> mono float32, through soundfile and PyAV.

Apart from :mod:`cry_model.audio`, so that what never opens a file (training from a prepared cache)
needs neither of them.
"""

from __future__ import annotations

import contextlib
import io
import re
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import partial
from typing import BinaryIO

import av
import numpy as np
import soundfile

from cry_model.audio import (
    EMPTY,
    MAX_SECONDS,
    TOO_LONG,
    UNREADABLE,
    AudioError,
    EmptyAudioError,
    Mixer,
    TooLongError,
    UndecodableAudioError,
)
from cry_model.wav import Part, after_tags, plain_wav

# libsndfile gets wav, ogg and flac. Its mp3 decoder writes to stderr, even on sound mp3 files and
# on bytes that only resemble one, and its aiff reader makes soundfile write there on damaged ones,
# so FFmpeg reads everything else.
_SOUNDFILE_MAGIC = (b"OggS", b"fLaC")
# FFmpeg would also read pictures, text, and playlists that open other files of this machine.
_FORMATS = "aac,ac3,aiff,amr,asf,au,avi,caf,flac,flv,matroska,mov,mp3,mpeg,mpegts,ogg,w64,wav,wv"
av.logging.set_level(None)

_INSIDE = re.compile(rb"RIF[FX]....WAVE|fLaC\0", re.DOTALL)
_SEARCHED = 2**16  # bytes of junk before a file
_LONGEST_FRAME = 60.0  # s; a frame of more sound is a lie, which would fill the memory
TOO_SLOW = "This file takes too long to read; please save it again as wav or mp3."
FLOOR, PER_SECOND = 10.0, 10.0 / 60  # s of work: for any file, and for each second of its sound

_Block = tuple[np.ndarray, int]  # samples (samples, channels) float32 and their rate in Hz
_Mono = tuple[np.ndarray, int]  # samples (samples,) float32 and their rate in Hz


class _Work:
    """Counts what decoding costs this thread: a file made to cost more ends there."""

    def __init__(self):
        self.start, self.begun = time.thread_time(), time.perf_counter()
        self.seconds, self.stopped = 0.0, False

    def done(self) -> bool:
        """Whether it is too much by now; then for good."""
        limit = FLOOR + PER_SECOND * self.seconds
        if time.perf_counter() - self.begun > limit:  # the quicker one to read, and never behind
            self.stopped = self.stopped or time.thread_time() - self.start > limit
        return self.stopped


def decode(stream: BinaryIO) -> _Mono:
    """Mono samples (samples,) float32 and their rate in Hz.

    Raises:
        AudioError: if the file holds none, more than ``MAX_SECONDS`` of them, or takes too long.
    """
    if not stream.read(1):
        raise EmptyAudioError(EMPTY)
    work, failure = _Work(), None
    for start in _starts(stream):
        try:
            read = partial(_read, stream, start, work)
            mono, rate, loudest = read(Mixer())
            return (mono, rate) if loudest is None else read(Mixer(loudest))[:2]
        except (EmptyAudioError, UndecodableAudioError) as error:
            failure = failure or error
    raise failure from None


def _starts(stream: BinaryIO) -> Iterator[int]:
    """Where the file may begin: after its tags, at once, or after junk."""
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
    """Mono samples, their rate, and the channel to take instead if they cancel each other."""
    failure: AudioError = UndecodableAudioError(UNREADABLE)
    whole = Part(stream, start, stopped=work.done)
    source = plain_wav(stream, start, work.done)
    if whole.read(4) in _SOUNDFILE_MAGIC:
        source = whole
    if source is not None:
        source.seek(0)
        try:
            return _gather(_soundfile_blocks(source), failure, work, mixer)
        except EmptyAudioError as error:
            failure = error  # unless the length was never filled in: FFmpeg reads to the end
        except soundfile.SoundFileError:
            pass  # FFmpeg knows more codecs, and goes on after damage
    whole.seek(0)
    return _gather(_ffmpeg_blocks(whole, work.done), failure, work, mixer)


def _gather(
    blocks: Iterator[_Block], failure: AudioError, work: _Work, mixer: Mixer
) -> tuple[np.ndarray, int, int | None]:
    """Joins a file's blocks, up to where FFmpeg fails; raises ``failure`` if there are none."""
    parts, length = [], 0
    with contextlib.closing(blocks), contextlib.suppress(av.error.FFmpegError):
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
    # libsndfile reads little at a time, and each time would cost a step through Python.
    with soundfile.SoundFile(io.BufferedReader(stream, 2**17)) as file:
        if not file.frames and file.format != "OGG":  # which states no length: it may be cut
            raise EmptyAudioError(EMPTY)
        if MAX_SECONDS * file.samplerate < file.frames < 2**62:
            raise TooLongError(TOO_LONG)  # a streamed flac states no length: 2**63 - 1 here
        while len(block := file.read(2**18 // file.channels, dtype="float32", always_2d=True)):
            yield block, file.samplerate


def _ffmpeg_blocks(stream: Part, stopped: Callable[[], bool]) -> Iterator[_Block]:
    with av.open(stream, metadata_errors="ignore", options={"format_whitelist": _FORMATS}) as file:
        if not file.streams.audio:
            raise UndecodableAudioError("There is no sound in this file; please give another one.")
        # PyAV before 18 crashes on a stream of an unknown codec.
        known = [stream for stream in file.streams.audio if stream.codec_context is not None]
        rate, resamplers = 0, defaultdict(lambda: av.AudioResampler(format="flt", rate=rate))
        for packet in file.demux(known[0]) if known else ():
            if stopped():
                return
            with contextlib.suppress(av.error.FFmpegError):  # leave a damaged packet out
                for frame in packet.decode():
                    if frame.samples > _LONGEST_FRAME * frame.sample_rate:
                        continue
                    rate = rate or frame.sample_rate  # joined files may change it on the way
                    kind = frame.format.name, frame.layout.name, frame.sample_rate
                    # To interleaved samples: PyAV reads beyond planar frames of eight channels.
                    for flat in resamplers[kind].resample(frame):
                        yield flat.to_ndarray().reshape(-1, flat.layout.nb_channels), rate
