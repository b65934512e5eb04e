"""Download a corpus from its public archive and put it where its reader looks."""

from __future__ import annotations

import errno
import hashlib
import time
import zlib
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from zipfile import BadZipFile, ZipFile, ZipInfo

from cry_model.checkpoint import move_into_place
from train.data.corpus import ArchiveFolder, DataError
from train.data.datasets import Dataset

DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
PAUSES = (1.0, 3.0, 9.0, 27.0)  # s, before each further attempt
TIMEOUT = 30.0  # s without a byte
BLOCK = 2**16  # bytes
README = "README.md"


def download(dataset: Dataset, root: Path) -> None:
    """Put ``root/dataset.name`` there, and what else its archive holds.

    A folder that is already there, and not empty, is left as it is. The archive stays in ``root``
    until everything has been taken from it, so that a second call does not fetch it again. Raise
    DataError if the corpus has no archive, the archive cannot be fetched or is not as expected, or
    the disk is full; OSError if ``root`` cannot be written for another reason.
    """
    archive = dataset.archive
    if archive is None:
        raise DataError(
            f"There is no public archive of '{dataset.name}' to download; put your copy of the "
            f"recordings into {root} yourself."
        )
    if _is_there(root / dataset.name):
        print(f"{root / dataset.name} is already there; nothing was downloaded.")
        return
    try:
        root.mkdir(parents=True, exist_ok=True)
        file = root / archive.file
        if file.exists():
            print(f"Using {file}.")
        else:
            fetch(archive.url, file)
        for folder in sorted(archive.folders, key=lambda folder: folder.name != dataset.name):
            if not _is_there(root / folder.name):
                recordings = unpack(file, folder, root)
                print(f"{recordings} recordings are now in {root / folder.name}.")
        file.unlink()
    except OSError as error:
        if error.errno not in DISK_FULL:
            raise
        raise DataError(f"The disk of {root} is full; make room and run this again.") from None


def _is_there(folder: Path) -> bool:
    return folder.exists() and not (folder.is_dir() and not any(folder.iterdir()))


def fetch(url: str, target: Path) -> None:
    """Download ``url`` to ``target``, whole or not at all; start over where the connection breaks;
    raise DataError if there is no connection, if the server refuses, or if the connection breaks
    again and again; OSError if the file cannot be written."""
    from pooch import HTTPDownloader
    from requests.exceptions import ConnectionError, HTTPError, RequestException

    part, failure = target.with_name(f"{target.name}.part"), ""
    get = HTTPDownloader(progressbar=True, chunk_size=BLOCK, timeout=TIMEOUT)
    try:
        for pause in (0.0, *PAUSES):
            time.sleep(pause)
            try:
                get(url, str(part), None)
                move_into_place(part, target)
                return
            except HTTPError as error:
                failure = f"the server answers {error.response.status_code}"
                if error.response.status_code < 500:
                    break
            except ConnectionError:
                failure = "no connection"
                if not (pause or part.stat().st_size):  # nothing came, at the first attempt
                    break
            except RequestException:
                failure = "the connection breaks"
    finally:
        part.unlink(missing_ok=True)
    raise DataError(
        f"{url} could not be downloaded ({failure}); run this again later, or fetch that file by "
        f"other means, save it as {target} and run this again."
    )


def unpack(file: Path, folder: ArchiveFolder, root: Path) -> int:
    """Fill ``root/folder.name``, whole or not at all; return how many recordings it holds; raise
    DataError if the archive is damaged, names a path outside itself, or holds other recordings than
    expected; the folder is then not there, and the archive still is; OSError if the folder cannot
    be written, or is there and not empty."""
    with TemporaryDirectory(dir=root, prefix=f".{folder.name}-") as temporary:
        unpacked = Path(temporary) / folder.name
        unpacked.mkdir()
        try:
            digests = _extract(file, folder, unpacked)
        except (BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
            raise DataError(
                f"{file} is damaged ({error}); delete it and download it again."
            ) from None
        found, wanted, difference = len(digests), folder.files, ""
        if found < wanted or (folder.digest and found > wanted):
            difference = f"{found} files instead of {wanted}"
        elif folder.digest and digest(digests) != folder.digest:
            difference = f"the contents of some of its {found} files differ"
        if difference:
            raise DataError(
                f"{file} holds another {folder.name} than we know ({difference}); it is kept for "
                "a look and nothing was taken from it: delete it to fetch it again."
            )
        unpacked.rename(root / folder.name)
    return found


def digest(digests: dict[str, str]) -> str:
    """Return one SHA-256 for files of a corpus's folder, name -> SHA-256."""
    lines = (f"{name}\0{digests[name]}\n" for name in sorted(digests))
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _extract(file: Path, folder: ArchiveFolder, target: Path) -> dict[str, str]:
    """Write what is wanted below ``target``; return recording -> SHA-256."""
    digests = {}
    with ZipFile(file) as archive:
        members = [(member, _name(file, member, folder)) for member in archive.infolist()]
        for member, name in members:
            if name is None:
                continue
            content = archive.read(member)  # its CRC is checked on the way
            (target / name).parent.mkdir(exist_ok=True)
            (target / name).write_bytes(content)
            if name != README:
                digests[name] = hashlib.sha256(content).hexdigest()
    return digests


def _name(file: Path, member: ZipInfo, folder: ArchiveFolder) -> str | None:
    """Return where a member goes, relative to the corpus's folder; None if it is not wanted."""
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
