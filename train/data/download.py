"""Download a corpus from its public archive into the folder that its reader expects."""

from __future__ import annotations

import hashlib
import shutil
import zlib
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from zipfile import BadZipFile, ZipFile

from train.data.corpus import Archive, ArchiveFolder, DataError

TIMEOUT = 30.0  # s without data


def download(name: str, archive: Archive | None, root: Path) -> None:
    """Create ``root/name``, and the other corpora of its archive, unless they exist.

    The archive stays in ``root`` until all are extracted. Raise DataError if there is no archive,
    if it cannot be downloaded, or if its contents are not as expected.
    """
    if archive is None:
        raise DataError(
            f"There is no public archive of '{name}' to download; put your copy of the recordings "
            f"into {root} yourself."
        )
    if _is_there(root / name):
        print(f"{root / name} already exists; nothing was downloaded.")
        return
    root.mkdir(parents=True, exist_ok=True)
    file = root / archive.file
    if file.exists():
        print(f"Using {file}.")
    else:
        fetch(archive.url, file)
    with TemporaryDirectory(dir=root, prefix=f".{name}-") as temporary:
        whole = Path(temporary) / "whole"
        try:
            with ZipFile(file) as zipped:
                zipped.extractall(whole)  # never writes outside ``whole``, whatever member names
        except (BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
            raise DataError(
                f"{file} is damaged ({error}); delete it and download it again."
            ) from None
        for folder in sorted(archive.folders, key=lambda folder: folder.name != name):
            if not _is_there(root / folder.name):
                taken = Path(temporary) / folder.name
                recordings = take(whole, folder, taken, file)
                taken.rename(root / folder.name)
                print(f"{recordings} recordings are now in {root / folder.name}.")
    file.unlink()


def _is_there(folder: Path) -> bool:
    return folder.exists() and not (folder.is_dir() and not any(folder.iterdir()))


def fetch(url: str, target: Path) -> None:
    """Download ``url`` to ``target`` atomically, in up to four attempts, or raise DataError."""
    from pooch import HTTPDownloader, Pooch
    from requests.exceptions import RequestException

    name, get = target.name, HTTPDownloader(progressbar=True, timeout=TIMEOUT)
    source = Pooch(target.parent, "", {name: None}, urls={name: url}, retry_if_failed=3)
    try:
        source.fetch(name, downloader=get)
    except RequestException as error:
        answer = error.response
        failure = "the connection failed" if answer is None else f"answer {answer.status_code}"
        raise DataError(
            f"{url} could not be downloaded ({failure}); run this again later, or download it "
            f"yourself, save it as {target} and run this again."
        ) from None


def take(whole: Path, folder: ArchiveFolder, target: Path, file: Path) -> int:
    """Move a folder's recordings from the extracted archive ``whole`` to ``target``, with the
    README; return their number. Raise DataError if they are not those expected."""
    inside = PurePosixPath("*", folder.source)
    found = {
        "/".join(path.relative_to(whole).parts[len(inside.parts) :]): path
        for path in whole.glob(str(inside / folder.pattern))
    }
    count, difference = len(found), ""
    if count < folder.files or (folder.digest and count > folder.files):
        difference = f"{count} files instead of {folder.files}"
    elif folder.digest and digest(found) != folder.digest:
        difference = f"the contents of some of its {count} files differ"
    if difference:
        raise DataError(
            f"{file} holds an unknown version of {folder.name} ({difference}); it is kept, and "
            "nothing was extracted: delete it to download it again."
        )
    target.mkdir()
    for path in whole.glob("*/README.md"):
        shutil.copy(path, target)
    for name, path in found.items():
        (target / name).parent.mkdir(exist_ok=True)
        path.rename(target / name)
    return count


def digest(files: Mapping[str, Path]) -> str:
    """Return the SHA-256 of the lines ``name NUL sha256 LF`` of all files, sorted by name."""
    lines = (
        f"{name}\0{hashlib.sha256(path.read_bytes()).hexdigest()}\n"
        for name, path in sorted(files.items())
    )
    return hashlib.sha256("".join(lines).encode()).hexdigest()
