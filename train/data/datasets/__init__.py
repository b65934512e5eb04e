"""Readers of the corpora, by name: one module each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from cry_model.audio import Recording
from train.data.clips import Clips, load_file
from train.data.corpus import Archive, Corpus, Item
from train.data.datasets import (
    challenge6,
    donateacry,
    donateacry_ios,
    esc10,
    folder,
    other_sounds,
    synthetic6,
)
from train.data.datasets import detector as detector
from train.data.datasets import unlabelled as cries


@dataclass(frozen=True)
class Dataset:
    """One row of the registry."""

    # as given to ``--dataset``, and the folder of the data root that holds it (but "folder" is the
    # data root itself)
    name: str
    # lists what is under a data root; raises DataError if that is nothing
    read: Callable[[Path], Corpus]
    # the items with better sources and groups, for corpora whose names tell neither: found from the
    # sound. None where the names do
    regroup: Callable[[Clips], tuple[Item, ...]] | None = None
    archive: Archive | None = None  # where it can be downloaded; None if nowhere
    # makes the corpus under a data root, for one that our own code writes
    write: Callable[[Path], None] | None = None
    # the sound of an item; by default what its file holds
    load: Callable[[Item], Recording] = load_file


DATASETS: Mapping[str, Dataset] = {
    dataset.name: dataset
    for dataset in (
        Dataset(donateacry.NAME, donateacry.read, archive=donateacry.ARCHIVE),
        Dataset(donateacry_ios.NAME, donateacry_ios.read, archive=donateacry.ARCHIVE),
        Dataset(esc10.NAME, esc10.read, archive=esc10.ARCHIVE),
        Dataset(cries.NAME, cries.read),
        Dataset(challenge6.NAME, challenge6.read, challenge6.regroup),
        Dataset(challenge6.CUTS, challenge6.read_cuts, challenge6.regroup_cuts),
        Dataset(folder.NAME, folder.read, folder.regroup),
        Dataset(detector.NAME, detector.read, load=detector.load),
        Dataset(
            other_sounds.NAME, other_sounds.read, write=other_sounds.write, load=other_sounds.load
        ),
        Dataset(synthetic6.NAME, synthetic6.read, write=synthetic6.write),
    )
}
