"""Where a corpus can be downloaded, and what should then lie under a data root."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Part:
    """What one folder of recordings should hold.

    Attributes:
        files: how many; the least that is accepted where no digest is known.
        digest: SHA-256 over a line ``name NUL sha256 LF`` for each file, sorted by name, the name
            relative to the corpus's folder.
    """

    files: int
    digest: str | None = None


@dataclass(frozen=True)
class ArchiveFolder:
    """One folder of a data root that an archive fills.

    Attributes:
        name: of the folder.
        source: where its contents lie in the archive, below the archive's one top folder; empty
            for that folder itself.
        pattern: which files below ``source`` are taken, one wildcard for each level.
        parts: what is expected, by sub-folder; an empty name is the folder itself.
    """

    name: str
    source: str
    pattern: str
    parts: Mapping[str, Part]


@dataclass(frozen=True)
class Archive:
    """A zip file as GitHub makes it of a repository: one top folder, with a README.

    Attributes:
        url: its address.
        file: its name while it lies in the data root.
        folders: what is taken out of it. A README goes into each, for the licence.
    """

    url: str
    file: str
    folders: tuple[ArchiveFolder, ...]
