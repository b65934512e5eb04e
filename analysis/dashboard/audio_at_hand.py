"""The sound of a recording that the results name, where the folder of recordings is at hand.

Audio is not kept with the results. Whoever has the recordings sets ``CRY_DATA`` to their folder, as
for training: ``<CRY_DATA>/<dataset>/**/<recording>.<ending>``.
"""

from __future__ import annotations

import os
import unicodedata
from collections import defaultdict
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path, PurePath

from cry_model import audio

VARIABLE = "CRY_DATA"
UNLICENSED = "challenge6"
"""Beginning of the datasets of the paper's corpus, whose source states no licence."""
NOT_TO_BE_PLAYED = "The source of these recordings states no licence, so they are not played here."
NOT_AT_HAND = (
    "The sound of this recording is not at hand: audio is not kept with the results. Start the "
    f"page with {VARIABLE} set to the folder of recordings to hear it."
)


class NotAtHandError(LookupError):
    """There is no such recording here that can be read; one sentence says why."""


def sound_of(dataset: str, recording: str) -> audio.Recording:
    """A recording of the results, read from its file.

    Args:
        dataset: its name in the results folder.
        recording: its name in the predictions.

    Raises:
        NotAtHandError: if ``CRY_DATA`` does not hold it, or not as sound, or if its source states
            no licence.
    """
    if dataset.startswith(UNLICENSED):
        raise NotAtHandError(NOT_TO_BE_PLAYED)
    path = find_recording(dataset, recording)
    if path is None:
        raise NotAtHandError(NOT_AT_HAND)
    try:
        return audio.load(path)
    except audio.AudioError as error:
        raise NotAtHandError(str(error)) from error


def find_recording(dataset: str, recording: str) -> Path | None:
    """The file of a recording below ``CRY_DATA``, by the end of its path without its ending.

    Names are only looked up among the files of the dataset's folder, so none leads out of it. If
    two folders hold a file of that name, it is unknown which is meant, and neither is taken.
    """
    root = os.environ.get(VARIABLE)
    if not root:
        return None
    folder = _folder(Path(root), dataset)
    return None if folder is None else _index(folder).get(recording)


def _folder(root: Path, dataset: str) -> Path | None:
    if dataset == f"folder-{root.resolve().name}":  # somebody's own: the data root is the corpus
        return root
    own = dataset != ".." and PurePath(dataset).parts == (dataset,)
    return root / dataset if own else None


@lru_cache(maxsize=16)
def _index(folder: Path) -> Mapping[str, Path]:
    """Name -> file: its stem, its name with the ending, and its path below ``folder``."""
    named: defaultdict[str, list[Path]] = defaultdict(list)
    for path in sorted(folder.rglob("*")):
        below = path.relative_to(folder)
        hidden = any(part.startswith(".") for part in below.parts)
        if path.suffix.lower() in audio.SUFFIXES and not hidden and path.is_file():
            for name in {path.stem, path.name, below.as_posix()}:
                named[unicodedata.normalize("NFC", name)].append(path)
    return {
        name: paths[0] for name, paths in named.items() if len({path.parent for path in paths}) == 1
    }
