"""Fetches one file over HTTP, going on where an earlier try broke off."""

from __future__ import annotations

import time
from collections.abc import Iterator
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from tqdm import tqdm

from cry_model.checkpoint import move_into_place

PAUSES = (1.0, 3.0, 9.0, 27.0)  # seconds before each further try
TIMEOUT = 30.0  # seconds without a byte
BLOCK = 2**16  # bytes


class TransferError(Exception):
    """Nothing more can be fetched; the message is why, in a few words."""


def part_of(target: Path) -> Path:
    """Where a file lies until it is whole."""
    return target.with_name(target.name + ".part")


def fetch(url: str, target: Path) -> None:
    """Downloads ``url`` to ``target``, by way of a ``.part`` file beside it that a failure leaves.

    Raises:
        TransferError: if there is no connection, if the server refuses, or if it drops the
            connection again and again.
        OSError: if the file cannot be written.
    """
    part, failure = part_of(target), ""
    for number, pause in enumerate((0.0, *PAUSES)):
        time.sleep(pause)
        try:
            _attempt(url, part)
            move_into_place(part, target)
            return
        except HTTPError as error:
            failure = f"the server answers {error.code} {error.reason}"
            if error.code == 416:  # there is nothing behind this part: it is not of this file
                part.unlink(missing_ok=True)
            elif error.code < 500:
                raise TransferError(failure) from None
        except URLError as error:
            failure = f"no connection: {error.reason}"
            if not number:
                raise TransferError(failure) from None
        except (HTTPException, ConnectionError, TimeoutError) as error:
            failure = f"the connection breaks: {error or type(error).__name__}"
    raise TransferError(failure)


def _attempt(url: str, part: Path) -> None:
    have = part.stat().st_size if part.exists() else 0
    request = Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    with urlopen(request, timeout=TIMEOUT) as response:
        resumed = response.status == 206
        if resumed and not response.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
            part.unlink()
            raise ConnectionError("the server goes on at another place")
        start = have if resumed else 0
        length = response.headers.get("Content-Length")
        total = None if length is None else start + int(length)
        size = _append(response, part, start, total)
    if total is not None and size < total:  # which http.client does not mind
        raise ConnectionError(f"{size} of {total} bytes came")


def _append(response: HTTPResponse, part: Path, start: int, total: int | None) -> int:
    """Writes the response behind the first ``start`` bytes; returns the size of the file."""
    bar = tqdm(total=total, initial=start, desc=part.stem, unit="B", unit_scale=True)
    with part.open("ab" if start else "wb") as file, bar:
        for block in _blocks(response):
            file.write(block)
            bar.update(len(block))
        return file.tell()


def _blocks(response: HTTPResponse) -> Iterator[bytes]:
    while True:
        try:
            block = response.read1(BLOCK)  # what has come, so that a break loses nothing
        except OSError as error:  # so that it is not taken for the disk's
            raise ConnectionError(str(error)) from None
        if not block:
            return
        yield block
