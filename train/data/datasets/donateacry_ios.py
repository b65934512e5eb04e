"""Donate-a-Cry from iOS: 416 unchecked uploads of 7 s at 16 kHz, with the reason in the name.

182 of them are the originals of clips in ``donateacry``, under the same names: whoever uses both
keeps a group of one and the same group of the other on one side of a split.
"""

from __future__ import annotations

from pathlib import Path

from train.data.corpus import Corpus, DataError, Item
from train.data.datasets.donateacry import INSTALLATION, IOS, LICENCE

NAME = IOS
SUFFIXES = (".caf", ".flac")  # as upstream ships them, and re-encoded without loss
REASONS = {
    "bp": "belly_pain",
    "bu": "burping",
    "ch": "cold_hot",
    "dc": "discomfort",
    "hu": "hungry",
    "lo": "lonely",
    "sc": "scared",
    "ti": "tired",
}
LABELS = tuple(REASONS.values())


def read(root: Path) -> Corpus:
    """List the recordings under ``root/donateacry_ios``, caf or flac.

    The last two letters of a name are its label; any others than those of ``REASONS`` ("dk" is
    "don't know") leave it unlabelled. Raise DataError if there are none.
    """
    files = (path for path in (root / NAME).glob("*") if path.suffix.lower() in SUFFIXES)
    items = tuple(_item(path) for path in sorted({path.stem: path for path in files}.values()))
    if not items:
        raise DataError(
            f"There are no recordings in {root / NAME}. Put the files of Donate-a-Cry's "
            "'donateacry-ios-upload-bucket' there (github.com/gveres/donateacry-corpus), or name "
            "another folder with --data-root."
        )
    return Corpus(NAME, LABELS, items, LICENCE)


def _item(path: Path) -> Item:
    label = REASONS.get(path.stem[-2:].lower())
    return Item(path, label, path.stem, path.stem, path.name[:INSTALLATION].lower())
