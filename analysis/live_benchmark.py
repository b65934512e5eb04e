"""What the Live tab costs a server: a step of its stream, and the memory of ten minutes.

A step is a chunk of a quarter of a second from its samples to all that the page changes, on one
thread, in a process of its own. The looks are the bundled gate's; what they say is replaced, so
that the same happens whichever gate is measured.
"""

from __future__ import annotations

import multiprocessing
import statistics
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from analysis.live.drawing import pieces
from analysis.live.listener import LIMIT_SECONDS, Listener
from analysis.live.stream import LOOK, RATE
from analysis.models import EXAMPLE_NAMES, EXAMPLES
from cry_model import audio
from cry_model.classifier import CryClassifier
from cry_model.detector import CryGate
from cry_model.frontend import resample

MICROPHONE = 48_000  # Hz
WARM_UP = 40  # steps
EARLY = 60.0  # s


@dataclass(frozen=True)
class LiveCost:
    """Milliseconds of a step, medians and the slowest of ten minutes; MB of the process.

    Attributes:
        quiet: while no cry lasts.
        cry: while one lasts.
        reasons: the one in four of these that also asks for the reasons.
        slowest: of all steps.
        memory_1_minute, memory_10_minutes: resident size after so much sound.
    """

    quiet: float
    cry: float
    reasons: float
    slowest: float
    memory_1_minute: float
    memory_10_minutes: float


class SwitchedGate(CryGate):
    """A gate that looks as hard as another one, and then says what it was told to."""

    says = 0.0

    def probability(self, waveform: Tensor, sample_rate: int) -> float:
        """As the other one, but for the answer."""
        super().probability(waveform, sample_rate)
        return self.says


def resident_mb() -> float:
    """Resident size of this process now; NaN where the system does not tell."""
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
        lines = dict(line.split(":", 1) for line in status.splitlines())
        return float(lines["VmRSS"].split()[0]) / 2**10
    except OSError:
        return float("nan")


def measure_live(seconds: float = LIMIT_SECONDS) -> LiveCost:
    """Half a minute without a cry, half a minute of one, and so on, as fast as it goes."""
    torch.set_num_threads(1)
    bundled = CryGate.from_pretrained()
    gate = SwitchedGate(bundled.model, bundled.config)
    listener = Listener(gate, CryClassifier.from_pretrained(gate=False))
    example = audio.load(EXAMPLES / next(iter(EXAMPLE_NAMES)))
    cry = resample(example.waveform, example.sample_rate, MICROPHONE).numpy()
    samples = LOOK * MICROPHONE // RATE
    chunks = [cry[i : i + samples] for i in range(0, len(cry) - samples, samples)]
    times: dict[str, list[float]] = {"quiet": [], "cry": [], "reasons": []}
    early = float("nan")
    for step in range(round(seconds * RATE / LOOK)):
        lasting = step // 120 % 2 == 1
        gate.says = float(lasting)
        chunk = chunks[step % len(chunks)] * (1.0 if lasting else 0.0)
        asked, started = listener.answered, time.perf_counter()
        pieces(listener.hear(chunk.astype(np.float32), MICROPHONE), gate.threshold, 0)
        took = 1000 * (time.perf_counter() - started)
        if step >= WARM_UP:
            name = "reasons" if lasting and listener.answered != asked else "cry"
            times[name if lasting else "quiet"].append(took)
        if step == round(EARLY * RATE / LOOK):
            early = resident_mb()
    medians = {name: statistics.median(found) for name, found in times.items()}
    slowest = max(max(found) for found in times.values())
    return LiveCost(
        **medians, slowest=slowest, memory_1_minute=early, memory_10_minutes=resident_mb()
    )


def run_live_benchmark() -> dict[str, Any]:
    """Measures and prints it; a key for the benchmark's JSON."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        cost = pool.submit(measure_live).result()
    print(
        f"live, a step: {cost.quiet:.1f} ms in quiet, {cost.cry:.1f} ms in a cry, "
        f"{cost.reasons:.1f} ms with reasons, {cost.slowest:.1f} ms at most; "
        f"{cost.memory_1_minute:.0f} MB after 1 minute, {cost.memory_10_minutes:.0f} MB after 10"
    )
    return {"live": asdict(cost)}
