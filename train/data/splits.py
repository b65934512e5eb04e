"""Group recordings, and assign each to the fold that tests it, under a protocol.

``clip`` splits pieces of recordings at random, as papers on these corpora do. Pieces of a recording
are then in both training and test set. ``recording`` keeps all pieces of a recording together.
``baby`` keeps all recordings of a baby together (or of a speaker, or of any group of the corpus).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from scipy import fft
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import StandardScaler
from torch import Tensor
from tqdm import tqdm

from cry_model.sound.front_end_config import FrontEndConfig
from cry_model.sound.frontend import FrontEnd
from train.data.corpus import ONLY_LEARNT, Clips, DataError, Item

Folds = NDArray[np.int64]

FOLDS = 5  # by default
NEITHER = -2
"""Fold of items that are not tested, nor trained on, as they share a group with a test part."""

PROTOCOLS: Mapping[str, Callable[[Item], str]] = {
    "clip": lambda item: f"{item.recording}#{item.piece}",
    "recording": lambda item: item.source,
    "baby": lambda item: item.group,
}
"""Protocol, from the easiest to the hardest -> group key: clips with equal keys stay together."""


def require_two_labels(items: Sequence[Item], what: str, remedy: str = "") -> None:
    """Raise DataError ("``what`` has ... ``remedy``") if fewer than two labels occur."""
    labels = sorted({item.label for item in items if item.label is not None})
    if len(labels) < 2:
        only = f"only the label '{labels[0]}'" if labels else "no label"
        raise DataError(f"{what} has {only}, but two are needed. Add others{remedy}.")


def split(items: Sequence[Item], protocol: str, folds: int, seed: int) -> Folds:
    """Return the fold that tests each item, (items,), stratified by class.

    ``recording`` and ``baby`` use official folds, which keep groups together, whatever the seed.
    With one official test part, other items have the fold :data:`ONLY_LEARNT`, or :data:`NEITHER`
    if they share a group with it. Raise DataError if there are fewer groups, or fewer recordings of
    every label, than folds, or if official folds differ from ``folds``.
    """
    official = {item.fold for item in items}
    if protocol != "clip" and official and None not in official:
        if ONLY_LEARNT in official:
            return _test_part(items, PROTOCOLS[protocol])
        if official != set(range(folds)):
            theirs = ", ".join(str(fold + 1) for fold in sorted(official))
            raise DataError(
                f"The corpus's authors put these recordings in folds {theirs}, but --folds is "
                f"{folds}."
            )
        return np.array([item.fold for item in items])
    keys = [PROTOCOLS[protocol](item) for item in items]
    if (groups := len(set(keys))) < folds:
        raise DataError(
            f"{folds} folds need as many groups under protocol {protocol}, but there are {groups}; "
            "use fewer --folds, or another --protocol."
        )
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    labels = [item.label for item in items]
    fold_of = np.full(len(items), -1)
    try:
        with warnings.catch_warnings():  # some folds may lack a rare label
            warnings.simplefilter("ignore", UserWarning)
            for fold, (_, test) in enumerate(splitter.split(labels, labels, keys)):
                fold_of[test] = fold
    except ValueError as error:
        raise DataError(
            f"No label has {folds} recordings, so they cannot be spread over {folds} folds."
        ) from error
    return fold_of


def learnt_from(fold_of: Folds, fold: int) -> NDArray[np.int64]:
    """Return the indices of a fold's training items."""
    return np.flatnonzero((fold_of != fold) & (fold_of != NEITHER))


def has_test_part(items: Sequence[Item]) -> bool:
    """Return whether the corpus's authors defined one fixed training and test part."""
    return {item.fold for item in items} >= {0, ONLY_LEARNT}


def _test_part(items: Sequence[Item], key: Callable[[Item], str]) -> Folds:
    tested = {key(item) for item in items if item.fold != ONLY_LEARNT}
    shared = [item.fold == ONLY_LEARNT and key(item) in tested for item in items]
    fold_of = np.where(shared, NEITHER, [item.fold for item in items])
    if len({items[i].label for i in np.flatnonzero(fold_of == ONLY_LEARNT)}) < 2:
        raise DataError(
            "The training part is too small: without recordings that share a group or their sound "
            "with the test part, fewer than two labels are left. Give --folds to cross-validate "
            "over all recordings instead."
        )
    return fold_of


@dataclass(frozen=True)
class OuterFold:
    """An outer fold of a nested cross-validation, whose test part stays unused."""

    fold: int  # which, from 0
    folds: int  # of how many
    seed: int = 0  # of the split

    def training_part(self, units: Clips, protocol: str, inner: int) -> Clips:
        """Return the outer fold's training items, with official folds merged into ``inner`` ones.
        Items that official folds never test are split anew."""
        fold_of = split(units.items, protocol, self.folds, self.seed)
        learnt = units.subset(learnt_from(fold_of, self.fold))
        left = sorted({item.fold for item in learnt.items} - {None, ONLY_LEARNT})
        merged = {fold: i % inner for i, fold in enumerate(left)}
        items = tuple(replace(item, fold=merged.get(item.fold)) for item in learnt.items)
        return replace(learnt, items=items)


