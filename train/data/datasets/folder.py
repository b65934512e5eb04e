"""Read a user's own recordings, in a folder per label or laid out as the Hub's audio folders."""

from __future__ import annotations

import codecs
import csv
import io
import os
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath, PureWindowsPath

import pandas as pd

from cry_model.sound.audio import SUFFIXES
from train.data.corpus import ONLY_LEARNT, Clips, Corpus, DataError, Item
from train.data.splits import join, near_duplicates

NAME = "folder"
LICENCE = "unknown"
GROUPS = "groups.csv"
TABLES = (GROUPS, "metadata.csv")
SYSTEM_FOLDERS = ("__macosx", "@eadir", "$recycle.bin", "system volume information", "lost+found")
SYSTEM_FILES = ("thumbs.db", "desktop.ini")
BETWEEN = ("data/", "audio/")  # possible parents of the label folders
SPLITS: Mapping[str, str] = {
    **dict.fromkeys(("train", "training", "trainset"), "train"),
    **dict.fromkeys(("validation", "valid", "val", "dev"), "validation"),
    **dict.fromkeys(("test", "testing", "testset", "eval", "evaluation"), "test"),
}
"""Folder names of a split -> its part, as in the Hub's audio folders."""
DELIMITERS = (",", ";", "\t", "|")  # semicolons where the comma is the decimal mark
Tables = Mapping[str, tuple[Path, pd.DataFrame]]  # name of a table -> its file and its rows


def read(root: Path) -> Corpus:
    """List the recordings under ``root/<label>``, at any depth, and their groups.

    A recording directly in ``root`` is unlabelled. ``metadata.csv`` (``file_name``, ``label`` or
    ``group``) in any folder gives labels and groups of all recordings below; ``groups.csv``
    (``file``, ``group``) only groups. Without groups each recording is its own, and :func:`regroup`
    joins equal sounds. Raise DataError if there are no recordings, or if a table is unreadable or
    does not name each exactly once.
    """
    root = root.resolve()
    recordings, files, notes = find(root)
    if not recordings:
        raise DataError(
            f"There are no recordings in {root}. Put them there in one folder per label "
            f"({root.name}/hungry/1.wav); wav, mp3, m4a, mp4 and {len(SUFFIXES) - 4} other kinds "
            "are read."
        )
    tables = {
        name: (path, read_table(path, ("group",) if path.name.lower() == GROUPS else ()))
        for name, path in files.items()
    }
    labels, groups = _told(tables, recordings)
    base, splits = layout_of(recordings)
    items, parts = [], []
    for name, path in recordings.items():
        folders = name.removeprefix(base).split("/")[:-1]
        parts.append(splits[folders.pop(0)] if splits and folders else None)
        label = labels.get(name, composed(folders[0]) if folders else "") or None
        items.append(Item(path, label, name, name, groups.get(name, name)))
    pairs = zip(items, _folds(items, parts), strict=True)
    items = [replace(item, fold=fold) for item, fold in pairs]
    kinds = tuple(sorted({item.label for item in items if item.label is not None}))
    notes += _notes(splits, kinds, from_tables=bool(labels))
    safe = re.sub(r"[^A-Za-z0-9._-]+", "-", root.name).strip("-.") or "data"  # for file names
    return Corpus(f"{NAME}-{safe}", kinds, tuple(items), LICENCE, tuple(notes))


def regroup(clips: Clips) -> tuple[Item, ...]:
    """Return the items with equal sounds as one source, and one group unless a table has groups."""
    joined = join(clips.items, near_duplicates(clips.waveforms))
    if all(item.group == item.recording for item in clips.items):
        return joined
    pairs = zip(clips.items, joined, strict=True)
    return tuple(replace(item, source=other.source) for item, other in pairs)


