"""Write model cards: metadata for the Hub, and text from a template filled from the config.

The run time of exported files is measured when they are written, and read back for the card.
"""

from __future__ import annotations

import json
import math
import platform
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from huggingface_hub import EvalResult, ModelCard, ModelCardData

from cry_model import records
from cry_model.backends.onnx_backend import DETECTOR, FRAMES, MODEL, SAMPLES, open_file
from cry_model.backends.onnx_export import FEATURE_MEANS
from cry_model.checkpoint import (
    PAPER_REFERENCE,
    CheckpointConfig,
    CheckpointError,
    write_atomically,
)
from cry_model.networks.registry import ON_FEATURES, get_system

TEMPLATES = Path(__file__).parent
TASK = "audio-classification"
HUB_TYPES = {"macro_f1": "f1", "macro_auc": "roc_auc"}  # names at hf.co/metrics
TITLES = {"macro_f1": "Macro F1", "macro_auc": "Macro AUC"}
ON_THE_HUB = {name: ["ashraq/esc50"] for name in ("esc10", "cries", "detector")}
"""Dataset -> Hub datasets with all or some of its recordings; other datasets are not there."""


def model_card(
    config: CheckpointConfig,
    parameters: int,
    repo_id: str,
    exported: Sequence[Mapping[str, Any]] = (),
) -> str:
    """Return the README.md of a classifier or detector, for the repository "user/name".

    ``exported`` describes the exported files published with it, as :func:`read_exported` does."""
    evaluation = config.evaluation
    card = ModelCard.from_template(
        metadata(config, repo_id),
        str(TEMPLATES / ("card.md.j2" if config.detector is None else "detector_card.md.j2")),
        config=config,
        model=get_system(config.system).title,
        parameters=parameters,
        repo_id=repo_id,
        exported=exported,
        evaluation=evaluation,
        agreement=config.agreement,
        calibration=config.calibration,
        detector=config.detector,
        records=records,
        rarest=evaluation and min(evaluation.support, key=evaluation.support.get, default=None),
        on_features=config.system == ON_FEATURES,
        settings=list(settings_of(config.training)),
        paper=json.loads(PAPER_REFERENCE.read_text(encoding="utf-8"))["source"],
        text=escape,
        title=title,
    )
    return f"{card}\n"


def metadata(config: CheckpointConfig, repo_id: str) -> ModelCardData:
    """Return the metadata that the Hub indexes and shows next to the text."""
    results = [] if config.evaluation is None else eval_results(config.evaluation)
    facts = (config.training.get(name) or {} for name in ("teacher", "start"))
    based_on = list(dict.fromkeys(own["name"] for own in facts if "/" in str(own.get("name"))))
    return ModelCardData(
        license="apache-2.0",
        library_name="pytorch",
        pipeline_tag=TASK,
        tags=[TASK, "infant-cry", config.system],
        datasets=ON_THE_HUB.get(str(config.training.get("dataset"))),
        metrics=[result.metric_type for result in results] or None,
        base_model=based_on or None,  # teacher and initial weights, if they are on the Hub
        model_name=repo_id.split("/")[-1],
        eval_results=results or None,
    )


def eval_results(evaluation: records.Evaluation) -> list[EvalResult]:
    """Return the metrics with finite values, each with dataset and protocol in its name."""
    where = f"{records.dataset_title(evaluation.dataset)}, protocol {evaluation.protocol}"
    return [
        EvalResult(
            task_type=TASK,
            task_name="Infant cry classification",
            dataset_type=evaluation.dataset,
            dataset_name=where,
            metric_type=HUB_TYPES.get(name, name),
            metric_name=f"{title(name)} on {where}",
            metric_value=estimate.value,
            metric_args={"interval_95": [estimate.low, estimate.high]},
        )
        for name, estimate in evaluation.metrics.items()
        if all(math.isfinite(v) for v in (estimate.value, estimate.low, estimate.high))
    ]


def settings_of(training: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield nested settings as rows: ``{"preset": {"epochs": 30}}`` -> ("preset.epochs", 30)."""
    for key, value in training.items():
        if isinstance(value, Mapping):
            yield from settings_of(value, f"{prefix}{key}.")
        elif f"{prefix}{key}" not in ("dataset", "licence", "recordings"):  # in the card's text
            yield f"{prefix}{key}", value


def title(metric: str) -> str:
    """Return the title of a metric for a table."""
    return TITLES.get(metric, records.words(metric).capitalize())


def escape(value: Any) -> str:
    """Escape text for a Markdown table cell: one line, no pipes and no tags."""
    text = " ".join(str(value).split())
    return text.replace("&", "&amp;").replace("<", "&lt;").replace("|", "\\|")


WARM_UP, RUNS = 3, 20
MEASURED = ("milliseconds", "measured_on", "machine", "precision")
"""Metadata keys: median time of one thread, its input, machine and runtime; numeric precision."""


def add_measurement(path: Path) -> None:
    """Measure the run time of a file on one thread and write it into the file's metadata.

    The measure is the thread's CPU time, so other load on the machine has little effect.
    """
    import onnx
    import onnxruntime

    _, config, _ = open_file(path)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    given, sound = _input(config)
    times = []
    for _ in range(WARM_UP + RUNS):
        started = time.thread_time()
        session.run(None, given)
        times.append(1000 * (time.thread_time() - started))
    graph = onnx.load(str(path))
    quantised = any(node.op_type == "QuantizeLinear" for node in graph.graph.node)
    facts = {entry.key: entry.value for entry in graph.metadata_props}
    took = f"{np.median(times[WARM_UP:]):.2f}"
    machine = f"{platform.machine()}, onnxruntime {onnxruntime.__version__}"
    precision = "int8" if quantised else "float32"
    facts |= zip(MEASURED, (took, sound, machine, precision), strict=True)
    onnx.helper.set_model_props(graph, facts)
    write_atomically(path, graph.SerializeToString())


def _input(config: CheckpointConfig) -> tuple[dict[str, np.ndarray], str]:
    """Return the input for the run-time measurement, and its description."""
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


def read_exported(folder: Path, config: CheckpointConfig) -> list[dict[str, Any]]:
    """Describe the exported files in a checkpoint's folder: name, megabytes, and :data:`MEASURED`,
    None where not measured. Raise CheckpointError if one is unusable or was exported from another
    checkpoint."""
    found = []
    for path in (folder / name for name in (MODEL, DETECTOR) if (folder / name).is_file()):
        _, own, facts = open_file(path)
        if (own.detector is None) == (config.detector is None) and own != config:
            raise CheckpointError(
                f"'{path}' was exported from another checkpoint; export this one again, or delete "
                "the file."
            )
        size = {"name": path.name, "megabytes": path.stat().st_size / 2**20}
        found.append(size | {key: facts.get(key) for key in MEASURED})
    return found
