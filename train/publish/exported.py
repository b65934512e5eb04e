"""Measure exported files when they are written, and read it again for the model card."""

from __future__ import annotations

import os
import platform
import statistics
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cry_model.backends.onnx_backend import DETECTOR, FRAMES, MODEL, SAMPLES, open_file
from cry_model.backends.onnx_export import FEATURE_MEANS
from cry_model.checkpoint import CheckpointConfig, CheckpointError, write_atomically
from cry_model.networks.registry import ON_FEATURES

WARM_UP, RUNS = 3, 20
MILLISECONDS, SOUND, MACHINE, PRECISION = "milliseconds", "measured_on", "machine", "precision"
"""Keys of a file's metadata: what one thread took in the median, for what, where; the numbers."""


@dataclass(frozen=True)
class Exported:
    """Say of an exported file what it weighs, computes in and takes; None where not measured."""

    name: str
    megabytes: float
    precision: str | None
    milliseconds: float | None
    sound: str | None
    machine: str | None


def add_measurement(path: Path) -> None:
    """Run a file on one thread, and write into its metadata how long that took.

    The time is that of the thread's own work, so that what else runs on the machine counts little.
    """
    import onnx
    import onnxruntime

    threads = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = "1"
    try:
        session, config, _ = open_file(path)
    finally:
        os.environ.pop("OMP_NUM_THREADS")
        if threads is not None:
            os.environ["OMP_NUM_THREADS"] = threads
    given, sound = _input(config)
    times = []
    for _ in range(WARM_UP + RUNS):
        started = time.thread_time()
        session.run(None, given)
        times.append(1000 * (time.thread_time() - started))
    graph = onnx.load(str(path))
    quantised = any(node.op_type == "QuantizeLinear" for node in graph.graph.node)
    facts = {entry.key: entry.value for entry in graph.metadata_props}
    facts |= {
        MILLISECONDS: f"{statistics.median(times[WARM_UP:]):.2f}",
        SOUND: sound,
        MACHINE: f"{platform.machine()}, onnxruntime {onnxruntime.__version__}",
        PRECISION: "int8" if quantised else "float32",
    }
    onnx.helper.set_model_props(graph, facts)
    write_atomically(path, graph.SerializeToString())


def _input(config: CheckpointConfig) -> tuple[dict[str, np.ndarray], str]:
    """Return what a file is measured with, and that in words."""
    if config.system == ON_FEATURES:
        return {
            FEATURE_MEANS: np.zeros((1, config.front_end.num_bands), np.float32)
        }, "one recording"
    front_end, rng = config.front_end, np.random.default_rng(0)
    seconds = front_end.piece_seconds if config.detector is None else 10.0
    samples = round(seconds * front_end.sample_rate)
    given = {SAMPLES: rng.standard_normal((1, samples)).astype(np.float32)}
    if config.detector is not None:
        given[FRAMES] = np.array(round(front_end.piece_seconds / front_end.hop_seconds), np.int64)
    return given, f"{seconds:g} s of sound"


def read_exported(folder: Path, config: CheckpointConfig) -> list[Exported]:
    """Return what is known of the exported files in a checkpoint's folder; raise CheckpointError if
    one cannot be used, or was exported from another checkpoint."""
    found = []
    for path in (folder / name for name in (MODEL, DETECTOR) if (folder / name).is_file()):
        _, own, facts = open_file(path)
        if (own.detector is None) == (config.detector is None) and own != config:
            raise CheckpointError(
                f"'{path}' was exported from another checkpoint; export this one again, or delete "
                "the file."
            )
        took = facts.get(MILLISECONDS)
        found.append(
            Exported(
                name=path.name,
                megabytes=path.stat().st_size / 2**20,
                precision=facts.get(PRECISION),
                milliseconds=None if took is None else float(took),
                sound=facts.get(SOUND),
                machine=facts.get(MACHINE),
            )
        )
    return found
