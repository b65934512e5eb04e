"""Cut a recording into pieces: tensors, or arrays where there is no torch."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor


class CutConfig(Protocol):
    """Declare how recordings are cut into pieces; see :class:`FrontEndConfig`."""

    sample_rate: int
    piece_seconds: float
    min_seconds: float
    overlap: float


@dataclass(frozen=True)
class Clip:
    """A recording at the front end's rate, (samples,), and the seconds cut off its beginning."""

    waveform: Tensor | NDArray[np.float32]
    offset: float


class TrimConfig(Protocol):
    """Declare how the quiet beginning and end of a recording are cut off."""

    sample_rate: int
    window: int
    hop: int
    trim_margin: float


def trimmed(
    waveform: Tensor | NDArray[np.float32], first: int, last: int, config: TrimConfig
) -> Clip:
    """Cut (samples,) to its loud frames ``first`` to ``last``, with a margin on both sides."""
    c = config
    margin = round(c.trim_margin * c.sample_rate)
    start = max(0, first * c.hop - margin)
    end = min(len(waveform), last * c.hop + c.window + margin)
    return Clip(waveform[start:end], start / c.sample_rate)


@dataclass(frozen=True)
class Pieces:
    """A clip cut for the model: (pieces, samples), and where each piece starts, in seconds.

    ``seconds`` of each piece are recording: less than its length where a short one was repeated.
    """

    waveforms: Tensor | NDArray[np.float32]
    starts: tuple[float, ...]
    seconds: float


def cut(clip: Clip, config: CutConfig, overlap: float | None = None) -> Pieces:
    """Cut a clip into pieces of equal length that overlap and, spread evenly, cover all of it.

    A short clip is repeated; ``overlap`` is in the place of the configuration's.
    """
    wave, share = clip.waveform, config.overlap if overlap is None else overlap
    rate = config.sample_rate
    length, shortest = round(config.piece_seconds * rate), round(config.min_seconds * rate)
    seconds = min(len(wave), length) / rate
    if len(wave) < shortest:
        wave = _stack([wave] * math.ceil(shortest / len(wave))).reshape(-1)[:shortest]
    if len(wave) <= length:
        return Pieces(wave[None], (clip.offset,), seconds)
    count = math.ceil((len(wave) - length) / (length * (1 - share))) + 1
    starts = np.linspace(0, len(wave) - length, count).round().astype(int).tolist()
    waveforms = _stack([wave[s : s + length] for s in starts])
    return Pieces(waveforms, tuple(clip.offset + s / rate for s in starts), seconds)


def _stack(waves: list[Tensor] | list[NDArray[np.float32]]) -> Tensor | NDArray[np.float32]:
    if isinstance(waves[0], np.ndarray):
        return np.stack(waves)
    import torch

    return torch.stack(waves)
