"""Recognise recordings that a model was fitted on, including re-encoded copies.

Haitsma and Kalker, "A Highly Robust Audio Fingerprinting System" (ISMIR 2002): the signs of
band-energy differences, along frequency and time, survive coding, filtering and level changes. Here
two such 24-bit words, a quarter of a second apart, form one. Only salted 32-bit hashes are kept,
pooled over all recordings and unordered, from which no sound can be recovered.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from hashlib import blake2b
from os import PathLike
from pathlib import Path

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from cry_model.checkpoint import HASHES, SALT, WEIGHTS, one_line, unusable, write_atomically
from cry_model.sound.arrays import Array, resample
from cry_model.sound.audio import Recording

RATE = 8000  # Hz
WIDTH = 16  # zero crossings of the resampling filter
WINDOW, HOP = 2048, 128  # samples: 256 and 16 ms
KEPT = 4  # every fourth frame is stored; of a shifted copy, all frames are looked up
BITS, LOW, HIGH = 24, 300.0, 3000.0  # number of bands less one, evenly spaced in log frequency
DIFFERENCE, APART = 8, 16  # frames: lag of the energy difference, distance of the two words
QUIET = 35.0  # dB: frames this far below the loudest are ignored
DOUBTFUL = 5  # bits closest to zero difference, any of which a copy may flip
SPAN = 312  # frames, 5 s
MATCHES = 8  # within a span; 2,626 recordings outside the fit had 4 at most
BLOCK = 4096  # frames at a time

Words = NDArray[np.int64]
Hashes = NDArray[np.uint32]


@cache
def _bands() -> Array:
    """Return (bins, bands): 1 where a bin of the spectrum lies in a band."""
    hz = np.arange(WINDOW // 2 + 1) * (RATE / WINDOW)
    edges = np.logspace(np.log10(LOW), np.log10(HIGH), BITS + 2)
    return ((hz[:, None] >= edges[:-1]) & (hz[:, None] < edges[1:])).astype(np.float32)


def energies(wave: Array) -> Array:
    """Compute band energies, (frames, 25), of a waveform (samples,) at :data:`RATE`."""
    window, blocks = np.hanning(WINDOW + 1)[:-1].astype(np.float32), []
    frames = sliding_window_view(wave, WINDOW)[::HOP]
    for begin in range(0, len(frames), BLOCK):
        spectrum = np.fft.rfft(frames[begin : begin + BLOCK] * window)
        blocks.append((np.square(spectrum.real) + np.square(spectrum.imag)) @ _bands())
    return np.concatenate(blocks) + 1e-9


def differences(recording: Recording) -> tuple[Array, NDArray[np.bool_]]:
    """Return the values whose signs are hashed, (frames, 48), and which frames are loud, (frames,).

    No frames if the recording is shorter than about two thirds of a second.
    """
    wave = recording.waveform
    wave = wave if isinstance(wave, np.ndarray) else wave.cpu().numpy()
    wave = resample(wave, recording.sample_rate, RATE, WIDTH)
    reach = DIFFERENCE + APART
    if len(wave) < WINDOW + reach * HOP:
        return np.zeros((0, 2 * BITS), np.float32), np.zeros(0, bool)
    energy = energies(wave)
    level, slope = 10 * np.log10(energy.sum(1)), -np.diff(np.log(energy), axis=1)
    change = slope[DIFFERENCE:] - slope[:-DIFFERENCE]
    count = len(energy) - reach
    parts = (level[i : i + count] for i in (0, DIFFERENCE, APART, reach))
    loud = np.stack([*parts]).min(0) > level.max() - QUIET
    return np.concatenate([change[:count], change[APART:]], 1), loud


def words(values: Array) -> Words:
    """Pack the signs of (frames, 48) into the bits of integers, (frames,)."""
    return ((values > 0).astype(np.int64) << np.arange(2 * BITS)).sum(1)


def variants(values: Array) -> Words:
    """Return each word with the variants that coding may have altered, (frames, 32)."""
    nearest = np.argpartition(abs(values), DOUBTFUL, axis=1)[:, :DOUBTFUL]
    chosen = (np.arange(1 << DOUBTFUL)[:, None] >> np.arange(DOUBTFUL)) & 1
    return words(values)[:, None] ^ (1 << nearest) @ chosen.T


def hashed(found: Words, salt: int) -> Hashes:
    """Hash words of any shape; about 65,000 words share a hash."""
    mixed = found.astype(np.uint64) ^ np.uint64(salt)
    for factor in (0xBF58476D1CE4E5B9, 0x94D049BB133111EB):  # Steele et al. 2014, SplitMix64
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(factor)
    return (mixed >> np.uint64(32)).astype(np.uint32)


@dataclass(frozen=True, eq=False)
class Fingerprints:
    """Salted hashes of the recordings that a model was fitted on.

    Attributes:
        salt: specific to this model.
        hashes: (hashes,), sorted.
    """

    salt: int
    hashes: Hashes

    @classmethod
    def of(cls, recordings: Iterable[Recording]) -> Fingerprints:
        """Compute the fingerprints of recordings; the same recordings give the same result."""
        every = [np.zeros(0, np.int64)]
        for recording in recordings:
            values, loud = differences(recording)
            every.append(words(values[::KEPT][loud[::KEPT]]))
        found = np.unique(np.concatenate(every))
        salt = int.from_bytes(blake2b(found.tobytes(), digest_size=8).digest(), "little") >> 1
        return cls(salt, np.unique(hashed(found, salt)))

    def know(self, recording: Recording) -> bool:
        """Return whether five seconds of a recording, or all of a shorter one, match the hashes."""
        values, loud = differences(recording)
        if not len(values) or not len(self.hashes):
            return False
        found = hashed(variants(values[loud]), self.salt)
        place = self.hashes.searchsorted(found).clip(max=len(self.hashes) - 1)
        hits = np.zeros(len(values))
        hits[loud] = (self.hashes[place] == found).any(1)
        totals = np.concatenate([[0], hits.cumsum()])
        span = min(SPAN, len(hits))
        return bool((totals[span:] - totals[:-span]).max() >= MATCHES)


def write_fingerprints(folder: str | PathLike, fingerprints: Fingerprints) -> None:
    """Store fingerprints beside the weights of a checkpoint, leaving the weights unchanged."""
    import torch
    from safetensors.torch import load, save

    path = Path(folder) / WEIGHTS
    kept = {
        SALT: torch.tensor([fingerprints.salt]),
        HASHES: torch.from_numpy(fingerprints.hashes.view(np.int32)),
    }
    write_atomically(path, save({**load(path.read_bytes()), **kept}))


def load_fingerprints(folder: str | PathLike) -> Fingerprints | None:
    """Read the fingerprints of a checkpoint's training recordings; None if it has none. Raise
    CheckpointError if they are damaged."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(Path(folder) / WEIGHTS, "np") as file:
            names = {SALT, HASHES} & set(file.keys())
            found = {name: file.get_tensor(name) for name in names}
    except (SafetensorError, OSError) as error:
        raise unusable(
            f"The fingerprints in '{folder}' cannot be read: {one_line(error)}"
        ) from error
    if not found:
        return None
    salt, hashes = found.get(SALT), found.get(HASHES)
    kinds = (None if t is None else (t.dtype, t.ndim) for t in (salt, hashes))
    if [*kinds] != [(np.int64, 1), (np.int32, 1)] or len(salt) != 1 or salt[0] < 0:
        raise unusable(f"The fingerprints in '{folder}' are damaged")
    return Fingerprints(int(salt[0]), np.unique(hashes.view(np.uint32)))
