"""Real cries without a label of the six classes, recorded at 16 kHz or more: for a teacher.

The iOS uploads of Donate-a-Cry and the baby cries of ESC-10. The reasons that parents gave are
left out: they are other classes. Clips of 8 kHz are no part of it, for they hold nothing of what
lies above 4 kHz, which the teacher listens to.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from train.data.corpus import Corpus
from train.data.datasets import donateacry_ios, esc10

NAME = "cries"
CRY = "baby_cry"


def read(root: Path) -> Corpus:
    """List ``root/donateacry_ios`` and the cries under ``root/esc10``; both must be there.

    A group is an installation, or a source at Freesound. Raise DataError if one of the two is
    missing.
    """
    uploads, sounds = donateacry_ios.read(root), esc10.read(root)
    cries = [item for item in sounds.items if item.label == CRY]
    items = (*uploads.items, *cries)
    return Corpus(
        NAME,
        (),
        tuple(replace(item, label=None, fold=None) for item in items),
        f"{uploads.licence}; {sounds.licence}",
    )
