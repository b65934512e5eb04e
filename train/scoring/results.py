"""Locate result folders, read and validate runs to resume, and store teacher predictions."""

from __future__ import annotations

import contextlib
import json
import platform
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from accelerate import Accelerator
from numpy.typing import NDArray

from cry_model import results as files
from cry_model.checkpoint import CONFIG, to_json, write_atomically
from train.data.corpus import DataError

TEACHER = "teacher.csv"
TeacherPredictions = Mapping[str, NDArray[np.float64]]
"""Recording -> the teacher's probabilities, (classes,)."""


@contextlib.contextmanager
def trusting(path: Path) -> Iterator[None]:
    """Convert errors from malformed contents of a result file into DataError."""
    try:
        yield
    except DataError:
        raise
    except files.DamagedFileError as error:
        raise DataError(f"{path} {error}; restore the file, or delete {path.parent}.") from error
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise DataError(
            f"{path} is damaged: not as written by 'python -m train' ({error!r}); restore the "
            f"file, or delete {path.parent}."
        ) from error


def existing_predictions(folder: Path, labels: Sequence[str] | None = None) -> pd.DataFrame:
    """Return the predictions of a run, empty if there are none; raise DataError if damaged."""
    path = folder / files.PREDICTIONS
    with trusting(path):
        return files.read_predictions(path, labels) if path.exists() else pd.DataFrame()


def resume(
    folder: Path, configuration: dict[str, Any], name: str = files.PREDICTIONS
) -> dict[str, Any]:
    """Return the record to resume from, or a new one; raise DataError if it is another run's."""
    if not (folder / name).exists():  # no fold is finished, so there is nothing to mix up
        return {"configuration": configuration}
    record = existing_record(folder)
    if record is None:
        raise DataError(f"{folder} holds predictions of an unknown run; delete it.")
    if record["configuration"] != as_json(configuration):
        raise DataError(
            f"{folder} holds a run with other settings or data; delete it or choose another --out."
        )
    return record


def as_json(facts: Any) -> dict[str, Any]:
    """Return facts as read back from JSON: tuples become lists, and records objects."""
    return json.loads(json.dumps(facts, default=asdict))


def write_json(path: Path, found: Any) -> None:
    """Write measurements, which may contain records."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, f"{to_json(as_json(found))}\n".encode())


def existing_record(folder: Path) -> dict[str, Any] | None:
    """Return the contents of ``run.json``, None if missing; raise DataError if damaged."""
    path = folder / files.RUN
    with trusting(path):
        return files.read_record(path) if path.exists() else None


def write_teacher(
    folder: Path, teacher_predictions: TeacherPredictions, labels: Sequence[str]
) -> None:
    """Write ``teacher.csv``: the teacher's probabilities per recording, columns ``t_<label>``."""
    table = pd.DataFrame(teacher_predictions.values(), columns=[f"t_{label}" for label in labels])
    table.insert(0, "recording", list(teacher_predictions))
    files.write_predictions(folder, table, TEACHER)


def read_teacher(folder: Path, labels: Sequence[str]) -> dict[str, NDArray[np.float64]] | None:
    """Return what :func:`write_teacher` wrote, None if missing; raise DataError if damaged."""
    path, columns = folder / TEACHER, [f"t_{label}" for label in labels]
    if not path.exists():
        return None
    with trusting(path):
        table = files.read_table(path)
        files.require_columns(table, ["recording"], numbers=columns)
        rows = table[columns].to_numpy(dtype=np.float64)
        files.require_unique(table, "recording")
        return dict(zip(table["recording"], rows, strict=True))


def environment(accelerator: Accelerator) -> dict[str, Any]:
    """Return device, precision and versions, for ``run.json``."""
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


Kept = tuple[int, int, Path]
"""Seed, fold and checkpoint folder of a saved fold."""


@dataclass(frozen=True)
class Cell:
    """The output folders of one system on one dataset under one protocol, below ``out``."""

    out: Path
    dataset: str
    protocol: str
    system: str

    def __str__(self) -> str:
        return f"{self.dataset}/{self.protocol}/{self.system}"

    @property
    def results_folder(self) -> Path:
        return self.out / "results" / f"{self}"

    @property
    def checkpoint_folder(self) -> Path:
        """Return the folder for the checkpoint of the final fit on all recordings."""
        return self.out / "checkpoints" / f"{self.dataset}-{self.system}"

    @property
    def folds_folder(self) -> Path:
        return self.out / "folds" / f"{self}"

    def fold_folder(self, seed: int, fold: int) -> Path:
        return self.folds_folder / f"seed{seed}-fold{fold}"

    @property
    def saved(self) -> list[Kept]:
        """Return seed, fold and checkpoint folder of every saved fold, sorted.

        Folders without a config are skipped: their writing was interrupted.
        """
        found = []
        for at in self.folds_folder.glob("seed*-fold*"):
            name = re.fullmatch(r"seed(\d+)-fold(\d+)", at.name)
            if name and (at / CONFIG).is_file():
                found.append((int(name[1]), int(name[2]), at))
        return sorted(found)


def find_cells(
    out: Path, datasets: Collection[str], protocols: Collection[str], systems: Collection[str]
) -> list[Cell]:
    """Return the cells with saved folds, restricted to the given names where a collection is not
    empty; raise DataError if there is none."""
    cells = [Cell(out, *path.parts[-3:]) for path in sorted((out / "folds").glob("*/*/*"))]
    cells = [
        cell
        for cell in cells
        if cell.dataset in (datasets or [cell.dataset])
        and cell.protocol in (protocols or [cell.protocol])
        and cell.system in (systems or [cell.system])
        and cell.saved
    ]
    if not cells:
        raise DataError(
            f"There are no such saved folds in {out / 'folds'}; 'fit --save-folds' makes them."
        )
    return cells
