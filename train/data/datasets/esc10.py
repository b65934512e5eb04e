"""ESC-10: 400 clips of 5 s of ten environmental sounds, a baby's cry among them (Piczak 2015).

A file is ``fold-FreesoundID-take.ogg``: takes of one sound of Freesound share their source, and
the corpus's authors keep them in one of their five folds.
"""

from __future__ import annotations

from pathlib import Path

from train.data.corpus import Archive, ArchiveFolder, Corpus, DataError, Item, Part

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

_DIGESTS = {
    "001 - Dog bark": "6da13932c583fe366c4b951d7d4a537cca4aad8c2830389aa4318a11664fb788",
    "002 - Rain": "a177f90aff432069fea53401d96215703a2313d5fd7e8f6f4d38fb9700def652",
    "003 - Sea waves": "901c58e9d0abcda468a65c6bb56649b89930e827a0be14ae6e983ef6a065401b",
    "004 - Baby cry": "fb4715e630d3392eafa1e1f649264bb432a15829754150cfbab060701d486d5a",
    "005 - Clock tick": "eea38148f7f2a371457271cb4adec08bb153f70474e7c568c45f6a1d9a7df89b",
    "006 - Person sneeze": "c3aa7e897c8c2fbb1e0fbe0277fc4749c08af92f81871d1522410cba4b133983",
    "007 - Helicopter": "95212f8b429bfdb617b4671d66a0c65d87eccb2abc2e3e5db3d7cf8bf0fedf68",
    "008 - Chainsaw": "fdd55ef4b06d64c16f2d0801e5232d157c9a4d82b1ca33d40e5535d90fff8832",
    "009 - Rooster": "aae92eab643dd01b27921201a7d24d8674f00095d4ce27d8bedfaa82eafaa683",
    "010 - Fire crackling": "82e4efe98b903c966ab8f4702be9c213c46a7ad335401b8db7e2dfd28d7b4645",
}
ARCHIVE = Archive(
    "https://github.com/karolpiczak/ESC-10/archive/refs/heads/master.zip",
    "esc10.zip",
    (
        ArchiveFolder(
            NAME,
            "",
            "* - */*.ogg",
            {folder: Part(40, digest) for folder, digest in _DIGESTS.items()},
        ),
    ),
)


def read(root: Path) -> Corpus:
    """Lists the recordings under ``root/esc10/NNN - Class/*.ogg``.

    Raises:
        DataError: if there are none, or if one is named otherwise.
    """
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
