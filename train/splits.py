"""Which recording is tested in which fold."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

from train.corpus import DataError, Item

Folds = NDArray[np.int64]


def by_recording(items: Sequence[Item], folds: int, seed: int) -> Folds:
    """Recordings at random, each class spread evenly: no shared recording."""
    if len(items) < folds:
        raise DataError(f"{len(items)} recordings cannot be spread over {folds} folds.")
    splitter = StratifiedKFold(folds, shuffle=True, random_state=seed)
    labels = [item.label for item in items]
    return _test_folds(splitter.split(labels, labels), len(items))


def by_baby(items: Sequence[Item], folds: int, seed: int) -> Folds:
    """Whole groups, each class spread as evenly as they allow: a baby never heard before."""
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    labels = [item.label for item in items]
    groups = [item.group for item in items]
    if len(set(groups)) < folds:
        raise DataError(f"{len(set(groups))} babies cannot be spread over {folds} folds.")
    return _test_folds(splitter.split(labels, labels, groups), len(items))


def _test_folds(splits: object, count: int) -> Folds:
    fold_of = np.full(count, -1)
    for fold, (_, test) in enumerate(splits):
        fold_of[test] = fold
    return fold_of


PROTOCOLS: Mapping[str, Callable[[Sequence[Item], int, int], Folds]] = {
    "recording": by_recording,
    "baby": by_baby,
}
