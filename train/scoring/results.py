"""Result files: ``<dataset>/<protocol>/<system>/run.json`` and ``predictions.csv``.

A row of predictions is a piece: clip, recording, group, fold, seed, label and ``p_<label>`` for
each class. The score of a recording is the mean of its pieces.
"""

from __future__ import annotations

import contextlib
import json
import platform
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from accelerate import Accelerator
from numpy.typing import NDArray

from cry_model.checkpoint import to_json, write_atomically
from cry_model.metrics import evaluate
from cry_model.records import Evaluation
from cry_model.run_files import (
    PREDICTIONS,
    RUN,
    DamagedFileError,
    probability_columns,
    read_record,
    read_table,
    require_columns,
    require_unique,
)
from cry_model.run_files import read_predictions as read
from train.data.corpus import DataError

TEACHER = "teacher.csv"
TeacherPredictions = Mapping[str, NDArray[np.float64]]
"""Recording -> what a teacher answered, (classes,)."""


@contextlib.contextmanager
def trusting(path: Path) -> Iterator[None]:
    """Turn what goes wrong with the contents of a result file into a sentence about it.

    Raises:
        DataError: if they are not what was written there; it says what to do.
    """
    try:
        yield
    except DataError:
        raise
    except DamagedFileError as error:
        raise DataError(f"{path} {error}; restore the file, or delete {path.parent}.") from error
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise DataError(
            f"{path} is damaged: it is not as 'python -m train' writes it ({error!r}); restore "
            f"the file, or delete {path.parent}."
        ) from error


def read_predictions(
    folder: Path,
    labels: Sequence[str] | None = None,
) -> pd.DataFrame:
    """The predictions of a run, or an empty table if it has none yet.

    Args:
        folder: of the run.
        labels: of the run; None takes those that have a column.

    Raises:
        DataError: if the file is damaged.
    """
    path = folder / PREDICTIONS
    with trusting(path):
        return read(path, labels) if path.exists() else pd.DataFrame()


def ordered(table: pd.DataFrame, labels: Sequence[str]) -> pd.DataFrame:
    """The columns in the order in which they are documented."""
    first = ["clip", "recording", "group", "fold", "seed", "label"]
    return table[[*first, *probability_columns(labels)]]


def resume(folder: Path, configuration: dict[str, Any], name: str = PREDICTIONS) -> dict[str, Any]:
    """The record of a run to go on with, or a new one.

    Raises:
        DataError: if the folder holds a run of another configuration.
    """
    if not (folder / name).exists():  # nothing was fitted: nothing can be mixed up
        return {"configuration": configuration}
    record = read_run(folder)
    if record is None:
        raise DataError(f"{folder} holds predictions of an unknown run; delete it.")
    # Through JSON, as the one on disk went: tuples are lists there.
    if record["configuration"] != json.loads(json.dumps(configuration)):
        raise DataError(
            f"{folder} holds a run with other settings or data; delete it or choose another --out."
        )
    return record


def read_run(folder: Path) -> dict[str, Any] | None:
    """What :func:`write_run` wrote; None if there is nothing.

    Raises:
        DataError: if the file is damaged.
    """
    path = folder / RUN
    with trusting(path):
        return read_record(path) if path.exists() else None


def write_predictions(folder: Path, table: pd.DataFrame, name: str = PREDICTIONS) -> None:
    """Replaces the predictions of a run; probabilities keep six decimals."""
    folder.mkdir(parents=True, exist_ok=True)
    csv = table.to_csv(index=False, float_format="%.6f", lineterminator="\n")
    write_atomically(folder / name, csv.encode())


def whole_seeds(table: pd.DataFrame, folds: int) -> pd.DataFrame:
    """The predictions of the seeds that have all of their folds."""
    found = table.groupby("seed")["fold"].nunique()
    return table[table["seed"].isin(found.index[found == folds])]


def per_recording(table: pd.DataFrame, labels: Sequence[str]) -> pd.DataFrame:
    """Averages the pieces of each recording, within a seed.

    Under the ``clip`` protocol they come from several folds, each from the fit that did not learn
    from it.
    """
    keys = ["recording", "group", "seed", "label"]
    return table.groupby(keys, as_index=False, sort=False)[probability_columns(labels)].mean()


def score(table: pd.DataFrame, labels: Sequence[str], **facts: object) -> Evaluation:
    """Metrics of a table of pieces or of recordings, pooled over folds and seeds."""
    index = {label: i for i, label in enumerate(labels)}
    return evaluate(
        table["label"].map(index).to_numpy(),
        table[probability_columns(labels)].to_numpy(dtype=np.float64),
        table["group"].tolist(),
        table["recording"].tolist(),
        labels,
        seeds=tuple(int(s) for s in sorted(table["seed"].unique())),
        **facts,
    )


def write_teacher(
    folder: Path, teacher_predictions: TeacherPredictions, labels: Sequence[str]
) -> None:
    """``teacher.csv``: what the teacher answered for each recording, ``t_<label>``."""
    table = pd.DataFrame(teacher_predictions.values(), columns=[f"t_{label}" for label in labels])
    table.insert(0, "recording", list(teacher_predictions))
    csv = table.to_csv(index=False, float_format="%.6f", lineterminator="\n")
    write_atomically(folder / TEACHER, csv.encode())


def read_teacher(folder: Path, labels: Sequence[str]) -> dict[str, NDArray[np.float64]] | None:
    """What :func:`write_teacher` wrote; None if there was no teacher.

    Raises:
        DataError: if the file is damaged.
    """
    path, columns = folder / TEACHER, [f"t_{label}" for label in labels]
    if not path.exists():
        return None
    with trusting(path):
        table = read_table(path)
        require_columns(table, ["recording"], numbers=columns)
        rows = table[columns].to_numpy(dtype=np.float64)
        require_unique(table, "recording")
        return dict(zip(table["recording"], rows, strict=True))


def environment(accelerator: Accelerator) -> dict[str, Any]:
    """Device, precision and versions, for ``run.json``."""
    device = accelerator.device
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine()
    return {
        "device": device.type,
        "device_name": name,
        "precision": {"no": "float32", "bf16": "bfloat16"}[accelerator.mixed_precision],
        "processes": accelerator.num_processes,
        "threads": torch.get_num_threads(),
        "deterministic": torch.are_deterministic_algorithms_enabled() or device.type == "cpu",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
    }


def write_run(
    folder: Path, run: dict[str, Any], scores: Mapping[str, Evaluation] | None = None
) -> None:
    """Writes ``run.json``: configuration, environment, and the metrics per piece and recording."""
    metrics = {unit: asdict(evaluation) for unit, evaluation in (scores or {}).items()}
    write_record(folder, {**run, "metrics": metrics})


def write_record(folder: Path, record: dict[str, Any]) -> None:
    """Replaces ``run.json``."""
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / RUN, (to_json(record) + "\n").encode())
