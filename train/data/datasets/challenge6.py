"""Read the six-class corpus of the paper: 918 labelled recordings of 7 to 33 s, 220 cuts, a table.

File names do not identify babies. Recordings appear to be halves of longer ones: each has a partner
of the same label and length (to 0.7 ms). So groups come from length and sound. They keep the halves
of a recording together, but not all recordings of a baby.

The cuts are 6 s long at 16 kHz and have five of the labels. Their table puts cuts whose probable
recordings (the nearest in the 26 public features) have the same length into one group.

``challenge6-features`` has 26 features of all 918. ``challenge6-features-16khz`` has those of the
720 whose length is a whole number of samples at 16 kHz, presumably their original sample rate. The
rate correlates with the label, so a model for other people's recordings is trained on the latter.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from cry_model.sound.front_end_config import FEATURES
from train.data.corpus import Clips, Corpus, DataError, Item, Prepared
from train.data.splits import equal_lengths, join, near_duplicates

NAME = "challenge6"
LABELS = ("awake", "diaper", "hug", "hungry", "sleepy", "uncomfortable")
LICENCE = "the source of the data states none: for fitting and checking, not for passing on"
SAME_LENGTH = 0.0007  # seconds: gives 426 groups of the 918 recordings, none of a single one
CUTS = "challenge6_cuts"
CUT_LABELS = ("awake", "diaper", "hug", "sleepy", "uncomfortable")
CUTS_TABLE = "groups.csv"
ALL, ONE_RATE = "challenge6-features", "challenge6-features-16khz"
TABLES: tuple[str, ...] = (ALL, ONE_RATE)
RATES = (16_000, 44_100)  # Hz, of the corpus's recordings


def read(root: Path) -> Corpus:
    """List the recordings ``train/<label>/<label>_<n>.wav`` of ``root/challenge6`` or ``root``.

    Every recording is its own source and group; :func:`regroup` finds better ones. Raise DataError
    if a label has no recordings, if both folders have some, or if a file has another name.
    """
    folder = _training_set(root)
    items = tuple(
        _item(path, label)
        for label in LABELS
        for path in sorted((folder / label).glob("[!.]*"))
        if path.suffix.lower() == ".wav" and path.is_file()
    )
    if missing := [label for label in LABELS if label not in {item.label for item in items}]:
        raise DataError(
            f"There are no recordings of {', '.join(missing)} in {folder}. Put the six folders of "
            "the challenge's training set there, as <label>/<label>_<n>.wav."
        )
    return Corpus(NAME, LABELS, items, LICENCE)


def _training_set(root: Path) -> Path:
    """Return the folder that contains the label folders; raise DataError if none or two do."""
    below, direct = root / NAME / "train", root / "train"
    found = [f for f in (below, direct) if any((f / label).is_dir() for label in LABELS)]
    if not found:
        raise DataError(
            f"There are no recordings in {direct}, nor in {below}. Put the six folders of the "
            "challenge's training set there, or name the folder that holds 'train' with "
            "--data-root."
        )
    if len(found) == 2:
        raise DataError(
            f"There are recordings in {below} and in {direct}; choose the first with --data-root "
            f"{below.parent}, or move it away to use the second."
        )
    return found[0]


def _item(path: Path, label: str) -> Item:
    if not path.name.lower().startswith(f"{label}_"):
        raise DataError(
            f"{path} is not named like the challenge's recordings ({label}_<n>.wav); rename or "
            "remove it."
        )
    name = path.name.removesuffix(".wav")  # keeps ".WAV", so that names stay unique
    return Item(path, label, name, name, name)


def regroup(clips: Clips) -> tuple[Item, ...]:
    """Join items of equal length or equal sound into one source and group."""
    lengths = equal_lengths(clips.items, clips.seconds, SAME_LENGTH)
    return join(clips.items, [*lengths, *near_duplicates(clips.waveforms)])


def read_cuts(root: Path) -> Corpus:
    """List the recordings that ``root/challenge6_cuts/groups.csv`` names; the group is the source.

    Raise DataError if the table or a recording that it names is missing, or if a label is unknown.
    """
    folder = root / CUTS
    rows = _read(folder / CUTS_TABLE, ("file", "label", "group"), f"{CUTS} with this table")
    items = []
    for name, label, group in rows[["file", "label", "group"]].itertuples(index=False):
        path, source = folder / name, f"group-{group}"
        if label not in CUT_LABELS:
            raise DataError(f"{folder / CUTS_TABLE} has the unknown label {label}.")
        if not path.is_file():
            raise DataError(f"{folder / CUTS_TABLE} lists {name}, which is missing.")
        items.append(Item(path, label, path.stem, source, source))
    if not items:
        raise DataError(f"{folder / CUTS_TABLE} names no recording.")
    return Corpus(CUTS, CUT_LABELS, tuple(items), LICENCE)


def regroup_cuts(clips: Clips) -> tuple[Item, ...]:
    """Join groups of the table and equal sounds into one source and group."""
    pairs = combinations(range(len(clips.items)), 2)
    table = [(i, j) for i, j in pairs if clips.items[i].group == clips.items[j].group]
    return join(clips.items, [*table, *near_duplicates(clips.waveforms)])


def read_features(root: Path, name: str) -> Prepared:
    """Read one of :data:`TABLES`, with halves of a recording grouped by equal length, or raise
    DataError. ``durations.csv`` has the sample-exact lengths in seconds."""
    folder = root / NAME
    what = "the challenge's train_features.csv, and the recordings' lengths as durations.csv,"
    features = _read(folder / "train_features.csv", ("filename", *FEATURES, "label"), what)
    lengths = _read(folder / "durations.csv", ("filename", "duration"), what)
    table = features.merge(lengths, on="filename", validate="one_to_one")
    known = table["label"].isin(LABELS)
    if len(table) != len(features) or not known.all():
        raise DataError(f"The two tables in {folder} do not name the same recordings and labels.")
    items = tuple(
        Item(folder / file, label, Path(file).stem, Path(file).stem, Path(file).stem)
        for file, label in zip(table["filename"], table["label"], strict=True)
    )
    seconds = tuple(table["duration"].tolist())
    items = join(items, equal_lengths(items, seconds, SAME_LENGTH))
    rows = torch.tensor(table[list(FEATURES)].to_numpy(), dtype=torch.float32).contiguous()
    corpus = Corpus(name, LABELS, items, LICENCE)
    labels, rates = torch.tensor(corpus.indices()), tuple(map(rate_of, seconds))
    clips = Clips(items, labels, seconds, rates, tuple(rows), {})
    if name == ONE_RATE:
        clips = clips.subset([i for i, rate in enumerate(rates) if rate == RATES[0]])
    return Prepared(replace(corpus, items=clips.items), clips)


def _read(path: Path, columns: tuple[str, ...], what: str) -> pd.DataFrame:
    """Read and check a table, whose first column has unique names; ``what`` is for messages."""
    if not path.is_file():
        raise DataError(
            f"There is no {path.name} in {path.parent}. Put {what} there, or name another folder "
            "with --data-root."
        )
    try:
        table = pd.read_csv(path, dtype={"group": str})
    except ValueError as error:  # also what pandas' parser and the codec raise
        raise DataError(f"{path} is not a table: {error}".splitlines()[0]) from error
    if missing := [name for name in columns if name not in table]:
        raise DataError(f"{path} has no column {', '.join(missing)}.")
    if table[list(columns)].isna().any(axis=None) or table[columns[0]].duplicated().any():
        raise DataError(f"{path} has an empty cell or names a recording twice.")
    numbers = table[[name for name in columns if name in (*FEATURES, "duration")]]
    if not np.isfinite(numbers.apply(pd.to_numeric, errors="coerce")).all(axis=None):
        raise DataError(f"{path} has a cell without a finite number.")
    return table


def rate_of(seconds: float) -> int:
    """Return the rate in Hz at which a length is a whole number of samples, or raise DataError."""
    for rate in RATES:
        if abs(seconds * rate - round(seconds * rate)) < 1e-3:
            return rate
    raise DataError(f"{seconds} s is not a whole number of samples at any of {RATES} Hz.")
