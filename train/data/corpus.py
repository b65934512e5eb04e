"""Describe a corpus: the table of recordings that every reader returns, not decoded yet."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cry_model import declared


class DataError(ValueError):
    """A corpus that is missing or unusable; the message says what to put where."""


def require(holds: bool, sentence: str) -> None:
    """Raise a DataError with this sentence, unless something holds."""
    if not holds:
        raise DataError(sentence)


def require_declared(record: object) -> None:
    """Hold every field of a dataclass against the type and range that it declares.

    A range keeps a slip of the keyboard from ending in a trace or in full memory. Raise DataError
    if a field is something else.
    """
    try:
        declared.require_declared(record)
    except ValueError as error:
        raise DataError(f"{error}.") from None


def related(one: str, other: str) -> bool:
    """Whether two corpora, by name, hold recordings of the same babies."""
    return one == other or any({one, other} <= family for family in FAMILIES)


FAMILIES = (
    {"donateacry", "donateacry_ios", "cries", "detector"},
    {"esc10", "cries", "detector"},
    {"other_sounds", "detector"},
    {"challenge6", "challenge6_cuts", "challenge6-features", "challenge6-features-16khz"},
)
"""Corpora that share recordings, or have them as features."""


ONLY_LEARNT = -1
"""The fold of a recording that its authors put outside of their test part."""


@dataclass(frozen=True)
class Item:
    """One recording."""

    path: Path  # the file
    label: str | None  # its class; None if nobody has named one
    recording: str  # a name that no other recording of the corpus has
    source: str  # the longer recording that it was cut from; its own name where it is whole
    # what must not stand on both sides of an honest split: the baby, or the nearest to it that the
    # corpus tells
    group: str
    # the fold that the corpus's authors put it in, from 0; ONLY_LEARNT for what they never test;
    # None where they gave none
    fold: int | None = None
    # which part of the recording, from 0, where recordings were cut before splitting
    piece: int | None = None

    @property
    def unit(self) -> str:
        """What a fit is tested on as a whole: the recording, or the part of it that was cut."""
        return self.recording if self.piece is None else f"{self.recording}#{self.piece}"


@dataclass(frozen=True)
class Corpus:
    """A dataset: its recordings, their labels in the order of the logits, and its terms."""

    name: str
    labels: tuple[str, ...]
    items: tuple[Item, ...]
    licence: str
    # sentences for who reads the corpus, about what was found and passed over
    notes: tuple[str, ...] = ()

    def indices(self, items: Sequence[Item] | None = None) -> list[int]:
        """Return the label of each item as an index into ``labels``; -1 for an unlabelled one."""
        order: dict[str | None, int] = {label: i for i, label in enumerate(self.labels)}
        order[None] = -1
        return [order[item.label] for item in (self.items if items is None else items)]


@dataclass(frozen=True)
class ArchiveFolder:
    """One folder of a data root that an archive fills."""

    name: str  # of the folder
    # where its contents lie in the archive, below the archive's one top folder; empty for that
    # folder itself
    source: str
    pattern: str  # which files below ``source`` are taken, one wildcard for each level
    files: int  # how many recordings are expected; the least that is accepted without a digest
    # SHA-256 over a line ``name NUL sha256 LF`` for each recording, sorted by name, the name
    # relative to the folder; None where it is not known
    digest: str | None = None


@dataclass(frozen=True)
class Archive:
    """A zip file as GitHub makes it of a repository: one top folder, with a README."""

    url: str  # its address
    file: str  # its name while it lies in the data root
    # what is taken out of it. A README goes into each, for the licence
    folders: tuple[ArchiveFolder, ...]


def sentence(error: OSError) -> str:
    """Return what to do about a disk that does not take what is written."""
    where = f"'{error.filename}'" if error.filename else "the output folder"
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        advice = "The disk is full: make room and run the same command again, or choose another"
    elif error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
        advice = "This folder may not be written: choose another"
    else:
        return f"{where} cannot be used: {error.strerror or error}."
    return f"{advice} --out or --cache ({where}). What was finished before is kept."
