"""Read and write the files of a run: the one schema of ``run.json`` and ``predictions.csv``.

A row of predictions is a piece: clip, recording, group, fold, seed, label and ``p_<label>`` for
each class. The score of a recording is the mean over its pieces. Files are validated: a disk may be
full, a copy truncated, a text edited by hand.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import FailFast
from typing_extensions import Required, TypedDict  # pydantic accepts no other

from cry_model.checkpoint import plain_object, to_json, write_atomically
from cry_model.declared import Seeds, read
from cry_model.metrics import METRICS, bootstrap, numbered, recall_sums, shares
from cry_model.records import Evaluation

PREDICTIONS, RUN = "predictions.csv", "run.json"
WORDS = ("clip", "recording", "group", "label")  # read as text: a group may be called 007, or NA
WHOLE = ("fold", "seed")
LARGEST_JSON, LARGEST_TABLE = 2**22, 2**29  # bytes: a hundred times what a large corpus needs
ROUNDING = 1e-6  # error of one probability in a table

Object = Mapping[str, Any]


class Configuration(TypedDict):
    """Required fields of a run's configuration; its others describe how it was fitted."""

    dataset: str
    protocol: str
    system: str
    folds: int
    preset: Object


class JoinedRun(TypedDict):
    """Required fields of each run that was merged into this one."""

    environment: Object
    seeds: tuple[Any, ...]


class RunRecord(TypedDict, total=False):
    """Fields of ``run.json``, all optional but the configuration, and their types."""

    configuration: Required[Configuration]
    environment: Object
    wall_seconds: Mapping[str, float]
    cost: Object
    metrics: Object
    labels: Annotated[tuple[str, ...], FailFast()]
    seeds: Seeds
    joined: Annotated[tuple[JoinedRun, ...], FailFast()]


FORMER = {"beside", "gate", "neutralised", "shuffled", "draws", "balance", "tries", "average"}
"""Fields of earlier releases, one of which marks runs with permuted labels."""


class DamagedFileError(ValueError):
    """A file of a run is damaged; the message continues a sentence that begins with its path."""


def probability_columns(labels: Sequence[str]) -> list[str]:
    """Return the names of the probability columns, in the order of the labels."""
    return [f"p_{label}" for label in labels]


def read_object(path: Path) -> dict[str, Any]:
    """Read a JSON object, without NaN or infinity; raise DamagedFileError if it is none."""
    content = _read(path, LARGEST_JSON)
    try:
        return plain_object(content, LARGEST_JSON)
    except (RecursionError, ValueError) as error:
        raise DamagedFileError(f"is damaged: not JSON ({error})") from error


def read_record(path: Path) -> dict[str, Any]:
    """Read a ``run.json`` of ``python -m train fit``; raise DamagedFileError if it is damaged."""
    record = read_object(path)
    try:
        read(RunRecord, record)
    except ValueError as error:
        raise DamagedFileError(f"is damaged: {error}") from error
    configuration = record["configuration"]
    if FORMER & {*record, *configuration, *configuration["preset"]}:
        raise DamagedFileError("is from an earlier release, with other field names")
    return record


def read_table(path: Path) -> pd.DataFrame:
    """Read a CSV table in UTF-8 with distinct column names; raise DamagedFileError if invalid."""
    content, texts = _read(path, LARGEST_TABLE), dict.fromkeys(WORDS, str)
    try:
        names = pd.read_csv(io.BytesIO(content), header=None, nrows=1, dtype=str).iloc[0]
        table = pd.read_csv(io.BytesIO(content), dtype=texts, keep_default_na=False)
    except (OverflowError, ValueError) as error:
        raise DamagedFileError("is damaged: it is not a UTF-8 table") from error
    if names.duplicated().any():
        raise DamagedFileError("is damaged: it has a column twice")
    return table


def require_columns(
    table: pd.DataFrame,
    words: Sequence[str] = (),
    whole: Sequence[str] = (),
    numbers: Sequence[str] = (),
) -> None:
    """Raise DamagedFileError unless a table has rows, and these columns of text, of non-negative
    integers and of finite numbers, without gaps."""
    if missing := [name for name in (*words, *whole, *numbers) if name not in table]:
        raise DamagedFileError(f"is damaged: it has no column {', '.join(missing)}")
    if table.empty:
        raise DamagedFileError("is damaged: it has no rows")
    for name in words:
        if (table[name].isna() | (table[name] == "")).any():
            raise DamagedFileError(f"is damaged: it has a row without {name}")
    for name in whole:
        if table[name].dtype.kind != "i" or (table[name] < 0).any():
            raise DamagedFileError(f"is damaged: some {name} is not a whole number")
    for name in numbers:
        if table[name].dtype.kind not in "fi" or not np.isfinite(table[name]).all():
            raise DamagedFileError(f"is damaged: some values of {name} are not numbers")


def require_unique(table: pd.DataFrame, *keys: str) -> None:
    """Raise DamagedFileError if two rows have the same values in all of these columns."""
    if table.duplicated([*keys]).any():
        raise DamagedFileError(f"is damaged: it has a {keys[-1]} twice")


