"""Tracks over time, thinned to what a screen can show."""

from __future__ import annotations

from torch import Tensor


def thin(times: Tensor, track: Tensor, columns: int) -> tuple[Tensor, Tensor]:
    """Averages neighbours until at most ``columns`` are left.

    Args:
        times: (frames,) seconds.
        track: (..., frames).
        columns: how many to keep at most.

    Returns:
        The first time of each run of neighbours, and their mean; a last run that is not full is
        left out.
    """
    step = -(-len(times) // columns)
    whole = len(times) - len(times) % step
    return times[:whole:step], track[..., :whole].unflatten(-1, (-1, step)).mean(-1)
