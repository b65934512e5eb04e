"""What every measurement of the product's speed shares: a clip, a median, the memory."""

from __future__ import annotations

import math
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile

SECONDS, RATE = 5.0, 44_100
WARM_UP, RUNS = 3, 20


def median_ms(work: Callable[[], object]) -> float:
    """Median wall time of ``work`` in milliseconds."""
    times = []
    for i in range(WARM_UP + RUNS):
        started = time.perf_counter()
        work()
        if i >= WARM_UP:
            times.append(1000 * (time.perf_counter() - started))
    return statistics.median(times)


def write_clip(path: Path) -> None:
    """A sweep with harmonics and noise: nothing in it is silence, so nothing is trimmed."""
    t = np.arange(round(SECONDS * RATE)) / RATE
    phase = 2 * np.pi * (400 * t + 20 * np.sin(2 * np.pi * t))
    wave = sum(np.sin(k * phase) / k for k in range(1, 9))
    wave += 0.05 * np.random.default_rng(0).standard_normal(len(t))
    soundfile.write(path, 0.5 * wave / np.abs(wave).max(), RATE, subtype="PCM_16")


def peak_memory_mb() -> float:
    """Greatest resident size of this process so far."""
    try:
        import resource
    except ImportError:
        return math.nan
    unit = 2**20 if sys.platform == "darwin" else 2**10  # bytes there, kilobytes elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
