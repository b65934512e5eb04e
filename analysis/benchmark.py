"""Measure the time and memory that one clip costs with each model.

Each model runs in a process of its own, so that the peak of its memory is its own. Times are
medians in milliseconds; the first runs are not counted.
"""

from __future__ import annotations

import math
import multiprocessing
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile
import torch

from analysis.runtimes import measure_runtimes
from analysis.sound import compute_display
from analysis.tabs.cards import explained_cards, sound_cards
from cry_model.checkpoint import CheckpointConfig, save_checkpoint, to_json, write_atomically
from cry_model.classifier import CryClassifier
from cry_model.networks.registry import list_models, usual_config
from cry_model.prediction import Prediction
from cry_model.sound import audio
from cry_model.sound.front_end_config import AnyConfig

LABELS = ("belly_pain", "burping", "discomfort", "hungry", "tired")
SECONDS, RATE = 5.0, 44_100
WARM_UP, RUNS = 3, 20


def run_benchmark(out: Path, systems: Sequence[str] | None = None) -> None:
    """Measure every model on one thread and on all, print a table and write ``out``."""
    costs = []
    for system in systems or list_models():
        for threads in sorted({1, os.cpu_count() or 1}):
            with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
                costs.append(pool.submit(measure_cost, system, threads).result())
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        runtimes = pool.submit(measure_runtimes, systems).result()
    record = {
        "clip": f"{SECONDS:g} s, {RATE} Hz, 16-bit mono wav",
        "runs": RUNS,
        "machine": platform.machine(),
        "cpus": os.cpu_count(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "costs": costs,
        "runtimes": runtimes,
    }
    for table in (costs, runtimes):
        print(pd.DataFrame(table).to_string(index=False, float_format="%.3g"), end="\n\n")
    write_atomically(out, (to_json(record) + "\n").encode())


def measure_cost(system: str, threads: int) -> dict[str, str | float]:
    """Measure one unfitted model in this process.

    Returns:
        system; threads; in milliseconds load (from the checkpoint's files to a classifier), decode
        (a wav to samples), features (resampling, band, level, trim, cut, log-mel), forward
        (features to logits and attention maps), total (file to answer, measured as one, not the
        sum of the parts), figures (answer to the figures' JSON); real_time_factor (total over the
        length of the clip); peak_memory in MB, the drawing libraries included, NaN where the system
        does not tell.
    """
    torch.set_num_threads(threads)
    with tempfile.TemporaryDirectory() as folder, torch.no_grad():
        clip, checkpoint = Path(folder) / "clip.wav", Path(folder) / "checkpoint"
        write_clip(clip)
        config = CheckpointConfig(system, LABELS, usual_config(system))
        save_checkpoint(checkpoint, config.build(), config)
        classifier = CryClassifier.from_pretrained(checkpoint, detector=False)
        front_end, recording = classifier.front_end, audio.load(clip)

        def features() -> torch.Tensor:
            return front_end(front_end.cut(front_end.prepare(recording)).waveforms)

        computed, prediction = features(), classifier.predict(clip)
        times = {
            "load": median_ms(lambda: CryClassifier.from_pretrained(checkpoint, detector=False)),
            "decode": median_ms(lambda: audio.load(clip)),
            "features": median_ms(features),
            "forward": median_ms(lambda: classifier.model(computed, return_attention=True)),
            "total": median_ms(lambda: classifier.predict(clip)),
        }
        peak = peak_memory_mb()
        figures = median_ms(lambda: draw(recording, prediction, config.front_end))
    return {
        "system": system,
        "threads": threads,
        **times,
        "figures": figures,
        "real_time_factor": times["total"] / (1000 * SECONDS),
        "peak_memory": peak,
    }


def draw(recording: audio.Recording, prediction: Prediction, heard: AnyConfig) -> list[str]:
    """Return every figure that the page draws for a prediction, as the JSON that it sends."""
    cards = sound_cards(compute_display(recording), prediction, heard)
    cards |= explained_cards(prediction)
    return [card.figure.to_json() for card in cards.values()]


def median_ms(work: Callable[[], object]) -> float:
    """Return the median wall time of ``work`` in milliseconds."""
    times = []
    for _ in range(WARM_UP + RUNS):
        started = time.perf_counter()
        work()
        times.append(1000 * (time.perf_counter() - started))
    return statistics.median(times[WARM_UP:])


def write_clip(path: Path) -> None:
    """Write a sweep with harmonics and noise: nothing in it is silence, so nothing is trimmed."""
    t = np.arange(round(SECONDS * RATE)) / RATE
    phase = 2 * np.pi * (400 * t + 20 * np.sin(2 * np.pi * t))
    wave = sum(np.sin(k * phase) / k for k in range(1, 9))
    wave += 0.05 * np.random.default_rng(0).standard_normal(len(t))
    soundfile.write(path, 0.5 * wave / np.abs(wave).max(), RATE, subtype="PCM_16")


def peak_memory_mb() -> float:
    """Return the greatest resident size of this process so far; NaN where it is not told."""
    try:
        import resource
    except ImportError:  # Windows
        return math.nan
    unit = 2**20 if sys.platform == "darwin" else 2**10  # bytes there, kilobytes elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
