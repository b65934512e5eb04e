"""Which clip is tested in which fold: the protocols of the evaluation.

``clip`` splits pieces of recordings at random, as papers on these corpora do: pieces of one
recording stand on both sides. ``recording`` keeps what was cut from one recording together,
``baby`` also all recordings of one baby (or speaker, or whatever the corpus's groups are).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedGroupKFold

from train.corpus import DataError, Item

Folds = NDArray[np.int64]

PROTOCOLS: Mapping[str, Callable[[Item], str]] = {
    "clip": lambda item: f"{item.recording}#{item.piece}",
    "recording": lambda item: item.source,
    "baby": lambda item: item.group,
}
"""From the easiest to the hardest: what is equal for two clips that must not be split."""


def split(items: Sequence[Item], protocol: str, folds: int, seed: int) -> Folds:
    """The fold in which each item is tested, (items,); every class is spread as far as it can be.

    Where the corpus's authors gave folds that keep groups together, ``recording`` and ``baby``
    take those, whatever the seed.

    Raises:
        DataError: if there are fewer groups, or recordings of every label, than folds, or other
            official folds than asked for.
    """
    official = {item.fold for item in items}
    if protocol != "clip" and official and None not in official:
        if official != set(range(folds)):
            theirs = ", ".join(str(fold + 1) for fold in sorted(official))
            raise DataError(
                f"These recordings are in the folds {theirs} of the corpus's authors, but --folds "
                f"is {folds}."
            )
        return np.array([item.fold for item in items])
    keys = [PROTOCOLS[protocol](item) for item in items]
    if len(set(keys)) < folds:
        raise DataError(
            f"{len(set(keys))} groups cannot be spread over {folds} folds (protocol {protocol})."
        )
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    labels = [item.label for item in items]
    fold_of = np.full(len(items), -1)
    try:
        with warnings.catch_warnings():  # a rare label that some folds lack is no surprise
            warnings.simplefilter("ignore", UserWarning)
            for fold, (_, test) in enumerate(splitter.split(labels, labels, keys)):
                fold_of[test] = fold
    except ValueError as error:
        raise DataError(
            f"No label has {folds} recordings, so they cannot be spread over {folds} folds."
        ) from error
    return fold_of
