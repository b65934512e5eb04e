"""Benchmark the time and memory that one clip takes, with each model and other runtimes.

Each model runs in its own process, so that its peak memory is measured separately. Times are
medians in milliseconds, after warm-up runs.
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
import timeit
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import soundfile
import torch

from analysis.sound import compute_display
from analysis.tabs.cards import explained_cards, sound_cards
from cry_model.checkpoint import (
    DEFAULT,
    CheckpointConfig,
    save_checkpoint,
    to_json,
    write_atomically,
)
from cry_model.classifier import CryClassifier
from cry_model.detector import CryDetector
from cry_model.networks.registry import list_models, make_front_end, usual_config
from cry_model.prediction import Prediction
from cry_model.sound import audio
from cry_model.sound.front_end_config import AnyConfig, cut

LABELS = ("belly_pain", "burping", "discomfort", "hungry", "tired")
SECONDS, RATE = 5.0, 44_100
WARM_UP, RUNS, RUNTIME_RUNS = 3, 20, 30
FRAMES, MELS = 250, 80
SCANNED, HEARD = 10.0, "10 s of sound"  # input of a detector
WINDOW, STEP, YAMNET_RATE = 15_600, 7_800, 16_000  # YAMNet's, in samples and Hz

Work = Callable[[], object]
Job = tuple[str, str, str, Work | None]  # model, runtime, input, and the call, None to skip it
Row = dict[str, str | float | None]


def alone(measure: Callable[..., Any], *given: Any) -> Any:
    """Run a measurement in its own process."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(measure, *given).result()


