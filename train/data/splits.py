"""Assign each clip to the fold that tests it: the protocols of the evaluation.

``clip`` splits pieces of recordings at random, as papers on these corpora do: pieces of one
recording stand on both sides. ``recording`` keeps what was cut from one recording together,
``baby`` also all recordings of one baby (or speaker, or whatever the corpus's groups are).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedGroupKFold

from train.data.corpus import ONLY_LEARNT, Clips, DataError, Item

Folds = NDArray[np.int64]

FOLDS = 5
"""Of a cross-validation, unless another number is asked for."""
NEITHER = -2
"""The fold of what is not learnt from, for it shares a group with a test part, and not tested."""

PROTOCOLS: Mapping[str, Callable[[Item], str]] = {
    "clip": lambda item: f"{item.recording}#{item.piece}",
    "recording": lambda item: item.source,
    "baby": lambda item: item.group,
}
"""From the easiest to the hardest: what is equal for two clips that must not be split."""


def require_two_labels(items: Sequence[Item], what: str, remedy: str = "") -> None:
    """Raise DataError, from ``what`` to ``remedy``, if fewer than two labels occur."""
    labels = sorted({item.label for item in items if item.label is not None})
    if len(labels) < 2:
        only = f"the label '{labels[0]}' alone" if labels else "no label"
        raise DataError(f"{what} has {only}: there is nothing to tell apart. Add others{remedy}.")


def split(items: Sequence[Item], protocol: str, folds: int, seed: int) -> Folds:
    """Return the fold in which each item is tested, (items,); every class is spread as far as it
    can be.

    Where the corpus's authors gave folds that keep groups together, ``recording`` and ``baby`` take
    those, whatever the seed. Where they gave one test part, the rest has the fold
    :data:`ONLY_LEARNT`, or :data:`NEITHER` if it belongs with something tested. Raise DataError if
    there are fewer groups, or recordings of every label, than folds, or other official folds than
    asked for.
    """
    official = {item.fold for item in items}
    if protocol != "clip" and official and None not in official:
        if ONLY_LEARNT in official:
            return _test_part(items, PROTOCOLS[protocol])
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


def learnt_from(fold_of: Folds, fold: int) -> NDArray[np.int64]:
    """Return the places of what a fold learns from."""
    return np.flatnonzero((fold_of != fold) & (fold_of != NEITHER))


def has_test_part(items: Sequence[Item]) -> bool:
    """Whether the corpus's authors told what to test, once and for all, and what to learn from."""
    return {item.fold for item in items} >= {0, ONLY_LEARNT}


def _test_part(items: Sequence[Item], key: Callable[[Item], str]) -> Folds:
    tested = {key(item) for item in items if item.fold != ONLY_LEARNT}
    free = [item.fold != ONLY_LEARNT or key(item) not in tested for item in items]
    fold_of = np.array(
        [item.fold if one else NEITHER for item, one in zip(items, free, strict=True)]
    )
    if len({items[i].label for i in np.flatnonzero(fold_of == ONLY_LEARNT)}) < 2:
        raise DataError(
            "The recordings beside the test part are too few: without those that share a group or "
            "their sound with it, fewer than two labels are left to learn. Give a number of "
            "--folds to cross-validate over all recordings instead."
        )
    return fold_of


@dataclass(frozen=True)
class OuterFold:
    """A fold of the cross-validation that is reported, whose tested part stays unseen."""

    fold: int  # which, from 0
    folds: int  # of how many
    seed: int = 0  # of the split

    def training_part(self, units: Clips, protocol: str, inner: int) -> Clips:
        """Return what the fold learns from.

        Official folds are permuted to ``inner`` new ones, so that what their authors kept together
        stays together; what they never test is split anew.
        """
        fold_of = split(units.items, protocol, self.folds, self.seed)
        learnt = units.subset(learnt_from(fold_of, self.fold))
        left = sorted({item.fold for item in learnt.items} - {None, ONLY_LEARNT})
        permuted = {fold: i % inner for i, fold in enumerate(left)}
        items = tuple(replace(item, fold=permuted.get(item.fold)) for item in learnt.items)
        return replace(learnt, items=items)
