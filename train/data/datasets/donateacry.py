"""Read Donate-a-Cry, cleaned: 457 clips of 7 s from users of an app, with their reason.

The first 36 characters of a file's name are the app's installation, the nearest thing to a baby
that the corpus tells; upper and lower case of them occur for the same installation.
"""

from __future__ import annotations

from pathlib import Path

from train.data.corpus import Archive, ArchiveFolder, Corpus, DataError, Item

NAME = "donateacry"
LABELS = ("belly_pain", "burping", "discomfort", "hungry", "tired")
LICENCE = "ODbL 1.0, contents DbCL 1.0 (github.com/gveres/donateacry-corpus)"
INSTALLATION = 36  # characters
IOS = "donateacry_ios"

ARCHIVE = Archive(
    "https://github.com/gveres/donateacry-corpus/archive/refs/heads/master.zip",
    "donateacry-corpus.zip",
    (
        ArchiveFolder(
            NAME,
            "donateacry_corpus_cleaned_and_updated_data",
            "*/*.wav",
            457,
            "e0f34efa8564836c3de7f05093a29be8ccafbd0e4c27c5f5c124a6380181080f",
        ),
        ArchiveFolder(IOS, "donateacry-ios-upload-bucket", "*.caf", 416),
    ),
)


def read(root: Path) -> Corpus:
    """List the recordings under ``root/donateacry/<label>/*.wav``; raise DataError if there are
    none."""
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
