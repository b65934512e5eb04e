"""Anyone's own recordings: the data root is the corpus, and its folders are the labels.

The layouts of the Hub's audio folders are read too: a split (``train/<label>``, ``test/<label>``)
and ``metadata.csv``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from cry_model.audio import SUFFIXES
from train.data.clips import Clips
from train.data.corpus import ONLY_LEARNT, Corpus, DataError, Item
from train.data.datasets.layout import Found, Layout, find, layout_of, part_of
from train.data.datasets.tables import WANTED, Names, Table, composed, read_table
from train.data.grouping import join, near_duplicates

NAME = "folder"
LICENCE = "unknown"
GROUPS = "groups.csv"


@dataclass(frozen=True)
class Told:
    """What the tables say: recording -> label (empty for none), and recording -> group."""

    labels: Mapping[str, str]
    groups: Mapping[str, str]


def read(root: Path) -> Corpus:
    """List the recordings under ``root/<label>``, however deep, and their groups.

    A recording that lies directly in ``root`` is unlabelled. Folders that are called train,
    validation or test are a split if they lie alone in ``root``, or in a single folder there; the
    labels lie in them. ``metadata.csv`` (``file_name``, and ``label`` or ``group``) in any folder
    names the labels and groups of what lies below; ``groups.csv`` (``file``, ``group``) the groups
    alone. Without groups each recording starts as one of its own, and :func:`regroup` joins those
    that sound the same.

    Raises:
        DataError: if there are no recordings, or if a table is unreadable or does not name each of
            them exactly once.
    """
    root = root.resolve()
    found = find(root)
    if not found.recordings:
        raise DataError(
            f"There are no recordings in {root}. Put them into one folder a label there "
            f"({root.name}/hungry/1.wav); wav, mp3, m4a, mp4 and {len(SUFFIXES) - 4} other kinds "
            "are read."
        )
    tables = {name: read_table(path, _needed(path)) for name, path in found.tables.items()}
    told, layout = _told(tables, found), layout_of(found.recordings)
    items, parts = [], []
    for name, path in found.recordings.items():
        part, label = layout.place(name)
        label = told.labels.get(name, label) or None
        items.append(Item(path, label, name, name, told.groups.get(name, name)))
        parts.append(part)
    items = [
        replace(item, fold=fold) for item, fold in zip(items, _folds(items, parts), strict=True)
    ]
    labels = tuple(sorted({item.label for item in items if item.label is not None}))
    notes = (*found.notes, *_notes(tables, layout, items, told))
    return Corpus(f"{NAME}-{_safe(root.name)}", labels, tuple(items), LICENCE, notes)


def regroup(clips: Clips) -> tuple[Item, ...]:
    """Return the items, with what sounds the same as one source.

    It is one group too, unless a table gave the groups.
    """
    joined = join(clips.items, near_duplicates(clips.waveforms))
    if all(item.group == item.recording for item in clips.items):
        return joined
    pairs = zip(clips.items, joined, strict=True)
    return tuple(replace(item, source=other.source) for item, other in pairs)


def _needed(table: Path) -> tuple[str, ...]:
    return ("group",) if table.name.lower() == GROUPS else ()


def _safe(name: str) -> str:
    """Return a name that may stand in a file's name anywhere."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.") or "data"


def _told(tables: Mapping[str, Table], found: Found) -> Told:
    """Return what all tables say; each that has labels, and those that have groups, must be
    complete."""
    names = Names(found.recordings)
    labels: dict[str, str] = {}
    groups: dict[str, str] = {}
    grouping = [table for table in tables.values() if "group" in table.columns]
    for name, table in tables.items():
        below = name[: name.rfind("/") + 1]
        listed = _listed(table, below, names)
        if "label" in table.columns:
            _check_complete(table, {n for n in names.names if n.startswith(below)}, listed)
            _add(labels, {n: composed(listed[n]["label"]) for n in listed}, table)
        if "group" in table.columns:
            _add(groups, {n: composed(listed[n]["group"]) for n in listed}, table)
    if grouping:
        _check_complete(grouping[0], names.names, groups)
    return Told(labels, groups)


def _listed(table: Table, below: str, names: Names) -> dict[str, Mapping[str, str]]:
    """Return recording -> its row, each once."""
    listed: dict[str, Mapping[str, str]] = {}
    hint = f" It was read as {table.guessed}: if that is wrong, {WANTED}." if table.guessed else ""
    for row in table.rows:
        name, where = names.find(below, row.file), f"{table.path}, line {row.line}"
        if name is None:
            raise DataError(f"{where}: there is no recording {row.file}; correct the row.{hint}")
        if name in listed:
            raise DataError(f"{where}: {name} is listed twice; keep one of the rows.")
        if "group" in table.columns and not row.cells.get("group"):
            raise DataError(f"{where}: {name} has no group; name one.")
        listed[name] = {"label": "", **row.cells}
    return listed


def _add(known: dict[str, str], more: Mapping[str, str], table: Table) -> None:
    if twice := sorted(set(known) & set(more)):
        raise DataError(f"{table.path} and another table both list {twice[0]}; keep one of them.")
    known.update(more)


def _check_complete(table: Table, recordings: set[str], listed: Mapping[str, object]) -> None:
    missing = sorted(recordings - set(listed))
    if missing:
        more = f" and {len(missing) - 1} more" if missing[1:] else ""
        raise DataError(
            f"{table.path} does not list {missing[0]}{more}; add a row for each recording."
        )


def _folds(items: list[Item], parts: list[str | None]) -> list[int | None]:
    """Fold 0 for what the split tests: its test part, or without one its validation part."""
    there = {part for item, part in zip(items, parts, strict=True) if item.label is not None}
    tested = next((part for part in ("test", "validation") if part in there), None)
    if tested is None or len(there - {None}) < 2:
        return [None] * len(items)
    return [
        None if item.label is None else 0 if part == tested else ONLY_LEARNT
        for item, part in zip(items, parts, strict=True)
    ]


def _notes(tables: Mapping[str, Table], layout: Layout, items: list[Item], told: Told) -> list[str]:
    """Sentences about what was read otherwise than somebody may expect."""
    notes = [
        f"{name} is not in Unicode; it was read as {table.guessed}. If names look wrong, {WANTED}."
        for name, table in tables.items()
        if table.guessed
    ]
    labels = sorted({item.label for item in items if item.label is not None})
    if layout.splits:
        notes.append(f"Read as a split, not as labels: {', '.join(sorted(layout.splits))}.")
        if not labels:
            notes.append("Nothing has a label: in a split, labels are the folders below.")
    elif not told.labels:
        notes += [
            f"The folder {label} is read as a label, for folders of other names lie beside it."
            for label in labels
            if part_of(label)
        ]
    return notes
