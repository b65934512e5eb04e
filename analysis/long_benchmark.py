"""What ten minutes of sound cost the page, and what the gate adds to a clip: in the benchmark.

Each recording is heard in a process of its own with the gate that is bundled. Its looks are
computed as ever; what they say is then replaced by where the cries were put, so that the same
amount of sound is classified whichever gate is measured.
"""

from __future__ import annotations

import multiprocessing
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch

from analysis.measuring import median_ms, peak_memory_mb, write_clip
from analysis.models import EXAMPLE_NAMES, EXAMPLES, load_bundled, load_gate
from analysis.tabs.classify import classify
from cry_model import audio
from cry_model.classifier import CryClassifier
from cry_model.detector import CryGate, CryTrack

LENGTH = 600  # s
EVERY = 30.0  # s from one cry to the next where there are pauses
RUNS = 3


class KnowingGate(CryGate):
    """A gate that looks as hard as another one, and is then told where the cries are."""

    def __init__(self, gate: CryGate, is_cry: Callable[[float], bool]):
        super().__init__(gate.model, gate.config)
        self.is_cry = is_cry

    def scan(
        self, recording: audio.Recording, progress: Callable[[float], None] = lambda share: None
    ) -> CryTrack:
        """As the other one; certain in looks whose middle lies in a cry."""
        track = super().scan(recording, progress)
        known = (float(self.is_cry(start + track.seconds / 2)) for start in track.starts)
        return replace(track, probabilities=tuple(known))


@dataclass(frozen=True)
class LongCost:
    """Ten minutes on the page.

    Attributes:
        cry_seconds: how much of it was classified, by every model.
        seconds: from the file to the JSON of the first model's view, the median.
        processor_seconds: of all cores together, the least: what a busy machine changes least.
        peak_memory: MB, greatest resident size of the process.
    """

    recording: str
    cries: int
    cry_seconds: float
    seconds: float
    processor_seconds: float
    peak_memory: float


RECORDINGS = {
    "all of it a cry, 44.1 kHz stereo": (44_100, 2, False),
    "all of it a cry, 16 kHz": (16_000, 1, False),
    "a cry each half minute in noise, 44.1 kHz stereo": (44_100, 2, True),
    "a cry each half minute in noise, 16 kHz": (16_000, 1, True),
}
"""Name -> sample rate in Hz, channels, whether there are pauses."""


def write_minutes(path: Path, rate: int, channels: int, pauses: bool) -> Callable[[float], bool]:
    """Loops of our own example, 16-bit; gives what tells whether a second lies in a cry."""
    example = audio.load(EXAMPLES / next(iter(EXAMPLE_NAMES)))
    grid = np.arange(round(example.duration * rate)) / rate
    given = np.arange(len(example.waveform)) / example.sample_rate
    cry = np.interp(grid, given, example.waveform.numpy())
    length = LENGTH * rate
    if pauses:
        wave = 0.003 * np.random.default_rng(0).standard_normal(length)
        for start in range(0, length, round(EVERY * rate)):
            wave[start : start + len(cry)] += cry
    else:
        wave = np.resize(cry, length)
    soundfile.write(path, np.stack([wave] * channels, 1), rate, subtype="PCM_16")
    return lambda second: not pauses or second % EVERY < example.duration


def measure_minutes(name: str) -> LongCost:
    """Hears one of :data:`RECORDINGS` in this process, with all bundled models."""
    models, gate = load_bundled(), load_gate()
    if gate is None:
        raise FileNotFoundError("The bundled gate is not there; please fetch it first.")
    classify(models, str(EXAMPLES / next(iter(EXAMPLE_NAMES))), gate=gate)  # librosa compiles
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "minutes.wav"
        knowing = KnowingGate(gate, write_minutes(path, *RECORDINGS[name]))
        times, processor = [], []
        for _ in range(RUNS):
            started, worked = time.perf_counter(), time.process_time()
            view, heard = classify(models, str(path), gate=knowing)
            for section in view.sections:
                if section.figure is not None:
                    section.figure.to_json()
            times.append(time.perf_counter() - started)
            processor.append(time.process_time() - worked)
    track = heard.answers[models[0].name].track
    return LongCost(
        name,
        len(track.spans),
        sum(span.seconds for span in track.spans),
        statistics.median(times),
        min(processor),
        peak_memory_mb(),
    )


@dataclass(frozen=True)
class GateCost:
    """A clip of five seconds, from file to answer by the default model, on one thread, in ms."""

    without: float
    with_gate: float

    @property
    def ratio(self) -> float:
        """What the gate makes of one millisecond."""
        return self.with_gate / self.without


def measure_gate() -> GateCost:
    """The clip of the benchmark, all of which is classified either way."""
    torch.set_num_threads(1)
    gate = load_gate()
    if gate is None:
        raise FileNotFoundError("The bundled gate is not there; please fetch it first.")
    alone = CryClassifier.from_pretrained(gate=False)
    knowing = KnowingGate(gate, lambda second: True)
    gated = CryClassifier(alone.model, alone.config, gate=knowing)
    with tempfile.TemporaryDirectory() as folder:
        clip = Path(folder) / "clip.wav"
        write_clip(clip)
        return GateCost(
            median_ms(lambda: alone.predict(clip)), median_ms(lambda: gated.predict(clip))
        )


def run_long_benchmark() -> dict[str, Any]:
    """Measures and prints all of it; two keys for the benchmark's JSON."""
    context = multiprocessing.get_context("spawn")

    def apart(work: Callable[..., Any], *arguments: str) -> Any:
        with ProcessPoolExecutor(1, mp_context=context) as pool:
            return pool.submit(work, *arguments).result()

    minutes = []
    for name in RECORDINGS:
        minutes.append(apart(measure_minutes, name))
        cost = minutes[-1]
        print(f"{name:50} {cost.seconds:5.2f} s (processor {cost.processor_seconds:5.2f} s)")
    gate = apart(measure_gate)
    print(f"gate: {gate.without:.1f} ms without, {gate.with_gate:.1f} ms with ({gate.ratio:.2f})")
    return {
        "ten_minutes": {"cpus": os.cpu_count(), "costs": [asdict(cost) for cost in minutes]},
        "gate": {**asdict(gate), "ratio": gate.ratio},
    }
