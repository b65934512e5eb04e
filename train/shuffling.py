"""Labels dealt out anew among groups: the same sounds, under labels of other ones."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from train.clips import Clips


def shuffled(clips: Clips, labels: Sequence[str], seed: int) -> Clips:
    """Every group gets the labels of another one with as many recordings, in any order.

    So a group is as much of one label as before, and all labels are as frequent. If labels have
    nothing to do with the sound but through how many recordings a group has, one such dealing is
    as likely as another. A group may get its own labels; one that no other is as large as always
    does, in another order.

    Args:
        clips: all labelled; those of one recording, which have one label, keep one.
        labels: of the corpus, in the order of the indices.
        seed: of the dealing.
    """
    label_of = {item.recording: item.label for item in clips.items}
    of_group: dict[str, list[str]] = defaultdict(list)
    for name, group in {item.recording: item.group for item in clips.items}.items():
        of_group[group].append(name)
    alike: dict[int, list[list[str]]] = defaultdict(list)
    for names in of_group.values():
        alike[len(names)].append(names)
    chance, dealt = np.random.default_rng(seed), {}
    for groups in alike.values():
        for names, donor in zip(groups, chance.permutation(len(groups)), strict=True):
            own = [label_of[name] for name in groups[donor]]
            dealt.update(zip(names, chance.permutation(own).tolist(), strict=True))
    items = tuple(replace(item, label=dealt[item.recording]) for item in clips.items)
    indices = torch.tensor([labels.index(item.label) for item in items])
    return replace(clips, items=items, labels=indices)
