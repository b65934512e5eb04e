"""Finds recordings that hold the same sound: copied, re-encoded, louder, or cut elsewhere.

A log-mel spectrogram, less the mean of each frame, is differenced over time: level, equaliser and
steady noise go, what changes stays. Two of them are compared by cross-correlation, those only
that are near in the mean and deviation of their bands.

What was measured, with the thresholds chosen on the same recordings:

- The 870 readable clips of Donate-a-Cry and its iOS folder: all 182 pairs of one recording at 8
  and 16 kHz are found (least similarity 0.999). Of the other 377,833 pairs two clips are joined,
  each in both folders: one installation, 51 s apart. None of the 375,891 pairs of different
  installations is.
- Pairs made from 187 clips: one re-encoded (mp3, Vorbis, Opus at 16 kb/s, AAC at 24 kb/s, ADPCM,
  mu-law, 44.1 kHz) at up to +-12 dB, cut up to a third later than the other, at least 2 s and half
  in common, neighbours sought among 1,270 clips. Found of 2,095 from cries: 99.5 %. Of 1,530 from
  ESC-10: 96.5 %; missed is mostly steady noise: helicopters, fire, rain.
- ESC-10's 400 clips: 24 of 79,800 pairs are joined, 23 of them from different sounds of Freesound,
  18 of these clocks. Nobody has listened to them: one pair of fires has a similarity of 0.95, so
  it may be one recording under two numbers; the ticks are more likely mistakes.
- Sounds shorter than 2 s (27 clips, re-encoded, by similarity alone): 66 % found. No two different
  ones of the 1,270 clips reach that threshold.

1,000 recordings of 16 s (noise) take about a minute on one core.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import fft
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import StandardScaler
from torch import Tensor
from tqdm import tqdm

from cry_model.frontend import FrontEnd, FrontEndConfig
from train.grouping import Pair

# 80 ms windows every 40 ms: long enough that a shift by half a hop changes little.
FRONT_END = FrontEndConfig(num_bands=32, num_filters=32, window=640, hop=320, fft=1024)
THRESHOLD = 0.35  # similarity
NEIGHBOURS = 300
LEAST_SECONDS = 2.0
SHORT_THRESHOLD = 0.6  # of a recording that holds less than LEAST_SECONDS

LEAST_FRAMES = LEAST_SECONDS * FRONT_END.sample_rate / FRONT_END.hop

Changes = NDArray[np.float32]  # (bands, frames - 1)


def near_duplicates(waveforms: Sequence[Tensor]) -> list[Pair]:
    """Pairs of recordings, by place, that share at least half of the shorter one.

    Args:
        waveforms: (samples,) each, 8 kHz, band-limited and levelled as
            :meth:`~cry_model.frontend.FrontEnd.prepare` gives them.
    """
    if len(waveforms) < 2:
        return []
    front_end, changes, statistics = FrontEnd(FRONT_END), [], []
    for wave in tqdm(waveforms, desc="Equal sounds, spectrograms", unit="clip", delay=1):
        with torch.inference_mode():
            spectrogram = front_end(wave.unsqueeze(0))[0].cpu().numpy()
        changes.append(spectral_changes(spectrogram))
        statistics.append(np.r_[spectrogram.mean(axis=1), spectrogram.std(axis=1)])
    pairs = candidates(np.stack(statistics))
    bar = tqdm(pairs, desc="Equal sounds, pairs", unit="pair", delay=1)
    return [(int(i), int(j)) for i, j in bar if _same(changes[i], changes[j])]


def candidates(statistics: NDArray[np.float32]) -> NDArray[np.int64]:
    """Pairs worth a closer look: near in the mean and the deviation of each band.

    Args:
        statistics: (recordings, 2 x bands).

    Returns:
        (pairs, 2), each once and in order.
    """
    table = StandardScaler().fit_transform(statistics)
    count = min(NEIGHBOURS, len(table) - 1)
    nearest = NearestNeighbors(n_neighbors=count).fit(table).kneighbors(return_distance=False)
    pairs = np.column_stack([np.repeat(np.arange(len(table)), count), nearest.ravel()])
    return np.unique(np.sort(pairs, axis=1), axis=0)


def spectral_changes(spectrogram: NDArray[np.float32]) -> Changes:
    """What is left of a log-mel spectrogram (bands, frames) without level and steady sound."""
    return np.diff(spectrogram - spectrogram.mean(axis=0), axis=1)


def similarity(a: Changes, b: Changes) -> float:
    """The largest normalised cross-correlation over all shifts that leave enough in common."""
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


def _same(a: Changes, b: Changes) -> bool:
    short = min(a.shape[1], b.shape[1]) < LEAST_FRAMES
    return similarity(a, b) > (SHORT_THRESHOLD if short else THRESHOLD)


def _energy(changes: Changes, start: NDArray[np.int64], stop: NDArray[np.int64]) -> NDArray:
    """Of each stretch; never zero, for a stretch may be silent to the last digit."""
    total = np.r_[0.0, np.square(changes, dtype=np.float64).sum(axis=0).cumsum()]
    return total[stop] - total[start] + 1e-6
