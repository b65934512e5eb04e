"""Errors of the system as a sentence that says what to do."""

from __future__ import annotations

import errno


def sentence(error: OSError) -> str:
    """What to do about a disk that does not take what is written."""
    where = f"'{error.filename}'" if error.filename else "the output folder"
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        advice = "The disk is full: make room and run the same command again, or choose another"
    elif error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
        advice = "This folder may not be written: choose another"
    else:
        return f"{where} cannot be used: {error.strerror or error}."
    return f"{advice} --out or --cache ({where}). What was finished before is kept."
