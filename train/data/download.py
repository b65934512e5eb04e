"""Download a corpus from its public archive and put it where its reader looks."""

from __future__ import annotations

import hashlib
import time
import zlib
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from zipfile import BadZipFile, ZipFile, ZipInfo

from cry_model.checkpoint import move_into_place
from train.data.corpus import Archive, ArchiveFolder, DataError

PAUSES = (1.0, 3.0, 9.0)  # s, before each further attempt
TIMEOUT = 30.0  # s without a byte
README = "README.md"


def download(name: str, archive: Archive | None, root: Path) -> None:
    """Put ``root/name`` there, and what else its archive holds.

    A folder that is already there, and not empty, is left as it is. The archive stays in ``root``
    until everything has been taken from it, so that a second call does not fetch it again. Raise
    DataError if there is no archive, or it cannot be fetched or is not as expected; OSError if
    ``root`` cannot be written.
    """
    if archive is None:
        raise DataError(
            f"There is no public archive of '{name}' to download; put your copy of the recordings "
            f"into {root} yourself."
        )
    if _is_there(root / name):
        print(f"{root / name} is already there; nothing was downloaded.")
        return
    root.mkdir(parents=True, exist_ok=True)
    file = root / archive.file
    if file.exists():
        print(f"Using {file}.")
    else:
        fetch(archive.url, file)
    for folder in sorted(archive.folders, key=lambda folder: folder.name != name):
        if not _is_there(root / folder.name):
            recordings = unpack(file, folder, root)
            print(f"{recordings} recordings are now in {root / folder.name}.")
    file.unlink()


def _is_there(folder: Path) -> bool:
    return folder.exists() and not (folder.is_dir() and not any(folder.iterdir()))


def fetch(url: str, target: Path) -> None:
    """Download ``url`` to ``target``, whole or not at all; start over where the connection breaks.
    Raise DataError if the server refuses, or there is no connection again and again."""
    from pooch import HTTPDownloader
    from requests.exceptions import RequestException

    part = target.with_name(f"{target.name}.part")
    get = HTTPDownloader(progressbar=True, timeout=TIMEOUT)
    for pause in (0.0, *PAUSES):
        time.sleep(pause)
        try:
            get(url, str(part), None)
            move_into_place(part, target)
            return
        except RequestException as error:
            status = None if error.response is None else error.response.status_code
        finally:
            part.unlink(missing_ok=True)
        if status is not None and status < 500:
            break
    failure = "there is no connection, or it breaks" if status is None else f"answer {status}"
    raise DataError(
        f"{url} could not be downloaded ({failure}); run this again later, or fetch that file by "
        f"other means, save it as {target} and run this again."
    )


def unpack(file: Path, folder: ArchiveFolder, root: Path) -> int:
    """Fill ``root/folder.name``, whole or not at all; return how many recordings it holds.

    Raise DataError if the archive is damaged, names a path outside itself, or holds other
    recordings than expected; the folder is then not there, and the archive still is.
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
    """Return the SHA-256 over a line ``name NUL sha256 LF`` for each file, sorted by name."""
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
    wanted = len(name.parts) == len(levels) and all(map(fnmatchcase, name.parts, levels))
    return name.as_posix() if wanted else None