Pair = tuple[int, int]  # indices into a list of items


def equal_lengths(items: Sequence[Item], seconds: Sequence[float], tolerance: float) -> list[Pair]:
    """Pair items of one label, adjacent in length, that differ by at most ``tolerance`` seconds."""
    lengths = pd.Series(seconds).sort_values(kind="stable")
    alike = lengths.groupby([items[i].label for i in lengths.index]).groups.values()
    pairs = (pair for members in alike for pair in pairwise(members.tolist()))
    return [(i, j) for i, j in pairs if seconds[j] - seconds[i] <= tolerance]


def join(items: Sequence[Item], pairs: Iterable[Pair]) -> tuple[Item, ...]:
    """Return the items with each connected component of ``pairs`` as one source and group, named
    after its alphabetically first recording."""
    links = np.array(list(pairs), dtype=np.int64).reshape(-1, 2)
    size = (len(items), len(items))
    graph = coo_array((np.ones(len(links)), (links[:, 0], links[:, 1])), shape=size)
    _, component = connected_components(graph, directed=False)
    names = pd.Series([item.recording for item in items]).groupby(component).transform("min")
    pairs = zip(items, names, strict=True)
    return tuple(replace(item, source=name, group=name) for item, name in pairs)


# 80 ms windows every 40 ms: long enough that a misalignment of half a hop has little effect.
FRONT_END = FrontEndConfig(num_bands=32, num_filters=32, window=640, hop=320, fft=1024)
NEIGHBOURS = 300
THRESHOLD, SHORT_THRESHOLD = 0.35, 0.6  # similarity; of recordings of less than LEAST_FRAMES
LEAST_FRAMES = 2.0 * FRONT_END.sample_rate / FRONT_END.hop  # 2 s

Changes = NDArray[np.float32]  # (bands, frames - 1)


def near_duplicates(waveforms: Sequence[Tensor]) -> list[Pair]:
    """Return index pairs of recordings that share at least half of the shorter one.

    Waveforms are (samples,) each, 8 kHz, band-limited and levelled by the standard front end.
    """
    if len(waveforms) < 2:
        return []
    front_end, changes, statistics = FrontEnd(FRONT_END), [], []
    for wave in tqdm(waveforms, desc="Equal sounds, spectrograms", unit="clip", delay=1):
        with torch.inference_mode():
            spectrogram = front_end(wave.unsqueeze(0))[0].cpu().numpy()
        # Remove level and stationary sound.
        changes.append(np.diff(spectrogram - spectrogram.mean(axis=0), axis=1))
        statistics.append(np.r_[spectrogram.mean(axis=1), spectrogram.std(axis=1)])
    # Compare only nearest neighbours in the mean and standard deviation of each band.
    table = StandardScaler().fit_transform(np.stack(statistics))
    count = min(NEIGHBOURS, len(table) - 1)
    nearest = NearestNeighbors(n_neighbors=count).fit(table).kneighbors(return_distance=False)
    pairs = np.column_stack([np.repeat(np.arange(len(table)), count), nearest.ravel()])
    pairs = np.unique(np.sort(pairs, axis=1), axis=0)
    same = []
    for i, j in tqdm(pairs.tolist(), desc="Equal sounds, pairs", unit="pair", delay=1):
        short = min(changes[i].shape[1], changes[j].shape[1]) < LEAST_FRAMES
        if similarity(changes[i], changes[j]) > (SHORT_THRESHOLD if short else THRESHOLD):
            same.append((i, j))
    return same


def similarity(a: Changes, b: Changes) -> float:
    """Return the maximum normalised cross-correlation over shifts with enough overlap."""
    size = a.shape[1] + b.shape[1] - 1
    padded = fft.next_fast_len(size, real=True)
    spectra = fft.rfft(a, padded).conj() * fft.rfft(b, padded)
    shifts = np.arange(1 - a.shape[1], b.shape[1])
    product = fft.irfft(spectra.sum(axis=0), padded)[shifts]
    start = np.maximum(0, -shifts)
    stop = np.minimum(a.shape[1], b.shape[1] - shifts)
    energy_a = _energy(a, start, stop)
    energy_b = _energy(b, start + shifts, stop + shifts)
    shortest = min(a.shape[1], b.shape[1])
    least = max(shortest / 2, min(shortest, LEAST_FRAMES))
    likeness = product / np.sqrt(energy_a * energy_b)
    return float(likeness[stop - start >= least].max())


def _energy(changes: Changes, start: NDArray[np.int64], stop: NDArray[np.int64]) -> NDArray:
    """Return the energy of each stretch, kept above zero for digital silence."""
    total = np.r_[0.0, np.square(changes, dtype=np.float64).sum(axis=0).cumsum()]
    return total[stop] - total[start] + 1e-6
