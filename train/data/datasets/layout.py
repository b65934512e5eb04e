"""Finds the recordings under a folder, and which folders in it are labels or a split."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from cry_model.audio import SUFFIXES
from train.data.corpus import DataError
from train.data.datasets.tables import composed

TABLES = ("groups.csv", "metadata.csv", "metadata.jsonl")
SYSTEM_FOLDERS = ("__macosx", "@eadir", "$recycle.bin", "system volume information", "lost+found")
SYSTEM_FILES = ("thumbs.db", "desktop.ini")
BETWEEN = ("data/", "audio/")  # a folder that the labels may lie in
SPLITS: Mapping[str, str] = {
    **dict.fromkeys(("train", "training", "trainset"), "train"),
    **dict.fromkeys(("validation", "valid", "val", "dev"), "validation"),
    **dict.fromkeys(("test", "testing", "testset", "eval", "evaluation"), "test"),
}
"""Names of folders of a split, as the Hub's audio folders have them."""


@dataclass(frozen=True)
class Found:
    """What lies under a folder.

    Attributes:
        recordings: name -> file; a name is the path below the folder, with composed accents.
        tables: the same, of files that are called as one of :data:`TABLES`.
        notes: sentences about what was passed over.
    """

    recordings: Mapping[str, Path]
    tables: Mapping[str, Path]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Layout:
    """How the folders are read.

    Attributes:
        base: the folder that they lie in, with a slash at its end, or nothing.
        splits: folder -> "train", "validation" or "test"; empty if the folders are labels.
    """

    base: str
    splits: Mapping[str, str]

    def place(self, name: str) -> tuple[str | None, str | None]:
        """Return the part of the split that a recording is in, and its label by its folder."""
        folders = name.removeprefix(self.base).split("/")[:-1]
        part = self.splits[folders.pop(0)] if self.splits and folders else None
        return part, composed(folders[0]) if folders else None


def find(root: Path) -> Found:
    """List what lies under ``root``, behind links too; hidden files and folders are ignored."""
    folders, notes, others = [], [], Counter()
    names: dict[Path, str] = {}
    for folder, files in _walk(root, (root,)):
        own = _name(folder, root)
        if files is None:
            notes.append(f"Passed over: {own} cannot be opened.")
            continue
        folders.append(own)
        names.update({path: _name(path, root) for path in files})
    recordings, tables, taken = {}, {}, set(names.values())
    for path, own in sorted(names.items()):
        # Where two files differ in nothing else, each keeps its own way to write accents.
        name = own if composed(own) in taken else composed(own)
        if path.name.lower() in TABLES:
            tables[name] = path
        elif path.suffix.lower() in SUFFIXES:
            if path.is_file():
                recordings[name] = path
            else:
                notes.append(f"Passed over: {name} is a link to no file.")
        elif path.name.lower() not in SYSTEM_FILES:
            others[path.suffix.lower() or "without one"] += 1
    if others:
        kinds = ", ".join(f"{count} {suffix}" for suffix, count in others.most_common())
        notes.append(f"Passed over by their endings: {kinds}.")
    full = {folder for name in recordings for folder in map(str, PurePosixPath(name).parents)}
    empty = [folder for folder in folders if composed(folder) not in full]
    if empty and recordings:
        more = f" and {len(empty) - 3} more" if empty[3:] else ""
        notes.append(f"Folders without a recording: {', '.join(empty[:3])}{more}.")
    return Found(recordings, tables, tuple(notes))


def layout_of(names: Iterable[str]) -> Layout:
    """Tells a split from labels: no other folder lies beside those of a split.

    Both may lie in a folder that has nothing beside it, labels only if that is called data.

    Args:
        names: of the recordings.

    Raises:
        DataError: if other folders lie beside those of a split.
    """
    base, below, names = "", "", list(names)
    while True:
        folders = {name.split("/")[0] for name in names if "/" in name}
        parts = {folder: part for folder in folders if (part := part_of(folder))}
        if base.lower().endswith(BETWEEN) and folders and all("/" in name for name in names):
            below = base
        if parts or len(folders) != 1 or not all("/" in name for name in names):
            break
        inner = f"{folders.pop()}/"
        base, names = base + inner, [name.removeprefix(inner) for name in names]
    others = sorted(folders - set(parts))
    if others and len(set(parts.values())) > 1:
        raise DataError(
            f"The folders {' and '.join(sorted(parts))} are a split, but {others[0]} lies beside "
            "them; move it into one of them, or elsewhere."
        )
    return Layout(base, parts) if parts and not others else Layout(below, {})


def part_of(folder: str) -> str | None:
    """Return the part of a split that a folder is called after: "train" for Train, train_set,
    my-train."""
    words = re.split(r"[\W\d_]+", folder.casefold())
    parts = {SPLITS[word] for word in words if word in SPLITS}
    return parts.pop() if len(parts) == 1 else None


def _walk(folder: Path, above: tuple[Path, ...]) -> Iterator[tuple[Path, list[Path] | None]]:
    """Each folder with its files, or None if it cannot be opened.

    A link to a folder that it lies in is not followed.
    """
    try:
        entries = [entry for entry in folder.iterdir() if not entry.name.startswith(".")]
    except OSError:
        yield folder, None
        return
    below = sorted(entry for entry in entries if entry.is_dir())
    yield folder, [entry for entry in entries if not entry.is_dir()]
    for entry in below:
        real = entry.resolve()
        if entry.name.lower() not in SYSTEM_FOLDERS and real not in above:
            yield from _walk(entry, (*above, real))


def _name(path: Path, root: Path) -> str:
    """Return the path below ``root`` as text, also where an old archive left other bytes in it."""
    raw = os.fsencode(path.relative_to(root).as_posix())
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("cp1252", "replace")
