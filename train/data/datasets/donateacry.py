"""Donate-a-Cry, cleaned: 457 clips of 7 s from an app's users, with the reason they gave.

The first 36 characters of a file's name are the app's installation, the nearest thing to a baby
that the corpus tells; upper and lower case of them occur for the same installation.
"""

from __future__ import annotations

from pathlib import Path

from train.data.corpus import Archive, ArchiveFolder, Corpus, DataError, Item, Part

NAME = "donateacry"
LABELS = ("belly_pain", "burping", "discomfort", "hungry", "tired")
LICENCE = "ODbL 1.0, contents DbCL 1.0 (github.com/gveres/donateacry-corpus)"
INSTALLATION = 36  # characters
IOS = "donateacry_ios"

_PARTS = {
    "belly_pain": Part(16, "69ddb7c7b8ed02663ada327bc2a5fbd48be21e57deea5c23969dd4c419ce0ead"),
    "burping": Part(8, "670020667a8cf08d4da4ff56d96ca78accc527cb0f848ec67742a7d92c33875c"),
    "discomfort": Part(27, "368bf5c4db68ea9403c58468e4c3860532e4ae95fbdb8df918ffcdcb0a0596a7"),
    "hungry": Part(382, "cf592eb07f3d11774920c3e9010d6238cdceba3206f7b627e0cb9b939a63797b"),
    "tired": Part(24, "2dd6eed980096e7a630f43f552652e410db917ccd197d708c194ee24efc8c0f1"),
}
ARCHIVE = Archive(
    "https://github.com/gveres/donateacry-corpus/archive/refs/heads/master.zip",
    "donateacry-corpus.zip",
    (
        ArchiveFolder(NAME, "donateacry_corpus_cleaned_and_updated_data", "*/*.wav", _PARTS),
        ArchiveFolder(IOS, "donateacry-ios-upload-bucket", "*.caf", {"": Part(416)}),
    ),
)


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
