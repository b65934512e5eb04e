"""Per-channel energy normalisation: each band against its own recent past."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class PCEN(nn.Module):
    """(E / (eps + M)^alpha + delta)^r - delta^r, with M the smoothed past of E, (..., frames).

    Source: Wang et al. 2017, "Trainable frontend for robust and far-field keyword spotting",
    equations 1 and 2, with its constants (alpha 0.98, delta 2, r 0.5). Where there is no past yet,
    M is the first frame.
    """

    ALPHA, DELTA, ROOT, EPSILON = 0.98, 2.0, 0.5, 1e-6
    SECONDS = 0.4  # of M: s = 0.025 at a hop of 10 ms, as there

    def __init__(self, hop_seconds: float):
        super().__init__()
        self.keep = 1 - hop_seconds / self.SECONDS

    def smooth(self, power: Tensor) -> Tensor:
        """M[t] = keep M[t-1] + (1 - keep) E[t], M[0] = E[0]; as one product, (..., frames)."""
        frames = torch.arange(power.shape[-1], device=power.device)
        behind = (frames.unsqueeze(0) - frames.unsqueeze(1)).to(power.dtype)  # from row to column
        weight = (1 - self.keep) * self.keep**behind
        weight[0] /= 1 - self.keep
        return power @ weight.triu()

    def forward(self, power: Tensor) -> Tensor:
        normalised = power / (self.EPSILON + self.smooth(power)) ** self.ALPHA
        return (normalised + self.DELTA) ** self.ROOT - self.DELTA**self.ROOT
