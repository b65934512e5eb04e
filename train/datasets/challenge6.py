"""The six-class challenge corpus that the paper uses: 918 labelled recordings of 7 to 33 s.

Its names tell no baby, and its recordings appear to be halves of longer ones: each has a
partner of the same label and the same length. On the published lengths, chaining those that
differ by at most 0.7 ms gives 426 groups, none of which has a single member. So groups come from
length and sound; they keep the halves of a recording together, not all recordings of a baby.
"""

from __future__ import annotations

from pathlib import Path

from train.clips import Clips
from train.corpus import Corpus, DataError, Item
from train.duplicates import near_duplicates
from train.grouping import equal_lengths, join

NAME = "challenge6"
LABELS = ("awake", "diaper", "hug", "hungry", "sleepy", "uncomfortable")
LICENCE = "none stated: for fitting and checking, not for passing on"
SAME_LENGTH = 0.0007  # seconds


def read(root: Path) -> Corpus:
    """Lists the recordings under ``root/challenge6/train/<label>/<label>_<n>.wav``.

    Every recording is its own source and group: :func:`regroup` finds better ones.

    Raises:
        DataError: if there are none.
    """
    folder = root / NAME / "train"
    items = tuple(
        Item(path, label, path.stem, path.stem, path.stem)
        for label in LABELS
        for path in sorted((folder / label).glob(f"{label}_*.wav"))
    )
    if not items:
        raise DataError(
            f"There are no recordings in {folder}. Put the six folders of the challenge's training "
            "set there, as <label>/<label>_<n>.wav, or name another folder with --data-root."
        )
    return Corpus(NAME, LABELS, items, LICENCE)


def regroup(clips: Clips) -> tuple[Item, ...]:
    """The items, with what has the same length or the same sound as one source and group."""
    lengths = equal_lengths(clips.items, clips.seconds, SAME_LENGTH)
    return join(clips.items, [*lengths, *near_duplicates(clips.waveforms)])
