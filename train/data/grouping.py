"""Groups of recordings from pairs that belong together."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from scipy import fft
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import StandardScaler
from torch import Tensor
from tqdm import tqdm

from cry_model.frontend import FrontEnd, FrontEndConfig
from train.data.corpus import Item

Pair = tuple[int, int]  # places in a list of items


def equal_lengths(items: Sequence[Item], seconds: Sequence[float], tolerance: float) -> list[Pair]:
    """Pair neighbours in length within a label that differ by at most ``tolerance`` seconds."""
    alike = defaultdict(list)
    for i, item in enumerate(items):
        alike[item.label].append(i)
    pairs = []
    for members in alike.values():
        members.sort(key=lambda i: seconds[i])
        pairs += [(i, j) for i, j in pairwise(members) if seconds[j] - seconds[i] <= tolerance]
    return pairs


def join(items: Sequence[Item], pairs: Iterable[Pair]) -> tuple[Item, ...]:
    """Return the items, those that ``pairs`` link with one source and one group.

    Links pass on: where a goes with b and b with c, all three are one group. It is called after
    its alphabetically first recording; a recording without a partner is a group of its own.
    """
    links = np.array(list(pairs), dtype=np.int64).reshape(-1, 2)
    size = (len(items), len(items))
    graph = coo_array((np.ones(len(links)), (links[:, 0], links[:, 1])), shape=size)
    _, component = connected_components(graph, directed=False)
    names = pd.Series([item.recording for item in items]).groupby(component).transform("min")
    pairs = zip(items, names, strict=True)
    return tuple(replace(item, source=name, group=name) for item, name in pairs)


# 80 ms windows every 40 ms: long enough that a shift by half a hop changes little.
FRONT_END = FrontEndConfig(num_bands=32, num_filters=32, window=640, hop=320, fft=1024)
THRESHOLD = 0.35  # similarity
NEIGHBOURS = 300
LEAST_SECONDS = 2.0
SHORT_THRESHOLD = 0.6  # of a recording that holds less than LEAST_SECONDS

LEAST_FRAMES = LEAST_SECONDS * FRONT_END.sample_rate / FRONT_END.hop

Changes = NDArray[np.float32]  # (bands, frames - 1)


def near_duplicates(waveforms: Sequence[Tensor]) -> list[Pair]:
    """Pair recordings, by place, that share at least half of the shorter one.

    Waveforms are (samples,) each, 8 kHz, band-limited and levelled by the standard front end.
    """
    if len(waveforms) < 2:
        return []
    front_end, changes, statistics = FrontEnd(FRONT_END), [], []
    for wave in tqdm(waveforms, desc="Equal sounds, spectrograms", unit="clip", delay=1):
        with torch.inference_mode():
            spectrogram = front_end(wave.unsqueeze(0))[0].cpu().numpy()
        # Without level and steady sound.
        changes.append(np.diff(spectrogram - spectrogram.mean(axis=0), axis=1))
        statistics.append(np.r_[spectrogram.mean(axis=1), spectrogram.std(axis=1)])
    # A closer look is worth what is near in the mean and the deviation of each band.
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
    """Return the largest normalised cross-correlation over shifts with enough in common."""
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
    """Of each stretch; never zero, for a stretch may be silent to the last digit."""
    total = np.r_[0.0, np.square(changes, dtype=np.float64).sum(axis=0).cumsum()]
    return total[stop] - total[start] + 1e-6
