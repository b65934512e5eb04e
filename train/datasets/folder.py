"""Anyone's own recordings: the data root is the corpus, and its folders are the labels."""

from __future__ import annotations

import csv
import re
from pathlib import Path, PureWindowsPath

from train.clips import Clips
from train.corpus import Corpus, DataError, Item
from train.duplicates import near_duplicates
from train.grouping import join

NAME = "folder"
LICENCE = "unknown"
SUFFIXES = (".wav", ".flac", ".ogg", ".mp3", ".m4a", ".webm", ".3gp", ".caf")
TABLE = "groups.csv"


def read(root: Path) -> Corpus:
    """Lists the recordings under ``root/<label>``, however deep, and their groups.

    A recording that lies directly in ``root`` is unlabelled. ``root/groups.csv``, if there is
    one, names the group of every recording (the baby) in its columns ``file`` (relative to
    ``root``) and ``group``. Without it each recording starts as a group of its own, and
    :func:`regroup` joins those that sound the same. Hidden files and folders are ignored.

    Raises:
        DataError: if there are no recordings, or if the table is unreadable or does not name
            each of them exactly once.
    """
    root = root.resolve()
    files = {path.relative_to(root).as_posix(): path for path in _recordings(root)}
    if not files:
        raise DataError(
            f"There are no recordings in {root}. Put them into one folder a label there "
            f"({root.name}/hungry/1.wav); {', '.join(s[1:] for s in SUFFIXES)} files are read."
        )
    groups = _groups(root / TABLE, set(files)) if (root / TABLE).exists() else {}
    items = tuple(
        Item(path, _label(name), name, name, groups.get(name, name)) for name, path in files.items()
    )
    labels = tuple(sorted({item.label for item in items if item.label is not None}))
    return Corpus(f"{NAME}-{_safe(root.name)}", labels, items, LICENCE)


def regroup(clips: Clips) -> tuple[Item, ...]:
    """The items, with what sounds the same as one source and group.

    Nothing is changed if a table gave the groups.
    """
    first = clips.items[0]
    root = first.path.parents[first.recording.count("/")]
    if (root / TABLE).exists():
        return clips.items
    return join(clips.items, near_duplicates(clips.waveforms))


def _recordings(root: Path) -> list[Path]:
    found = (path for path in root.rglob("*") if path.suffix.lower() in SUFFIXES)
    return sorted(
        path
        for path in found
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(root).parts)
    )


def _label(name: str) -> str | None:
    folder, _, rest = name.partition("/")
    return folder if rest else None


def _safe(name: str) -> str:
    """A name that may stand in a file's name anywhere."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.") or "data"


def _groups(table: Path, recordings: set[str]) -> dict[str, str]:
    """File -> group, for exactly these recordings."""
    groups: dict[str, str] = {}
    for line, name, group in _rows(table):
        if name not in recordings:
            raise DataError(f"{table}, line {line}: there is no recording {name}; correct the row.")
        if name in groups:
            raise DataError(f"{table}, line {line}: {name} is listed twice; keep one of the rows.")
        if not group:
            raise DataError(f"{table}, line {line}: {name} has no group; name one.")
        groups[name] = group
    missing = sorted(recordings - set(groups))
    if missing:
        more = f" and {len(missing) - 1} more" if missing[1:] else ""
        raise DataError(f"{table} does not list {missing[0]}{more}; add a row for each recording.")
    return groups


def _rows(table: Path) -> list[tuple[int, str, str]]:
    """Line, file and group of each row; a file's name may be written as Windows does."""
    try:
        with table.open(encoding="utf-8-sig", newline="") as stream:  # spreadsheets write a mark
            rows = csv.DictReader(stream)
            if not {"file", "group"} <= set(rows.fieldnames or ()):
                raise DataError(f"{table} needs the columns file,group in its first line.")
            return [
                (
                    rows.line_num,
                    PureWindowsPath((row["file"] or "").strip()).as_posix(),
                    (row["group"] or "").strip(),
                )
                for row in rows
            ]
    except (OSError, UnicodeError, csv.Error) as error:
        raise DataError(
            f"{table} could not be read as a table ({error}); save it as CSV."
        ) from None
