"""Measure torch, onnxruntime and other people's models side by side, on one thread.

Everything is warmed up and then run by turns, so that all meet the same machine. Times are those of
the thread's own work, so that what else runs there counts little. What is not installed, or whose
files are not here, is left out, and the record says so.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch

from cry_model.checkpoint import CheckpointConfig
from cry_model.classifier import CryClassifier
from cry_model.detector import CryDetector
from cry_model.networks.registry import list_models, make_front_end, usual_config
from cry_model.sound.audio import Recording
from cry_model.sound.front_end_config import FrontEndConfig

WARM_UP, RUNS = 3, 30
SECONDS, FRAMES, MELS = 5.0, 250, 80
SCANNED = 10.0  # s, of what a detector hears
WINDOW, STEP, YAMNET_RATE = 15_600, 7_800, 16_000  # samples and Hz, of YAMNet
LABELS = ("belly_pain", "burping", "discomfort", "hungry", "tired")

Work = Callable[[], object]
Row = dict[str, str | float | None]


def measure_runtimes(systems: Sequence[str] | None = None) -> list[Row]:
    """Return a row for each model and runtime: milliseconds in the median, None if left out.

    Classifiers take five seconds of sound at the front end's rate, or 250 frames of features;
    detectors ten seconds. The weights are unfitted, but for those of detectors and the default.
    """
    torch.set_num_threads(1)
    os.environ["OMP_NUM_THREADS"] = "1"  # onnxruntime's sessions, too
    names = [name for name in systems or list_models() if name != "feature-mlp"]
    with tempfile.TemporaryDirectory() as folder, torch.no_grad():
        jobs: list[tuple[str, str, str, Work | None]] = []
        for number, name in enumerate(names):
            jobs += _system(name, Path(folder) / str(number))
        jobs += [*_speechbrain(), *_detectors(Path(folder)), *_default(Path(folder))]
        times: list[list[float]] = [[] for _ in jobs]
        for turn in range(WARM_UP + RUNS):
            for (*_, work), own in zip(jobs, times, strict=True):
                if work is not None:
                    started = time.thread_time()
                    work()
                    own.extend([1000 * (time.thread_time() - started)] if turn >= WARM_UP else [])
    return [
        {
            "model": model,
            "runtime": runtime,
            "input": given,
            "milliseconds": statistics.median(own) if own else None,
        }
        for (model, runtime, given, _), own in zip(jobs, times, strict=True)
    ]


def _noise(seconds: float, rate: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    return 0.1 * rng.standard_normal(round(seconds * rate), np.float32)


def _system(name: str, folder: Path) -> Iterator[tuple[str, str, str, Work | None]]:
    """Yield one of ours in torch, from features and from sound, and as graphs."""
    config = CheckpointConfig(name, LABELS, usual_config(name))
    model, front_end = config.build().eval(), make_front_end(config.front_end).eval()
    sound = 10 * torch.from_numpy(_noise(SECONDS, config.front_end.sample_rate))[None]
    features = front_end(sound)
    yield name, "torch", "features", lambda: model(features)
    yield name, "torch", "sound", lambda: model(front_end(sound))
    for kind, session in _graphs(model, config, folder, sound.numpy()):
        yield name, kind, "sound", session


def _graphs(
    model: torch.nn.Module, config: CheckpointConfig, folder: Path, sound: np.ndarray
) -> Iterator[tuple[str, Work | None]]:
    """Yield a model's graph in float32, then in int8."""
    try:
        from cry_model.backends.onnx_backend import SAMPLES, open_file
        from cry_model.backends.onnx_export import quantise, write_graph

        folder.mkdir()
        path = write_graph(folder / "model.onnx", model, config)
    except ImportError:
        yield from (("onnxruntime", None), ("onnxruntime int8", None))
        return
    for kind in ("onnxruntime", "onnxruntime int8"):
        if kind.endswith("int8"):
            quantise(path, [sound])
        session, _, _ = open_file(path)
        yield kind, lambda session=session: session.run(None, {SAMPLES: sound})


def _speechbrain() -> Iterator[tuple[str, str, str, Work | None]]:
    """Yield SpeechBrain's ECAPA-TDNN as wide as ours, from features alone."""
    what = "SpeechBrain ECAPA-TDNN, 128 channels", "torch", "features"
    try:
        from speechbrain.lobes.models.ECAPA_TDNN import ECAPA_TDNN
    except (ImportError, OSError, RuntimeError):  # torchaudio's extension may not load
        yield *what, None
        return
    model = ECAPA_TDNN(MELS, channels=[128, 128, 128, 128, 384], lin_neurons=192).eval()
    features = torch.randn(1, FRAMES, MELS)
    yield *what, lambda: model(features)


def _detectors(folder: Path) -> Iterator[tuple[str, str, str, Work | None]]:
    """Yield our detector in torch and as a graph, and YAMNet in its own runtime."""
    detector = CryDetector.from_pretrained()
    wave = _noise(SCANNED, detector.sample_rate)
    heard, given = Recording(torch.from_numpy(wave), detector.sample_rate), "10 s of sound"
    yield "cry detector", "torch", given, lambda: detector.scan(heard)
    try:
        from cry_model.backends.onnx_backend import DETECTOR, OnnxDetector
        from cry_model.backends.onnx_export import write_graph

        write_graph(folder / DETECTOR, detector.model, detector.config)
        exported = OnnxDetector.from_pretrained(folder)
    except ImportError:
        yield "cry detector", "onnxruntime", given, None
    else:
        array = Recording(wave, detector.sample_rate)
        yield "cry detector", "onnxruntime", given, lambda: exported.scan(array)
    path = Path(os.environ.get("CRY_DATA", "../shared/data")) / "yamnet" / "yamnet.tflite"
    try:
        from ai_edge_litert.interpreter import Interpreter

        yamnet = Interpreter(str(path), num_threads=1)
    except (ImportError, ValueError):
        yield "YAMNet", "LiteRT", given, None
        return
    yamnet.allocate_tensors()
    place = yamnet.get_input_details()[0]["index"]
    sound = _noise(SCANNED, YAMNET_RATE)
    windows = [sound[i : i + WINDOW] for i in range(0, len(sound) - WINDOW + 1, STEP)]

    def tag() -> None:
        for window in windows:
            yamnet.set_tensor(place, window)
            yamnet.invoke()

    yield "YAMNet", "LiteRT", given, tag


def _default(folder: Path) -> Iterator[tuple[str, str, str, Work | None]]:
    """Yield the default model with its detector, from samples at 44.1 kHz to the answer."""
    sound, given = _noise(SECONDS, 44_100), "5 s at 44.1 kHz to the answer"
    classifier = CryClassifier.from_pretrained()
    assert isinstance(classifier.config.front_end, FrontEndConfig)
    yield "default", "torch", given, lambda: classifier.predict(sound, 44_100)
    try:
        from cry_model.backends.onnx_export import export_checkpoint
        from cry_model.checkpoint import DEFAULT

        export_checkpoint(DEFAULT, folder)
    except ImportError:
        yield "default", "onnxruntime", given, None
        return
    exported = CryClassifier.from_pretrained(folder, backend="onnx")
    yield "default", "onnxruntime", given, lambda: exported.predict(sound, 44_100)