def read_predictions(path: Path, labels: Sequence[str] | None = None) -> pd.DataFrame:
    """Read the predictions of a run, one row per piece; ``labels``: None takes those with a column.

    Raise DamagedFileError if the table is invalid, probabilities do not sum to 1, a row occurs
    twice, or a recording has two labels or groups.
    """
    table = read_table(path)
    if labels is None:
        labels = [name.removeprefix("p_") for name in table if name.startswith("p_")]
    columns = probability_columns(labels)
    require_columns(table, WORDS, WHOLE, columns)
    require_unique(table, "seed", "clip")
    if unknown := sorted(set(table["label"]) - set(labels)):
        raise DamagedFileError(f"has labels that {RUN} lacks ({', '.join(unknown)})")
    values = table[columns].to_numpy(np.float64)
    far = abs(values.sum(1) - 1) > ROUNDING * (len(labels) + 1)
    if far.any() or (values < 0).any():
        raise DamagedFileError("is damaged: some probabilities do not sum to 1")
    if table.drop_duplicates(["recording", "group", "label"])["recording"].duplicated().any():
        raise DamagedFileError("is damaged: it has a recording with two labels or groups")
    return table


def _read(path: Path, largest: int) -> bytes:
    try:
        if not path.is_file():
            raise DamagedFileError("is no file")
        if path.stat().st_size > largest:
            raise DamagedFileError(f"is damaged: it is over {largest // 2**20} MB")
        content = path.read_bytes()
    except OSError as error:
        raise DamagedFileError(f"cannot be read ({error.strerror or error})") from error
    if not content.strip():
        raise DamagedFileError("is damaged: it is empty")
    return content


def ordered(table: pd.DataFrame, labels: Sequence[str]) -> pd.DataFrame:
    """Return the columns in their documented order."""
    first = ["clip", "recording", "group", "fold", "seed", "label"]
    return table[[*first, *probability_columns(labels)]]


def write_predictions(folder: Path, table: pd.DataFrame, name: str = PREDICTIONS) -> None:
    """Write the predictions of a run, replacing earlier ones; probabilities keep six decimals."""
    folder.mkdir(parents=True, exist_ok=True)
    csv = table.to_csv(index=False, float_format="%.6f", lineterminator="\n")
    write_atomically(folder / name, csv.encode())


def whole_seeds(table: pd.DataFrame, folds: int) -> pd.DataFrame:
    """Return the predictions of the seeds whose folds are complete."""
    found = table.groupby("seed")["fold"].nunique()
    return table[table["seed"].isin(found.index[found == folds])]


def score(table: pd.DataFrame, labels: Sequence[str], **facts: object) -> Evaluation:
    """Compute the metrics of a table of pieces or of recordings, pooled over folds and seeds.

    A recording counts once in the support, with any number of pieces and seeds; ``**facts``:
    ``dataset``, ``protocol`` and ``folds``.
    """
    truth, probabilities = label_numbers(table, labels), probabilities_of(table, labels)
    member, rows = numbered(table["group"]), np.bincount(truth, minlength=len(labels))
    recordings = table.drop_duplicates("recording")
    support = np.bincount(label_numbers(recordings, labels), minlength=len(labels))
    _, right, total = recall_sums(truth, probabilities)
    recalls = shares(right.sum(0), total.sum(0))
    return Evaluation(
        recordings=len(recordings),
        groups=int(member.max()) + 1,
        seeds=tuple(int(s) for s in sorted(table["seed"].unique())),
        chance=1 / int((support > 0).sum()),
        majority_label=labels[int(rows.argmax())],
        majority_accuracy=float(rows.max() / len(truth)),
        metrics={name: bootstrap(name, truth, probabilities, member) for name in METRICS},
        recall={n: float(r) for n, r in zip(labels, recalls, strict=True) if not np.isnan(r)},
        support={n: int(s) for n, s in zip(labels, support, strict=True) if s},
        **facts,
    )


def write_run(
    folder: Path, run: dict[str, Any], scores: Mapping[str, Evaluation] | None = None
) -> None:
    """Write ``run.json``: configuration, environment, and the metrics per piece and recording."""
    metrics = {unit: asdict(evaluation) for unit, evaluation in (scores or {}).items()}
    write_record(folder, {**run, "metrics": metrics})


def write_record(folder: Path, record: dict[str, Any]) -> None:
    """Write ``run.json``, replacing an earlier one."""
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / RUN, (to_json(record) + "\n").encode())


def label_numbers(table: pd.DataFrame, labels: Sequence[str]) -> NDArray[np.int64]:
    """Return the class index of each row's label, (n,)."""
    return table["label"].map({label: i for i, label in enumerate(labels)}).to_numpy(np.int64)


def probabilities_of(table: pd.DataFrame, labels: Sequence[str]) -> NDArray[np.float64]:
    """Return the probabilities of each row, in the order of the labels, (n, classes)."""
    return table[probability_columns(labels)].to_numpy(np.float64)


def recording_means(
    table: pd.DataFrame, labels: Sequence[str], by: Sequence[str] = ("seed",)
) -> pd.DataFrame:
    """Return one row per seed and recording, sorted: the mean probabilities over its pieces.

    Under the ``clip`` protocol the pieces come from several folds, each held out from its own fit;
    with "fold" in ``by``, the columns to keep apart, a row has the pieces of one fold.
    """
    keys = [*by, "recording", "group", "label"]
    return table.groupby(keys, as_index=False, sort=True)[probability_columns(labels)].mean()
