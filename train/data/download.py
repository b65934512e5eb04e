"""Fetches one file over HTTP, going on where an earlier try broke off."""

from __future__ import annotations

import hashlib
import time
import zlib
from collections.abc import Iterator
from fnmatch import fnmatchcase
from http.client import HTTPException, HTTPResponse
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen
from zipfile import BadZipFile, ZipFile, ZipInfo

from tqdm import tqdm

from cry_model.checkpoint import move_into_place
from train.data.corpus import ArchiveFolder, DataError

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


README = "README.md"
_BLOCK = 2**20  # bytes

Digests = dict[str, str]  # file, relative to the corpus's folder -> SHA-256


def unpack(file: Path, folder: ArchiveFolder, root: Path) -> int:
    """Fills ``root/folder.name``, whole or not at all; returns how many recordings it holds.

    Raises:
        DataError: if the archive is damaged, names a path outside itself, or holds other
            recordings than expected; the folder is then not there, and the archive still is.
        OSError: if the folder cannot be written, or is there and not empty.
    """
    with TemporaryDirectory(dir=root, prefix=f".{folder.name}-") as temporary:
        unpacked = Path(temporary) / folder.name
        unpacked.mkdir()
        try:
            digests = _extract(file, folder, unpacked)
        except (BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
            raise DataError(
                f"{file} is damaged ({error}); delete it and download it again."
            ) from None
        differences = _differences(digests, folder)
        if differences:
            raise DataError(
                f"{file} holds another {folder.name} than we know ({'; '.join(differences)}); "
                "it is kept for a look and nothing was taken from it: delete it to fetch it again."
            )
        unpacked.rename(root / folder.name)
    return len(digests)


def digest(digests: Digests) -> str:
    """One SHA-256 for several files, as :class:`~train.data.corpus.Part` defines it."""
    lines = (f"{name}\0{digests[name]}\n" for name in sorted(digests))
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _extract(file: Path, folder: ArchiveFolder, target: Path) -> Digests:
    digests = {}
    with ZipFile(file) as archive:
        members = [(member, _name(file, member, folder)) for member in archive.infolist()]
        for member, name in members:
            if name is not None:
                sha256 = _copy(archive, member, target / name)
                if name != README:
                    digests[name] = sha256
    return digests


def _name(file: Path, member: ZipInfo, folder: ArchiveFolder) -> str | None:
    """Where a member goes, relative to the corpus's folder; None if it is not wanted."""
    path = PurePosixPath(member.filename)
    if path.is_absolute() or ".." in path.parts:
        raise DataError(
            f"{file} holds a path that leads out of it ({member.filename}); delete it and do not "
            "use what it came from."
        )
    below = PurePosixPath(*path.parts[1:])
    if member.is_dir() or set("\\:") & set(below.as_posix()):  # which mean folders elsewhere
        return None
    if below.as_posix() == README:
        return README
    if not below.is_relative_to(folder.source):
        return None
    name, levels = below.relative_to(folder.source), folder.pattern.split("/")
    if len(name.parts) == len(levels) and all(map(fnmatchcase, name.parts, levels)):
        return name.as_posix()
    return None


def _copy(archive: ZipFile, member: ZipInfo, target: Path) -> str:
    """Writes a member, whose CRC is checked on the way; returns its SHA-256."""
    target.parent.mkdir(exist_ok=True)
    sha256 = hashlib.sha256()
    with archive.open(member) as source, target.open("wb") as sink:
        while block := source.read(_BLOCK):
            sha256.update(block)
            sink.write(block)
    return sha256.hexdigest()


def _differences(digests: Digests, folder: ArchiveFolder) -> list[str]:
    """What is not as expected, a few words a sub-folder."""
    found: dict[str, Digests] = {}
    for name, sha256 in digests.items():
        found.setdefault(name.rpartition("/")[0], {})[name] = sha256
    differences = []
    for name in sorted(set(found) | set(folder.parts)):
        files, part = found.get(name, {}), folder.parts.get(name)
        where = name or folder.source
        if part is None:
            differences.append(f"{where} has {len(files)} files and should not be there")
        elif len(files) < part.files or (part.digest and len(files) > part.files):
            differences.append(f"{where} has {len(files)} files instead of {part.files}")
        elif part.digest and digest(files) != part.digest:
            differences.append(f"the contents of some of the {len(files)} files in {where} differ")
    return differences
