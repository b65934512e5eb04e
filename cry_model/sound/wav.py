"""Read part of a file as a stream, and reduce a wav file to its format and samples.

libsndfile 1.2.2 hangs on a LIST chunk with a note of almost 2**32 bytes, and fails on an odd chunk
without its padding byte. So neither is passed on to it.
"""

from __future__ import annotations

import io
import os
import struct
from collections.abc import Callable
from typing import BinaryIO

MOST_CHUNKS = 1000  # searched for the samples
LONGEST_FORMAT = 1024  # bytes


class Part(io.RawIOBase):
    """Bytes ``start`` to ``end`` of a seekable stream, after a ``header``; the stream stays open.

    Once ``stopped`` returns True, reads return nothing, as at the end.
    """

    def __init__(
        self,
        stream: BinaryIO,
        start: int = 0,
        end: int | None = None,
        header: bytes = b"",
        stopped: Callable[[], bool] = lambda: False,
    ):
        self.stream, self.start, self.header, self.stopped = stream, start, header, stopped
        end = stream.seek(0, os.SEEK_END) if end is None else end
        self.size, self.position = len(header) + max(0, end - start), 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self.position, os.SEEK_END: self.size}[whence]
        self.position = max(0, base + offset)
        return self.position

    def readinto(self, buffer: memoryview) -> int:
        if self.stopped():
            return 0
        view = memoryview(buffer)[: max(0, self.size - self.position)]
        found = self.header[self.position :][: len(view)]
        view[: len(found)] = found
        count = len(found)
        if rest := view[count:]:
            self.stream.seek(self.start + self.position + count - len(self.header))
            count += self.stream.readinto(rest)
        self.position += count
        return count


def plain_wav(stream: BinaryIO, start: int, stopped: Callable[[], bool]) -> Part | None:
    """Return the wav file that begins at ``start``, without the chunks that decoding does not need.

    None if there is none, or its format or samples are not found.
    """
    size = stream.seek(0, os.SEEK_END)
    stream.seek(start)
    name, form = struct.unpack("4s4x4s", stream.read(12).ljust(12, b"\0"))
    if name not in (b"RIFF", b"RIFX") or form != b"WAVE":
        return None
    order, at, found = "<>"[name == b"RIFX"], start + 12, {}
    for _ in range(MOST_CHUNKS):
        stream.seek(at)
        if len(head := stream.read(8)) < 8:
            return None
        chunk, length = struct.unpack(f"{order}4sI", head)
        at += 8
        length = min(length, size - at)
        found.setdefault(chunk, (at, length))
        if b"fmt " in found and b"data" in found:
            break
        at += length
        stream.seek(at)
        at += length % 2 and not stream.read(1).isalnum()  # some writers omit the padding
    else:
        return None
    (at, length), (begin, count) = found[b"fmt "], found[b"data"]
    if length > LONGEST_FORMAT:
        return None
    stream.seek(at)
    body = struct.pack(f"{order}4sI", b"fmt ", length) + stream.read(length) + b"\0" * (length % 2)
    body += struct.pack(f"{order}4sI", b"data", count)
    header = struct.pack(f"{order}4sI4s", name, min(len(body) + 4 + count, 2**32 - 1), form) + body
    return Part(stream, begin, begin + count, header, stopped)


def after_tags(stream: BinaryIO) -> int:
    """Return the offset behind any leading ID3v2 tags; 0 without one."""
    start = 0
    for _ in range(10):  # some programs prepend a second one
        stream.seek(start)
        head = stream.read(10)
        if len(head) < 10 or head[:3] != b"ID3" or max(head[6:]) > 127:
            break
        size = sum(byte << shift for byte, shift in zip(head[6:], (21, 14, 7, 0), strict=True))
        start += 10 + size + (10 if head[5] & 0x10 else 0)  # a footer
    return start
