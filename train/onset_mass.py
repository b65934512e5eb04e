"""How much of a track lies near the onsets of the cries, and how much by chance."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]


def mass_above_median(track: Array) -> Array:
    """What of a track is above its own median, (frames,) -> (frames,)."""
    return np.clip(track - np.median(track), 0, None)


def near(times: Array, onsets: Array, reach: float) -> Mask:
    """Which of the times (frames,) lie within ``reach`` of one of the onsets (n,), all in s."""
    return (np.abs(times[:, None] - onsets) <= reach).any(axis=1)


def share(mass: Array, mask: Mask) -> float:
    """Share of a mass (frames,) that lies where ``mask`` (frames,) is true.

    A track that is flat has no mass; it prefers no frame, so its share is that of the time.
    """
    return float(mass[mask].sum() / mass.sum()) if mass.any() else float(mask.mean())


def shuffled_share(mass: Array, mask: Mask, shifts: int, rng: np.random.Generator) -> float:
    """Mean share of the mass after turning it round by random amounts.

    This keeps the form of the track. Over all amounts the mean is the plain share of the time.
    """
    turned = (np.roll(mass, amount) for amount in rng.integers(len(mass), size=shifts))
    return float(np.mean([share(one, mask) for one in turned]))


def heaviest(mass: Array, length: int) -> int:
    """First frame of the ``length`` frames in a row with the most mass; the earliest of equals."""
    return int(np.convolve(mass, np.ones(length), "valid").argmax())
