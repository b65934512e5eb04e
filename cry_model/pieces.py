"""A recording as a front end wants it, and cut for the model."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Clip:
    """A recording as a front end wants it.

    Attributes:
        waveform: (samples,) at the front end's rate, as its ``prepare`` says.
        offset: seconds cut off the recording's beginning.
    """

    waveform: Tensor
    offset: float


@dataclass(frozen=True)
class Pieces:
    """A clip cut for the model.

    Attributes:
        waveforms: (pieces, samples).
        starts: seconds from the recording's beginning, one a piece.
        seconds: how much of each piece is recording; less than its length only where a short
            recording was repeated.
    """

    waveforms: Tensor
    starts: tuple[float, ...]
    seconds: float


def cut(clip: Clip, rate: int, piece_seconds: float, min_seconds: float, overlap: float) -> Pieces:
    """Pieces of equal length that overlap and, spread evenly, cover the whole clip.

    Args:
        clip: at ``rate`` Hz.
        rate: Hz.
        piece_seconds: length of a piece; a shorter clip is one piece.
        min_seconds: a shorter clip is repeated up to this length.
        overlap: least share that neighbouring pieces have in common.
    """
    wave = clip.waveform
    length, shortest = round(piece_seconds * rate), round(min_seconds * rate)
    seconds = min(len(wave), length) / rate
    if len(wave) < shortest:
        wave = wave.repeat(math.ceil(shortest / len(wave)))[:shortest]
    if len(wave) <= length:
        return Pieces(wave.unsqueeze(0), (clip.offset,), seconds)
    count = math.ceil((len(wave) - length) / (length * (1 - overlap))) + 1
    starts = torch.linspace(0, len(wave) - length, count).round().long().tolist()
    waveforms = torch.stack([wave[s : s + length] for s in starts])
    return Pieces(waveforms, tuple(clip.offset + s / rate for s in starts), seconds)
