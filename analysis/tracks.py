"""Tracks over time, thinned to what a screen can show."""

from __future__ import annotations

import torch
from torch import Tensor


def thin(times: Tensor, track: Tensor, columns: int, hop: float) -> tuple[Tensor, Tensor]:
    """Averages neighbours until at most ``columns`` are left.

    Args:
        times: (frames,) seconds; where frames are missing, nothing was answered for.
        track: (..., frames).
        columns: how many to keep at most.
        hop: seconds from one frame to the next.

    Returns:
        The first time of each run of neighbours, and the mean of those that are there, NaN where
        none is; a last run that is not full is left out.
    """
    frame = ((times - times[0]) / hop).round().long()
    length = int(frame[-1]) + 1
    step = -(-length // columns)
    whole = length - length % step
    spread = torch.full((*track.shape[:-1], length), torch.nan)
    spread[..., frame] = track
    runs = spread[..., :whole].unflatten(-1, (-1, step))
    return times[0] + hop * torch.arange(0, whole, step), runs.nanmean(-1)