def find(root: Path) -> tuple[dict[str, Path], dict[str, Path], list[str]]:
    """Return recordings and tables, name -> file, and notes on skipped files.

    A name is the path below ``root``, with composed accents. Links are followed, except to a folder
    that contains them.
    """
    closed, folders, others, names = [], [], Counter(), {}
    for here, inner, files in os.walk(root, onerror=closed.append, followlinks=True):
        folder = Path(here)
        above = {path.resolve() for path in (folder, *folder.parents)}
        inner[:] = (
            name
            for name in inner
            if not name.startswith(".")
            and name.lower() not in SYSTEM_FOLDERS
            and (folder / name).resolve() not in above
        )
        folders.append(_name(folder, root))
        paths = (folder / name for name in files if not name.startswith("."))
        names |= {path: _name(path, root) for path in paths}
    notes = [f"Skipped: {_name(Path(e.filename), root)} cannot be opened." for e in closed]
    recordings, tables, taken = {}, {}, set(names.values())
    for path, own in sorted(names.items()):
        # Keep decomposed accents if the composed name belongs to another file.
        name = own if composed(own) in taken else composed(own)
        if path.name.lower() in TABLES:
            tables[name] = path
        elif path.suffix.lower() not in SUFFIXES:
            if path.name.lower() not in SYSTEM_FILES:
                others[path.suffix.lower() or "without one"] += 1
        elif path.is_file():
            recordings[name] = path
        else:
            notes.append(f"Skipped: {name} is a broken link.")
    if others:
        kinds = ", ".join(f"{count} {suffix}" for suffix, count in others.most_common())
        notes.append(f"Skipped by suffix: {kinds}.")
    full = {folder for name in recordings for folder in map(str, PurePosixPath(name).parents)}
    empty = sorted(folder for folder in folders if composed(folder) not in full)
    if empty and recordings:
        notes.append(f"Folders without a recording: {_few(empty, 3)}.")
    return recordings, tables, notes


def _few(names: Sequence[str], most: int = 1) -> str:
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")


def _name(path: Path, root: Path) -> str:
    """Return the path below ``root`` as text; bytes that are not UTF-8 are read as cp1252."""
    raw = os.fsencode(path.relative_to(root).as_posix())
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("cp1252", "replace")


def layout_of(names: Iterable[str]) -> tuple[str, dict[str, str]]:
    """Determine whether folders are a split or labels; a split has no other folders next to it.

    Both may lie in a single parent folder, but labels only if its name ends in data or audio.
    Return this parent, with a trailing slash or "", and folder -> part of the split, empty if the
    folders are labels. Raise DataError if other folders lie next to two or more parts of a split.
    """
    base, below, names = "", "", list(names)
    while True:
        folders = {name.split("/")[0] for name in names if "/" in name}
        parts = {folder: part for folder in folders if (part := part_of(folder))}
        alone = all("/" in name for name in names)
        if base.lower().endswith(BETWEEN) and alone:
            below = base
        if parts or len(folders) != 1 or not alone:
            break
        inner = f"{folders.pop()}/"
        base, names = base + inner, [name.removeprefix(inner) for name in names]
    others = sorted(folders - set(parts))
    if others and len(set(parts.values())) > 1:
        raise DataError(
            f"The folders {' and '.join(sorted(parts))} are a split, but {others[0]} is next to "
            "them; move it into one of them, or elsewhere."
        )
    return (base, parts) if parts and not others else (below, {})


def part_of(folder: str) -> str | None:
    """Return the part of a split that a folder's name contains: "train" for my-Train."""
    words = re.split(r"[\W\d_]+", folder.casefold())
    parts = {SPLITS[word] for word in words if word in SPLITS}
    return parts.pop() if len(parts) == 1 else None


def _told(tables: Tables, recordings: Iterable[str]) -> tuple[dict[str, str], dict[str, str]]:
    """Return recording -> label ("" if none) and recording -> group, from all tables.

    Raise DataError unless tables with labels list all recordings below them, tables with groups
    together list all, and none is unknown or repeated.
    """
    names = set(recordings)
    alike: dict[str, list[str]] = defaultdict(list)
    for name in names:
        alike[plain(name)].append(name)
    told: dict[str, dict[str, str]] = {"label": {}, "group": {}}
    for name, (path, table) in tables.items():
        columns = [column for column in told if column in table]
        for line, row in table.iterrows():
            where = f"{path}, line {line}"
            recording = _below(name) + composed(PureWindowsPath(row["file"]).as_posix())
            if recording not in names:  # then the only one that matches without case and blanks
                others = alike[plain(recording)]
                if len(others) != 1:
                    raise DataError(
                        f"{where}: there is no recording {row['file']}; correct the row."
                    )
                recording = others[0]
            if any(recording in told[column] for column in columns):
                raise DataError(f"{where}: {recording} is listed twice; keep one of the rows.")
            if not row.get("group", "-"):
                raise DataError(f"{where}: {recording} has no group; name one.")
            for column in columns:
                told[column][recording] = composed(row[column])
    for name, (path, table) in tables.items():
        for column, below in (("label", _below(name)), ("group", "")):
            missing = {n for n in names if n.startswith(below)} - set(told[column])
            if column in table and missing:
                listed = _few(sorted(missing))
                raise DataError(f"{path} does not list {listed}; add a row for each recording.")
    return told["label"], told["group"]


