"""Takes a corpus out of a downloaded archive, if it is the corpus that we know."""

from __future__ import annotations

import hashlib
import zlib
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from zipfile import BadZipFile, ZipFile, ZipInfo

from train.archive import ArchiveFolder
from train.corpus import DataError

README = "README.md"
BLOCK = 2**20  # bytes

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
    """One SHA-256 for several files, as :class:`~train.archive.Part` defines it."""
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
        while block := source.read(BLOCK):
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
