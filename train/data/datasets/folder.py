"""Read anyone's own recordings: the data root is the corpus, and its folders are the labels.

The layouts of the Hub's audio folders are read too: a split (``train/<label>``, ``test/<label>``)
and ``metadata.csv``.
"""

from __future__ import annotations

import codecs
import csv
import io
import os
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
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
BETWEEN = ("data/", "audio/")  # a folder that the labels may lie in
SPLITS: Mapping[str, str] = {
    **dict.fromkeys(("train", "training", "trainset"), "train"),
    **dict.fromkeys(("validation", "valid", "val", "dev"), "validation"),
    **dict.fromkeys(("test", "testing", "testset", "eval", "evaluation"), "test"),
}
"""Names of folders of a split, as the Hub's audio folders have them."""
FILE_COLUMNS = ("file", "file_name")
DELIMITERS = (",", ";", "\t", "|")  # semicolons where the comma is the decimal mark
Tables = Mapping[str, tuple[Path, pd.DataFrame]]
"""Name of a table -> its file and its rows."""


def read(root: Path) -> Corpus:
    """List the recordings under ``root/<label>``, however deep, and their groups.

    A recording that lies directly in ``root`` is unlabelled. Folders that are called train,
    validation or test are a split if they lie alone in ``root``, or in a single folder there; the
    labels lie in them. ``metadata.csv`` (``file_name``, and ``label`` or ``group``) in any folder
    names the labels and groups of what lies below; ``groups.csv`` (``file``, ``group``) the groups
    alone. Without groups each recording starts as one of its own, and :func:`regroup` joins those
    that sound the same. Raise DataError if there are no recordings, or if a table is unreadable or
    does not name each of them exactly once.
    """
    root = root.resolve()
    recordings, files, notes = find(root)
    if not recordings:
        raise DataError(
            f"There are no recordings in {root}. Put them into one folder a label there "
            f"({root.name}/hungry/1.wav); wav, mp3, m4a, mp4 and {len(SUFFIXES) - 4} other kinds "
            "are read."
        )
    tables = {
        name: (path, read_table(path, ("group",) if path.name.lower() == GROUPS else ()))
        for name, path in files.items()
    }
    labels, groups = _told(tables, recordings)
    layout = layout_of(recordings)
    items, parts = [], []
    for name, path in recordings.items():
        part, label = layout.place(name)
        label = labels.get(name, label) or None
        items.append(Item(path, label, name, name, groups.get(name, name)))
        parts.append(part)
    pairs = zip(items, _folds(items, parts), strict=True)
    items = [replace(item, fold=fold) for item, fold in pairs]
    kinds = tuple(sorted({item.label for item in items if item.label is not None}))
    notes += _notes(layout, kinds, from_tables=bool(labels))
    safe = re.sub(r"[^A-Za-z0-9._-]+", "-", root.name).strip("-.") or "data"  # in names of files
    return Corpus(f"{NAME}-{safe}", kinds, tuple(items), LICENCE, tuple(notes))


def regroup(clips: Clips) -> tuple[Item, ...]:
    """Return the items, with what sounds the same as one source.

    It is one group too, unless a table gave the groups.
    """
    joined = join(clips.items, near_duplicates(clips.waveforms))
    if all(item.group == item.recording for item in clips.items):
        return joined
    pairs = zip(clips.items, joined, strict=True)
    return tuple(replace(item, source=other.source) for item, other in pairs)


def find(root: Path) -> tuple[dict[str, Path], dict[str, Path], list[str]]:
    """List recordings and tables, name -> file, and say what was passed over.

    A name is the path below the root, with composed accents. Links are followed, but not to a
    folder that they lie in; hidden files and folders are ignored.
    """
    closed: list[OSError] = []
    folders, others = [], Counter()
    names: dict[Path, str] = {}
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
    notes = [f"Passed over: {_name(Path(e.filename), root)} cannot be opened." for e in closed]
    recordings, tables, taken = {}, {}, set(names.values())
    for path, own in sorted(names.items()):
        # Where two files differ in nothing else, each keeps its own way to write accents.
        name = own if composed(own) in taken else composed(own)
        if path.name.lower() in TABLES:
            tables[name] = path
        elif path.suffix.lower() not in SUFFIXES:
            if path.name.lower() not in SYSTEM_FILES:
                others[path.suffix.lower() or "without one"] += 1
        elif path.is_file():
            recordings[name] = path
        else:
            notes.append(f"Passed over: {name} is a link to no file.")
    if others:
        kinds = ", ".join(f"{count} {suffix}" for suffix, count in others.most_common())
        notes.append(f"Passed over by their endings: {kinds}.")
    full = {folder for name in recordings for folder in map(str, PurePosixPath(name).parents)}
    empty = sorted(folder for folder in folders if composed(folder) not in full)
    if empty and recordings:
        notes.append(f"Folders without a recording: {_few(empty, 3)}.")
    return recordings, tables, notes


def _few(names: Sequence[str], most: int = 1) -> str:
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")


def _name(path: Path, root: Path) -> str:
    """Return the path below ``root`` as text, also where an old archive left other bytes in it."""
    raw = os.fsencode(path.relative_to(root).as_posix())
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("cp1252", "replace")


@dataclass(frozen=True)
class Layout:
    """How the folders are read."""

    base: str  # the folder that they lie in, with a slash at its end, or nothing
    # folder -> "train", "validation" or "test"; empty if the folders are labels
    splits: Mapping[str, str]

    def place(self, name: str) -> tuple[str | None, str | None]:
        """Return the part of the split that a recording is in, and its label by its folder."""
        folders = name.removeprefix(self.base).split("/")[:-1]
        part = self.splits[folders.pop(0)] if self.splits and folders else None
        return part, composed(folders[0]) if folders else None


