"""The energy that a device takes, where it has a counter and we may read it.

A GPU's counter is NVML's, in millijoules since its driver was loaded; a processor's are Linux's
RAPL zones (``/sys/class/powercap``), in microjoules. Each is of the whole device, whoever uses it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

POWERCAP = Path("/sys/class/powercap")


@dataclass(frozen=True)
class Counter:
    """One counter.

    Attributes:
        read: its value, joules; raises OSError or ValueError if it cannot be read.
        span: joules after which it begins at zero again; infinite for never.
    """

    read: Callable[[], float]
    span: float = math.inf


class Energy:
    """Joules that have been taken since this was made.

    It has to be looked at more often than its counters begin anew: after some minutes at full load.
    """

    def __init__(self, counters: Sequence[Counter]) -> None:
        self.counters = counters
        self.last = self.read()
        self.joules: float | None = 0.0 if self.last else None

    def read(self) -> list[float]:
        """What the counters show; empty if there is none, or one cannot be read."""
        try:
            return [counter.read() for counter in self.counters]
        except (OSError, ValueError):
            return []

    def look(self) -> float | None:
        """Joules until now; None if there is no counter, or one could not be read."""
        if self.joules is None:
            return None
        values = self.read()
        if not values:
            self.joules = None
            return None
        for value, before, counter in zip(values, self.last, self.counters, strict=True):
            self.joules += value - before + (counter.span if value < before else 0.0)
        self.last = values
        return self.joules


def counters_of(device: torch.device) -> tuple[Counter, ...]:
    """Those of the device; none where it has none."""
    return gpu_counters(device) if device.type == "cuda" else package_counters(POWERCAP)


def package_counters(folder: Path) -> tuple[Counter, ...]:
    """Of each processor package, without the zones that are parts of one or of the whole platform.

    Args:
        folder: of the zones, ``intel-rapl:<n>``.
    """
    try:
        zones = [
            zone
            for zone in sorted(folder.glob("intel-rapl:*"))
            if (zone / "name").read_text().startswith("package")
        ]
        return tuple(
            Counter(lambda zone=zone: microjoules(zone / "energy_uj"), span)
            for zone in zones
            for span in [microjoules(zone / "max_energy_range_uj")]
        )
    except (OSError, ValueError):
        return ()


def microjoules(path: Path) -> float:
    """Joules that a file gives in microjoules."""
    return int(path.read_text()) / 1e6


def gpu_counters(device: torch.device) -> tuple[Counter, ...]:
    """Of one GPU, if the package ``pynvml`` is installed and it has one (from Volta on)."""
    try:
        import pynvml
    except ImportError:
        return ()

    def read() -> float:
        try:
            return pynvml.nvmlDeviceGetTotalEnergyConsumption(handle) / 1e3
        except pynvml.NVMLError as error:
            raise OSError(str(error)) from error

    try:
        pynvml.nvmlInit()
        # By its name: NVML numbers all GPUs, CUDA those that this process may see.
        name = f"GPU-{torch.cuda.get_device_properties(device).uuid}"
        handle = pynvml.nvmlDeviceGetHandleByUUID(name)
    except (AttributeError, pynvml.NVMLError):
        return ()
    return (Counter(read),)
