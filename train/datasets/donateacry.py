"""Donate-a-Cry, cleaned: 457 clips of 7 s from an app's users, with the reason they gave.

The first 36 characters of a file's name are the app's installation, the nearest thing to a baby
that the corpus tells; upper and lower case of them occur for the same installation.
"""

from __future__ import annotations

from pathlib import Path

from train.corpus import Corpus, DataError, Item

NAME = "donateacry"
LABELS = ("belly_pain", "burping", "discomfort", "hungry", "tired")
LICENCE = "ODbL 1.0, contents DbCL 1.0 (github.com/gveres/donateacry-corpus)"
INSTALLATION = 36  # characters


def read(root: Path) -> Corpus:
    """Lists the recordings under ``root/donateacry/<label>/*.wav``.

    Raises:
        DataError: if there are none.
    """
    items = tuple(
        Item(path, label, path.stem, path.stem, path.name[:INSTALLATION].lower())
        for label in LABELS
        for path in sorted((root / NAME / label).glob("*.wav"))
    )
    if not items:
        raise DataError(
            f"There are no recordings in {root / NAME}. Put the five folders of Donate-a-Cry's "
            "'donateacry_corpus_cleaned_and_updated_data' there (github.com/gveres/"
            "donateacry-corpus), or name another folder with --data-root."
        )
    return Corpus(NAME, LABELS, items, LICENCE)