def layout_of(names: Iterable[str]) -> Layout:
    """Tell a split from labels: no other folder lies beside those of a split.

    Both may lie in a folder that has nothing beside it, labels only if that is called data. Raise
    DataError if other folders lie beside those of a split.
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
            f"The folders {' and '.join(sorted(parts))} are a split, but {others[0]} lies beside "
            "them; move it into one of them, or elsewhere."
        )
    return Layout(base, parts) if parts and not others else Layout(below, {})


def part_of(folder: str) -> str | None:
    """Return the part of a split that a folder is called after: "train" for Train, my-train."""
    words = re.split(r"[\W\d_]+", folder.casefold())
    parts = {SPLITS[word] for word in words if word in SPLITS}
    return parts.pop() if len(parts) == 1 else None


def _told(tables: Tables, recordings: Iterable[str]) -> tuple[dict[str, str], dict[str, str]]:
    """Return recording -> label (empty for none) and recording -> group, by all tables.

    Tables with labels must list all that lies below them, those with groups together everything.
    """
    names = Names(recordings)
    told: dict[str, dict[str, str]] = {"label": {}, "group": {}}
    for name, (path, table) in tables.items():
        columns = [column for column in told if column in table]
        for line, row in table.iterrows():
            recording, where = names.find(_below(name), row["file"]), f"{path}, line {line}"
            if recording is None:
                raise DataError(f"{where}: there is no recording {row['file']}; correct the row.")
            if any(recording in told[column] for column in columns):
                raise DataError(f"{where}: {recording} is listed twice; keep one of the rows.")
            if not row.get("group", "-"):
                raise DataError(f"{where}: {recording} has no group; name one.")
            for column in columns:
                told[column][recording] = composed(row[column])
    for name, (path, table) in tables.items():
        for column, below in (("label", _below(name)), ("group", "")):
            missing = {n for n in names.names if n.startswith(below)} - set(told[column])
            if column in table and missing:
                listed = _few(sorted(missing))
                raise DataError(f"{path} does not list {listed}; add a row for each recording.")
    return told["label"], told["group"]


def _below(table: str) -> str:
    """Return the folder of a table, with a slash at its end, or nothing."""
    return table[: table.rfind("/") + 1]


def _folds(items: Sequence[Item], parts: Sequence[str | None]) -> list[int | None]:
    """Return fold 0 for what the split tests: its test part, or else its validation part."""
    there = {part for item, part in zip(items, parts, strict=True) if item.label is not None}
    tested = next((part for part in ("test", "validation") if part in there), None)
    if tested is None or len(there - {None}) < 2:
        return [None] * len(items)
    return [
        None if item.label is None else 0 if part == tested else ONLY_LEARNT
        for item, part in zip(items, parts, strict=True)
    ]


def _notes(layout: Layout, labels: Sequence[str], from_tables: bool) -> Iterator[str]:
    """Yield sentences about what was read otherwise than somebody may expect."""
    if layout.splits:
        yield f"Read as a split, not as labels: {', '.join(sorted(layout.splits))}."
        if not labels:
            yield "Nothing has a label: in a split, labels are the folders below."
    elif not from_tables:
        for label in filter(part_of, labels):
            yield f"The folder {label} is read as a label: folders of other names lie beside it."


def read_table(path: Path, needed: Iterable[str] = ()) -> pd.DataFrame:
    """Read a table of files in UTF-8 or UTF-16: ``file`` or ``file_name``, and other columns.

    Commas, semicolons, tabs and bars may divide columns. Columns are in lower case, that of the
    files is ``file``; cells have no outer blanks, empty rows are left out, the index is the line.
    Raise DataError if it is not a table, or a needed column is missing.
    """
    try:
        data = path.read_bytes()
        marked = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        table = _parse(data.decode("utf-16" if marked else "utf-8-sig"), {"file", *needed})
    except (OSError, ValueError, csv.Error) as error:  # of Unicode, too
        raise DataError(
            f"{path} could not be read as a table ({error}); save it as 'CSV UTF-8', with names "
            "that hold a comma in quotation marks."
        ) from None
    if not {"file", *needed} <= {*table}:
        wanted = "file,group" if "group" in needed else "file_name and label"
        raise DataError(
            f"{path} needs the columns {wanted} in its first line; if it is no table of "
            "recordings, give it another name."
        )
    return table


def _parse(text: str, needed: set[str]) -> pd.DataFrame:
    for delimiter in DELIMITERS:
        lines = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
        columns = [cell.strip().casefold() for cell in next(lines, [])]
        columns = ["file" if name in FILE_COLUMNS else name for name in columns]
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


class Names:
    """Looks up the recordings that a table names."""

    def __init__(self, names: Iterable[str]) -> None:
        self.names = set(names)
        self.alike: dict[str, list[str]] = defaultdict(list)
        for name in self.names:
            self.alike[plain(name)].append(name)

    def find(self, below: str, file: str) -> str | None:
        """Return the recording that is called so, or the only one that is but for case and blanks,
        below a folder (with a slash at its end, or nothing); Windows may have written the name."""
        name = below + composed(PureWindowsPath(file).as_posix())
        alike = self.alike.get(plain(name), [])
        return name if name in self.names else alike[0] if len(alike) == 1 else None


def composed(text: str) -> str:
    """Return the text with each accent and its letter as one character, as most systems do."""
    return unicodedata.normalize("NFC", text)


def plain(text: str) -> str:
    """Return what is left without case, blanks and ways to write the same character."""
    return re.sub(r"\s+", "", unicodedata.normalize("NFKC", text).casefold())
