"""Fetches a corpus from its public archive and puts it where its reader looks."""

from __future__ import annotations

import errno
from pathlib import Path

from train.data.corpus import Archive, DataError
from train.data.datasets import Dataset
from train.data.download import TransferError, fetch, part_of, unpack

DISK_FULL = (errno.ENOSPC, errno.EDQUOT)


def download(dataset: Dataset, root: Path) -> None:
    """Puts ``root/dataset.name`` there, and what else its archive holds.

    A folder that is already there, and not empty, is left as it is. What was downloaded stays in
    ``root`` until everything has been taken from it, so that a second try starts from there.

    Raises:
        DataError: if the corpus has no archive, the archive cannot be fetched or is not as
            expected, or the disk is full.
        OSError: if ``root`` cannot be written for another reason.
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
        file = _fetched(archive, root)
        for folder in sorted(archive.folders, key=lambda folder: folder.name != dataset.name):
            if not _is_there(root / folder.name):
                recordings = unpack(file, folder, root)
                print(f"{recordings} recordings are now in {root / folder.name}.")
        file.unlink()
    except OSError as error:
        if error.errno not in DISK_FULL:
            raise
        raise DataError(
            f"The disk of {root} is full; make room and run this again, which goes on with what "
            "was downloaded so far."
        ) from None


def _fetched(archive: Archive, root: Path) -> Path:
    file = root / archive.file
    if file.exists():
        print(f"Using {file}.")
        return file
    try:
        fetch(archive.url, file)
    except TransferError as error:
        kept = f" ({part_of(file).name} is kept and used then)" if part_of(file).exists() else ""
        raise DataError(
            f"{archive.url} could not be downloaded ({error}); run this again later{kept}, or "
            f"fetch that file by other means, save it as {file} and run this again."
        ) from None
    return file


def _is_there(folder: Path) -> bool:
    return folder.exists() and not (folder.is_dir() and not any(folder.iterdir()))
