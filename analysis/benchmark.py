"""``python -m analysis benchmark``: what one clip of five seconds costs, for every system.

Each system runs in a process of its own, so that the peak of its memory is its own. Times are
medians; the first runs are not counted. Unless systems are named, ten minutes of sound
(:mod:`analysis.long_benchmark`) and the live stream (:mod:`analysis.live_benchmark`) follow.
"""

from __future__ import annotations

import multiprocessing
import os
import platform
import tempfile
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from pathlib import Path

import torch

from analysis.live_benchmark import run_live_benchmark
from analysis.long_benchmark import run_long_benchmark
from analysis.measuring import RATE, RUNS, SECONDS, median_ms, peak_memory_mb, write_clip
from analysis.sound import picture
from analysis.stats.side_results import Cost
from analysis.tabs.classify import sections
from cry_model import audio
from cry_model.checkpoint import CheckpointConfig, save_checkpoint, to_json, write_atomically
from cry_model.classifier import CryClassifier
from cry_model.prediction import Prediction
from cry_model.registry import get_system, list_models, usual_config

LABELS = ("belly_pain", "burping", "discomfort", "hungry", "tired")


def draw(recording: audio.Recording, prediction: Prediction, high_hz: float) -> list[str]:
    """Every figure that the page draws for this system, as the JSON that it sends."""
    shown = sections(picture(recording), prediction, high_hz)
    return [section.figure.to_json() for section in shown if section.figure is not None]


def measure_cost(system: str, threads: int) -> Cost:
    """Times one system in this process."""
    torch.set_num_threads(threads)
    with tempfile.TemporaryDirectory() as folder:
        clip, checkpoint = Path(folder) / "clip.wav", Path(folder) / "checkpoint"
        write_clip(clip)
        config = CheckpointConfig(system, LABELS, usual_config(system))
        save_checkpoint(checkpoint, config.build(), config)
        load = median_ms(lambda: CryClassifier.from_pretrained(checkpoint, gate=False))
        classifier = CryClassifier.from_pretrained(checkpoint, gate=False)
        front_end, model = classifier.front_end, classifier.model
        recording = audio.load(clip)

        def features() -> torch.Tensor:
            return front_end(front_end.cut(front_end.prepare(recording)).waveforms)

        with torch.inference_mode():
            heard = features()
            split = {
                "decode": median_ms(lambda: audio.load(clip)),
                "features": median_ms(features),
                "forward": median_ms(lambda: model(heard, return_attention=True)),
                "total": median_ms(lambda: classifier.predict(clip)),
            }
        peak = peak_memory_mb()
        prediction, high_hz = classifier.predict(clip), config.front_end.high_hz
        figures = median_ms(lambda: draw(recording, prediction, high_hz))
    factor = split["total"] / (1000 * SECONDS)
    return Cost(
        system, threads, load, figures=figures, real_time_factor=factor, peak_memory=peak, **split
    )


def run_benchmark(out: Path, systems: list[str] | None = None) -> list[Cost]:
    """Measures every system on one thread and on all, prints a table and writes ``out``."""
    counts = sorted({1, os.cpu_count() or 1})
    costs = []
    print(HEADER)
    for system in systems or list_models():
        for threads in counts:
            context = multiprocessing.get_context("spawn")
            with ProcessPoolExecutor(1, mp_context=context) as pool:
                costs.append(pool.submit(measure_cost, system, threads).result())
            print(row(costs[-1]), flush=True)
    record = {
        "clip": f"{SECONDS:g} s, {RATE} Hz, 16-bit mono wav",
        "runs": RUNS,
        "machine": platform.machine(),
        "cpus": os.cpu_count(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "costs": [asdict(cost) for cost in costs],
    }
    if systems is None:
        record |= run_long_benchmark() | run_live_benchmark()
    write_atomically(out, (to_json(record) + "\n").encode())
    return costs


HEADER = (
    f"{'system':46} threads    load  decode features forward   total figures    RTF  peak MB\n"
    f"{'':46}              ms      ms       ms      ms      ms      ms"
)


def row(cost: Cost) -> str:
    """One line of the printed table."""
    return (
        f"{get_system(cost.system).title:46} {cost.threads:7d} {cost.load:7.1f} {cost.decode:7.1f} "
        f"{cost.features:8.1f} {cost.forward:7.1f} {cost.total:7.1f} {cost.figures:7.1f} "
        f"{cost.real_time_factor:6.4f} {cost.peak_memory:8.0f}"
    )
