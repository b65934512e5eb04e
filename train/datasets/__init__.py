"""Readers of the corpora, by name: one module each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from train.clips import Clips
from train.corpus import Corpus, Item
from train.datasets import donateacry, synthetic6


@dataclass(frozen=True)
class Dataset:
    """One row of the registry.

    Attributes:
        name: as given to ``--dataset``, and the folder of the data root that holds it.
        read: lists what is under a data root; raises DataError if that is nothing.
        regroup: the items with better sources and groups, for corpora whose names tell neither:
            found from the sound. None where the names do.
        write: makes the corpus under a data root, for one that our own code writes.
    """

    name: str
    read: Callable[[Path], Corpus]
    regroup: Callable[[Clips], tuple[Item, ...]] | None = None
    write: Callable[[Path], None] | None = None


DATASETS: Mapping[str, Dataset] = {
    dataset.name: dataset
    for dataset in (
        Dataset(donateacry.NAME, donateacry.read),
        Dataset(synthetic6.NAME, synthetic6.read, write=synthetic6.write),
    )
}
