"""What a fold costs: time, throughput, memory of the GPU, energy."""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch

from train.energy import Energy, counters_of
from train.loop import Epoch


@dataclass(frozen=True)
class Cost:
    """Of the fit and the test of one fold.

    Attributes:
        fit_seconds: of the fit, with what it took to watch it on a part that was held back.
        test_seconds: of the predictions for the part that was left out.
        resumed: whether the fit went on from a kept state, so that the numbers are of its rest.
        pieces_per_second: pieces learnt from in a second of the fit; None where it was resumed, or
            learns from rows of features.
        peak_gpu_bytes: the most that this process held on the GPU at once; None without one.
        fit_joules: that the device took during the fit, for whatever else it did too; None where
            no counter can be read. With several processes it is the first one's.
        jobs: fits that the command did at once, which share the device.
        threads: that computed; on a CPU they decide the last bit of the weights.
    """

    fit_seconds: float
    test_seconds: float
    resumed: bool
    pieces_per_second: float | None
    peak_gpu_bytes: int | None
    fit_joules: float | None
    jobs: int
    threads: int


class Meter:
    """Takes the cost of a fold; made when the fit begins."""

    def __init__(self, device: torch.device, resumed: bool, jobs: int) -> None:
        self.device, self.resumed, self.jobs = device, resumed, jobs
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        self.energy = Energy(counters_of(device))
        self.pieces = 0
        self.started = time.perf_counter()
        self.fit_seconds = 0.0

    def note(self, epoch: Epoch) -> None:
        """An epoch is over."""
        self.pieces += epoch.pieces
        self.energy.look()  # often enough to notice that a counter began anew

    def fitted(self) -> None:
        """The fit is over, the test begins."""
        self.fit_seconds = time.perf_counter() - self.started
        self.energy.look()

    def cost(self) -> Cost:
        """The test is over."""
        seconds, joules = self.fit_seconds, self.energy.joules
        whole = self.pieces > 0 and not self.resumed
        cuda = self.device.type == "cuda"
        return Cost(
            fit_seconds=round(seconds, 3),
            test_seconds=round(time.perf_counter() - self.started - seconds, 3),
            resumed=self.resumed,
            pieces_per_second=round(self.pieces / seconds, 2) if whole else None,
            peak_gpu_bytes=torch.cuda.max_memory_allocated(self.device) if cuda else None,
            fit_joules=None if joules is None else round(joules, 1),
            jobs=self.jobs,
            threads=torch.get_num_threads(),
        )