def run_benchmark(out: Path, systems: Sequence[str] | None = None) -> None:
    """Measure every model on one thread and on all cores; print the tables and write ``out``."""
    costs = [
        alone(measure_cost, system, threads)
        for system in systems or list_models()
        for threads in sorted({1, os.cpu_count() or 1})
    ]
    record = {
        "clip": f"{SECONDS:g} s, {RATE} Hz, 16-bit mono wav",
        "runs": RUNS,
        "machine": platform.machine(),
        "cpus": os.cpu_count(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "costs": costs,
        "runtimes": alone(measure_runtimes, systems),
    }
    for table in (costs, record["runtimes"]):
        print(pd.DataFrame(table).to_string(index=False, float_format="%.3g"), end="\n\n")
    write_atomically(out, (to_json(record) + "\n").encode())


def measure_cost(system: str, threads: int) -> dict[str, str | float]:
    """Measure one untrained model in this process.

    Return milliseconds for ``load`` (checkpoint files to classifier), ``decode`` (wav to samples),
    ``features`` (samples to log-mel), ``forward`` (features to logits and attention maps),
    ``total`` (file to answer, timed as a whole, not summed) and ``figures`` (answer to the figures'
    JSON); ``peak_memory`` in MiB includes the drawing libraries.
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
            return front_end(cut(front_end.prepare(recording), front_end.config).waveforms)

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
    """Return every figure that the page draws for a prediction, as the JSON it sends."""
    cards = sound_cards(compute_display(recording), prediction, heard)
    return [card.figure.to_json() for card in (*cards, *explained_cards(prediction))]


def median_ms(work: Callable[[], object]) -> float:
    """Return the median wall time of ``work`` in milliseconds."""
    times = timeit.repeat(work, number=1, repeat=WARM_UP + RUNS)
    return 1000 * statistics.median(times[WARM_UP:])


def write_clip(path: Path) -> None:
    """Write a frequency sweep with harmonics and noise; it has no silence that would be trimmed."""
    t = np.arange(round(SECONDS * RATE)) / RATE
    phase = 2 * np.pi * (400 * t + 20 * np.sin(2 * np.pi * t))
    wave = sum(np.sin(k * phase) / k for k in range(1, 9))
    wave += 0.05 * np.random.default_rng(0).standard_normal(len(t))
    soundfile.write(path, 0.5 * wave / np.abs(wave).max(), RATE, subtype="PCM_16")


def peak_memory_mb() -> float:
    """Return the peak resident set size of this process in MiB; NaN if it is not reported."""
    try:
        import resource
    except ImportError:  # Windows
        return math.nan
    unit = 2**20 if sys.platform == "darwin" else 2**10  # bytes on macOS, kibibytes elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def measure_runtimes(systems: Sequence[str] | None = None) -> list[Row]:
    """Measure torch, onnxruntime and third-party models side by side, on one thread.

    Return a row per model and runtime: the median CPU time of the thread in milliseconds, which
    other load hardly affects; None if the runtime or its files are missing. After a warm-up, all
    jobs take turns, so that they meet the same machine conditions.
    """
    torch.set_num_threads(1)
    os.environ["OMP_NUM_THREADS"] = "1"  # for onnxruntime's sessions, too
    names = [name for name in systems or list_models() if name != "feature-mlp"]
    with tempfile.TemporaryDirectory() as folder, torch.no_grad():
        jobs = [job for name in names for job in _system(name, Path(folder))]
        jobs += [*_others(), *_detectors(Path(folder)), *_default(Path(folder))]
        works = [work for *_, work in jobs if work is not None]
        times = [
            [timeit.timeit(work, timer=time.thread_time, number=1) for work in works]
            for _ in range(WARM_UP + RUNTIME_RUNS)
        ]
    medians = iter((1000 * np.median(times[WARM_UP:], axis=0)).tolist())
    return [
        {
            "model": model,
            "runtime": runtime,
            "input": given,
            "milliseconds": next(medians) if work else None,
        }
        for model, runtime, given, work in jobs
    ]


def _noise(seconds: float, rate: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    return 0.1 * rng.standard_normal(round(seconds * rate), np.float32)


def _if_there(make: Callable[[], Work]) -> Work | None:
    """Return the job to measure; None if a package or file that it needs is missing."""
    try:
        return make()
    except ImportError:
        return None


def _system(name: str, folder: Path) -> Iterator[Job]:
    """Yield the jobs of one of our models: torch from features and from audio, and ONNX graphs."""
    config = CheckpointConfig(name, LABELS, usual_config(name))
    model, front_end = config.build().eval(), make_front_end(config.front_end).eval()
    sound = 10 * torch.from_numpy(_noise(SECONDS, config.front_end.sample_rate))[None]
    features = front_end(sound)

    def graph(kind: str) -> Work:
        from cry_model.backends.onnx_backend import SAMPLES, open_file
        from cry_model.backends.onnx_export import quantise, write_graph

        path = folder / f"{name}.onnx"
        if kind.endswith("int8"):  # replaces the float graph, which has been loaded already
            quantise(path, [sound.numpy()])
        else:
            write_graph(path, model, config)
        session, _, _ = open_file(path)
        return lambda: session.run(None, {SAMPLES: sound.numpy()})

    yield name, "torch", "features", lambda: model(features)
    yield name, "torch", "sound", lambda: model(front_end(sound))
    for kind in ("onnxruntime", "onnxruntime int8"):
        yield name, kind, "sound", _if_there(partial(graph, kind))


def _others() -> Iterator[Job]:
    """Yield SpeechBrain's ECAPA-TDNN at our width, from features only, and YAMNet."""

    def speechbrain() -> Work:
        try:
            from speechbrain.lobes.models.ECAPA_TDNN import ECAPA_TDNN
        except (OSError, RuntimeError) as error:  # if torchaudio's extension fails to load
            raise ImportError from error
        model = ECAPA_TDNN(MELS, channels=[128, 128, 128, 128, 384], lin_neurons=192).eval()
        features = torch.randn(1, FRAMES, MELS)
        return lambda: model(features)

    def yamnet() -> Work:
        from ai_edge_litert.interpreter import Interpreter

        path = Path(os.environ.get("CRY_DATA", "../shared/data")) / "yamnet" / "yamnet.tflite"
        try:
            model = Interpreter(str(path), num_threads=1)
        except ValueError as error:
            raise ImportError from error
        model.allocate_tensors()
        place, sound = model.get_input_details()[0]["index"], _noise(SCANNED, YAMNET_RATE)
        windows = [sound[i : i + WINDOW] for i in range(0, len(sound) - WINDOW + 1, STEP)]

        def tag() -> None:
            for window in windows:
                model.set_tensor(place, window)
                model.invoke()

        return tag

    yield "SpeechBrain ECAPA-TDNN, 128 channels", "torch", "features", _if_there(speechbrain)
    yield "YAMNet", "LiteRT", HEARD, _if_there(yamnet)


def _detectors(folder: Path) -> Iterator[Job]:
    """Yield our cry detector in torch and in onnxruntime."""
    detector = CryDetector.from_pretrained()
    wave, rate = _noise(SCANNED, detector.sample_rate), detector.sample_rate

    def exported() -> Work:
        from cry_model.backends.onnx_backend import DETECTOR, OnnxDetector
        from cry_model.backends.onnx_export import write_graph

        write_graph(folder / DETECTOR, detector.model, detector.config)
        graph, recording = OnnxDetector.from_pretrained(folder), audio.Recording(wave, rate)
        return lambda: graph.scan(recording)

    recording = audio.Recording(torch.from_numpy(wave), rate)
    yield "cry detector", "torch", HEARD, lambda: detector.scan(recording)
    yield "cry detector", "onnxruntime", HEARD, _if_there(exported)


def _default(folder: Path) -> Iterator[Job]:
    """Yield the default model with its detector, from samples to answer."""
    sound, given = _noise(SECONDS, RATE), "5 s at 44.1 kHz to the answer"
    classifier = CryClassifier.from_pretrained()

    def exported() -> Work:
        from cry_model.backends.onnx_export import export_checkpoint

        export_checkpoint(DEFAULT, folder)
        graph = CryClassifier.from_pretrained(folder, backend="onnx")
        return lambda: graph.predict(sound, RATE)

    yield "default", "torch", given, lambda: classifier.predict(sound, RATE)
    yield "default", "onnxruntime", given, _if_there(exported)
