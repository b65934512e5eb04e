"""The bytes of a file -> mono float32, through soundfile and PyAV.

Apart from :mod:`cry_model.audio`, so that what never opens a file (training from a prepared cache)
needs neither of them.
"""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Iterator
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
    TooLongError,
    UndecodableAudioError,
    mix,
)

# libsndfile gets what starts like wav, ogg or flac. Its mp3 decoder writes to stderr, even on sound
# mp3 files and on bytes that only resemble one, and its aiff reader makes soundfile write there on
# damaged ones, so FFmpeg reads everything else.
_SOUNDFILE_MAGIC = (b"RIFF", b"RF64", b"OggS", b"fLaC")
# FFmpeg would also read pictures, text, and playlists that open other files of this machine.
_FORMATS = "aac,ac3,aiff,amr,asf,au,avi,caf,flac,flv,matroska,mov,mp3,mpeg,mpegts,ogg,w64,wav,wv"
av.logging.set_level(None)

_Block = tuple[np.ndarray, int]  # mono samples (samples,) float32 and their rate in Hz


def decode(stream: BinaryIO) -> _Block:
    """Mono samples (samples,) float32 and their rate in Hz.

    Raises:
        AudioError: if the file holds none, or more than ``MAX_SECONDS`` of them.
    """
    start = stream.read(4)
    stream.seek(0)
    if not start:
        raise EmptyAudioError(EMPTY)
    failure: AudioError = UndecodableAudioError(UNREADABLE)
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
                raise TooLongError(TOO_LONG)
    if not length:
        raise failure
    return np.concatenate(parts), rate


def _soundfile_blocks(stream: BinaryIO) -> Iterator[_Block]:
    with soundfile.SoundFile(stream) as file:
        if not file.frames and file.format != "OGG":  # which states no length: it may be cut
            raise EmptyAudioError(EMPTY)
        if MAX_SECONDS * file.samplerate < file.frames < 2**62:
            raise TooLongError(TOO_LONG)  # a streamed flac states no length: 2**63 - 1 here
        while len(block := file.read(2**18 // file.channels, dtype="float32", always_2d=True)):
            yield mix(block), file.samplerate


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
                        yield mix(flat.to_ndarray().reshape(-1, flat.layout.nb_channels)), rate
