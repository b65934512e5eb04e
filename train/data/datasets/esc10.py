"""ESC-10: 400 clips of 5 s of ten environmental sounds, a baby's cry among them (Piczak 2015).

A file is ``fold-FreesoundID-take.ogg``: takes of one sound of Freesound share their source, and
the corpus's authors keep them in one of their five folds.
"""

from __future__ import annotations

from pathlib import Path

from train.data.corpus import Archive, ArchiveFolder, Corpus, DataError, Item

NAME = "esc10"
LABELS = (
    "dog_bark",
    "rain",
    "sea_waves",
    "baby_cry",
    "clock_tick",
    "person_sneeze",
    "helicopter",
    "chainsaw",
    "rooster",
    "fire_crackling",
)
LICENCE = "CC BY 3.0 and CC0 per clip, see its README (github.com/karolpiczak/ESC-10)"

ARCHIVE = Archive(
    "https://github.com/karolpiczak/ESC-10/archive/refs/heads/master.zip",
    "esc10.zip",
    (
        ArchiveFolder(
            NAME,
            "",
            "* - */*.ogg",
            400,
            "f7ed9b7ee1bc8629352bb5d0a785ad4c364994f26d699e184bcf5be2c46cf819",
        ),
    ),
)


def read(root: Path) -> Corpus:
    """List the recordings under ``root/esc10/NNN - Class/*.ogg``; raise DataError if there are
    none, or if one is named otherwise."""
    folders = {
        path.name[6:].lower().replace(" ", "_"): path for path in (root / NAME).glob("* - *")
    }
    items = tuple(
        _item(path, label)
        for label in LABELS
        if label in folders
        for path in sorted(folders[label].glob("*.ogg"))
    )
    if not items:
        raise DataError(
            f"There are no recordings in {root / NAME}. Put the ten folders of ESC-10 ('001 - Dog "
            "bark' to '010 - Fire crackling') there (github.com/karolpiczak/ESC-10), or name "
            "another folder with --data-root."
        )
    return Corpus(NAME, LABELS, items, LICENCE)


def _item(path: Path, label: str) -> Item:
    fold, _, rest = path.stem.partition("-")
    source, _, take = rest.partition("-")
    if not (fold.isdigit() and int(fold) and source.isdigit() and take):
        raise DataError(
            f"{path} is not named as ESC-10 names its clips (fold-FreesoundID-take.ogg, for "
            "instance 1-100032-A.ogg); give it its name back or take it away."
        )
    return Item(path, label, path.stem, source, source, int(fold) - 1)
