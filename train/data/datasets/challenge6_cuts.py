"""Cuts of the paper's six-class corpus: 220 of 6 s at 16 kHz, five of its six labels.

"hungry" has none. ``groups.csv`` beside them says from which recording each was probably cut (the
nearest in the 26 public features) and puts cuts whose recordings have one length into one group.
"""

from __future__ import annotations

import csv
from itertools import combinations
from pathlib import Path

from train.data.clips import Clips
from train.data.corpus import Corpus, DataError, Item
from train.data.datasets.challenge6 import LICENCE
from train.data.grouping import join, near_duplicates

NAME = "challenge6_cuts"
LABELS = ("awake", "diaper", "hug", "sleepy", "uncomfortable")
TABLE = "groups.csv"


def read(root: Path) -> Corpus:
    """List the recordings that ``root/challenge6_cuts/groups.csv`` names.

    Each has the table's group for its source too: :func:`regroup` joins equal sounds to it.

    Raises:
        DataError: if the table or a recording that it names is missing, or a label is unknown.
    """
    folder = root / NAME
    try:
        with (folder / TABLE).open(encoding="utf-8", newline="") as stream:
            rows = list(csv.DictReader(stream))
    except OSError:
        raise DataError(
            f"There is no {TABLE} in {folder}. Put the folder {NAME} with its table into the data "
            "root, or name another one with --data-root."
        ) from None
    items = tuple(_item(folder, row) for row in rows)
    if not items:
        raise DataError(f"{folder / TABLE} names no recording.")
    return Corpus(NAME, LABELS, items, LICENCE)


def _item(folder: Path, row: dict[str, str]) -> Item:
    try:
        name, label, group = row["file"], row["label"], f"group-{row['group']}"
    except KeyError as error:
        raise DataError(f"{folder / TABLE} has no column {error}.") from None
    path = folder / name
    if label not in LABELS:
        raise DataError(f"{folder / TABLE} gives {name} the label {label}, which is none of it.")
    if not path.is_file():
        raise DataError(f"{folder / TABLE} names {name}, which is not there.")
    return Item(path, label, path.stem, group, group)


def regroup(clips: Clips) -> tuple[Item, ...]:
    """Return the items, with the table's groups and what sounds the same as one source and
    group."""
    together: dict[str, list[int]] = {}
    for i, item in enumerate(clips.items):
        together.setdefault(item.group, []).append(i)
    table = [pair for members in together.values() for pair in combinations(members, 2)]
    return join(clips.items, [*table, *near_duplicates(clips.waveforms)])
