"""The training part of one fold, divided again: nested cross-validation, to make choices in."""

from __future__ import annotations

from dataclasses import dataclass, replace

from train.clips import Clips
from train.corpus import ONLY_LEARNT
from train.splits import learnt_from, split


@dataclass(frozen=True)
class Outer:
    """A fold of the cross-validation that is reported, whose tested part stays unseen.

    Attributes:
        fold: which, from 0.
        folds: of how many.
        seed: of the split.
    """

    fold: int
    folds: int
    seed: int = 0

    def training_part(self, units: Clips, protocol: str, inner: int) -> Clips:
        """What the fold learns from.

        Official folds are dealt out to ``inner`` new ones, so that what their authors kept together
        stays together; what they never test is split anew.
        """
        fold_of = split(units.items, protocol, self.folds, self.seed)
        learnt = units.subset(learnt_from(fold_of, self.fold))
        left = sorted({item.fold for item in learnt.items} - {None, ONLY_LEARNT})
        dealt = {fold: i % inner for i, fold in enumerate(left)}
        items = tuple(replace(item, fold=dealt.get(item.fold)) for item in learnt.items)
        return replace(learnt, items=items)
