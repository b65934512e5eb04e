"""Groups of recordings from pairs that belong together."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from train.corpus import Item

Pair = tuple[int, int]  # places in a list of items


def equal_lengths(items: Sequence[Item], seconds: Sequence[float], tolerance: float) -> list[Pair]:
    """Neighbours in length within a label that differ by at most ``tolerance`` seconds.

    Args:
        items: the recordings.
        seconds: the length of each, as it lay in the file.
        tolerance: seconds.
    """
    alike = defaultdict(list)
    for i, item in enumerate(items):
        alike[item.label].append(i)
    pairs = []
    for members in alike.values():
        members.sort(key=lambda i: seconds[i])
        pairs += [(i, j) for i, j in pairwise(members) if seconds[j] - seconds[i] <= tolerance]
    return pairs


def join(items: Sequence[Item], pairs: Iterable[Pair]) -> tuple[Item, ...]:
    """The items, those that ``pairs`` link with one source and one group.

    Links pass on: where a goes with b and b with c, all three are one group. It is called after
    its alphabetically first recording; a recording without a partner is a group of its own.
    """
    links = np.array(list(pairs), dtype=np.int64).reshape(-1, 2)
    size = (len(items), len(items))
    graph = coo_array((np.ones(len(links)), (links[:, 0], links[:, 1])), shape=size)
    _, component = connected_components(graph, directed=False)
    names: dict[int, str] = {}
    for number, item in zip(component, items, strict=True):
        names[number] = min(item.recording, names.get(number, item.recording))
    return tuple(
        replace(item, source=names[number], group=names[number])
        for number, item in zip(component, items, strict=True)
    )