def _below(table: str) -> str:
    """Return the folder of a table, with a trailing slash, or ""."""
    return table[: table.rfind("/") + 1]


def _folds(items: Sequence[Item], parts: Sequence[str | None]) -> list[int | None]:
    """Return fold 0 for the test part, or else the validation part; ONLY_LEARNT for the rest."""
    there = {part for item, part in zip(items, parts, strict=True) if item.label is not None}
    tested = next((part for part in ("test", "validation") if part in there), None)
    if tested is None or len(there - {None}) < 2:
        return [None] * len(items)
    return [
        None if item.label is None else 0 if part == tested else ONLY_LEARNT
        for item, part in zip(items, parts, strict=True)
    ]


def _notes(splits: Iterable[str], labels: Sequence[str], from_tables: bool) -> Iterator[str]:
    """Yield notes on interpretations that the user may not expect."""
    if splits:
        yield f"Read as a split, not as labels: {', '.join(sorted(splits))}."
        if not labels:
            yield "No labels: in a split, put label folders inside each part."
    elif not from_tables:
        for label in filter(part_of, labels):
            yield f"The folder {label} is read as a label: it is next to folders of other names."


def read_table(path: Path, needed: Iterable[str]) -> pd.DataFrame:
    """Read a table of files in UTF-8 or UTF-16: ``file`` or ``file_name``, and other columns.

    In the result, column names are lower-case, the file column is ``file``, cells are stripped,
    empty rows are dropped, and the index is the line number. Raise DataError if it is not a table,
    or a needed column is missing.
    """
    try:
        data = path.read_bytes()
        marked = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        table = _parse(data.decode("utf-16" if marked else "utf-8-sig"), {"file", *needed})
    except (OSError, ValueError, csv.Error) as error:  # of Unicode, too
        raise DataError(
            f"{path} could not be read as a table ({error}); save it as 'CSV UTF-8', with "
            "quotation marks around names with commas."
        ) from None
    if not {"file", *needed} <= {*table}:
        wanted = "file,group" if "group" in needed else "file_name and label"
        raise DataError(
            f"{path} needs the columns {wanted} in its first line; if it does not list recordings, "
            "rename it."
        )
    return table


def _parse(text: str, needed: set[str]) -> pd.DataFrame:
    for delimiter in DELIMITERS:
        lines = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
        columns = [cell.strip().casefold() for cell in next(lines, [])]
        columns = ["file" if name == "file_name" else name for name in columns]
        if needed <= {*columns}:
            break
    if twice := sorted({name for name in columns if name and columns.count(name) > 1}):
        raise ValueError(f"two columns are called {twice[0]}")
    rows = {}
    for cells in lines:
        if any(map(str.strip, cells[len(columns) :])):
            raise ValueError(f"line {lines.line_num} has more cells than the first line")
        if any(map(str.strip, cells)):
            cells += [""] * (len(columns) - len(cells))
            rows[lines.line_num] = [cell.strip() for cell in cells[: len(columns)]]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns, dtype=str)


def composed(text: str) -> str:
    """Return the text in Unicode NFC: each accented letter as one character."""
    return unicodedata.normalize("NFC", text)


def plain(text: str) -> str:
    """Return a key for comparing names: case-folded, without blanks, in Unicode NFKC."""
    return re.sub(r"\s+", "", unicodedata.normalize("NFKC", text).casefold())
