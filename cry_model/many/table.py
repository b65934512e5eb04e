"""Keep answers for many recordings in a crash-safe journal, and write them as a table."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from filelock import FileLock, Timeout

from cry_model.checkpoint import move_into_place

if TYPE_CHECKING:
    from cry_model.prediction import Prediction

FORMATS = (".csv", ".parquet")
"""Suffixes of supported tables."""
NO_FORMATS = (".json", ".ods", ".tsv", ".txt", ".xls", ".xlsx")
"""Suffixes of unsupported tables, which a folder hardly has."""
COLUMNS: Mapping[str, type] = {
    "file": str,
    "model": str,
    "answer": str,
    "labels": str,
    "reason": str,
    "cry_probability": float,
    "cries": int,
    "cry_seconds": float,
    "duration_seconds": float,
    "remembered": bool,
    "cautions": str,
}
"""Columns of an answer; several labels or cautions are separated by semicolons."""
SHARE = "p_"  # prefix of a label's probability column; empty if the model abstains
ERROR = "error"  # column: why there is no answer
BATCH = 5000  # rows in memory while the table is written

Row: TypeAlias = dict[str, Any]
"""A column -> its value; ``probabilities`` maps labels to probabilities."""


class TableError(RuntimeError):
    """No table can be written; the message says why and what to do."""


def answer_row(file: str, model: str, prediction: Prediction) -> Row:
    """Return the table row of a recording; without probabilities if its answer names no label."""
    answer, track = prediction.answer, prediction.track
    shares = prediction.probabilities if answer.labels else {}
    return {
        "file": file,
        "model": model,
        "answer": answer.kind,
        "labels": ";".join(answer.labels),
        "reason": answer.reason or "",
        "cry_probability": None if track is None else round(float(track.score), 4),
        "cries": len(prediction.segments),
        "cry_seconds": round(prediction.cry_seconds, 2),
        "duration_seconds": round(prediction.duration, 3),
        "remembered": prediction.remembered,
        "cautions": ";".join(prediction.cautions),
        "probabilities": {label: round(share, 4) for label, share in shares.items()},
    }


class Journal:
    """A file beside the table to be written, with a line of JSON for each recording.

    The first line identifies the models and options. A killed process leaves at most one torn line,
    the last; it is truncated, and that recording is classified again.

    Attributes:
        done: the files that have a line.

    Raises:
        TableError: if the table exists, is being written, or was begun with other models.
        OSError: if the folder cannot be written.
    """

    def __init__(self, table: Path, who: Mapping[str, Any]):
        self.table, self.path = table, table.with_name(f"{table.name}.partial")
        if table.exists() and not self.path.exists():
            raise TableError(f"{table} already exists; delete it, or name another.")
        if table.suffix.lower() == ".parquet":
            _pyarrow()
        table.parent.mkdir(parents=True, exist_ok=True)
        self.lock = FileLock(f"{self.path}.lock", timeout=0)
        self._take()
        self.path.touch()
        self.done, end, head = set[str](), 0, None
        for end, entry in _entries(self.path):  # noqa: B007 - the last one is where to resume
            if head is None:
                head = entry
            else:
                self.done.add(entry["file"])
        if head not in (None, json.loads(json.dumps(who))):
            raise TableError(
                f"{self.path} was made with other options; use those, delete it, or name another "
                "table."
            )
        self.file = self.path.open("r+b")
        self.file.truncate(end)
        self.file.seek(end)
        if head is None:
            self.add(who)

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *error: object) -> None:
        self.file.close()
        self.lock.release()

    def _take(self) -> None:
        """Lock the table, or raise TableError; the lock ends with the process."""
        try:
            self.lock.acquire()
        except Timeout:
            raise TableError(
                f"Another command is writing {self.table}; wait, or name another table."
            ) from None

    def add(self, entry: Mapping[str, Any]) -> None:
        """Append a row, which from now on survives a kill of this process."""
        self.file.write(f"{json.dumps(entry)}\n".encode())
        self.file.flush()

    def finish(self) -> tuple[int, int]:
        """Write the table, sorted by file, and delete the journal.

        Returns:
            the number of rows, and of those with an error.

        Raises:
            OSError: if the table cannot be written; the journal is kept.
            TableError: if another command continues it.
        """
        self._take()
        places, begin = dict[str, int](), 0
        labels, bad = set[str](), set[str]()
        for end, entry in _entries(self.path):
            if begin:  # the first line is not a row
                places[entry["file"]] = begin
                labels |= entry.get("probabilities", {}).keys()
                bad |= {entry["file"]} if ERROR in entry else set()
            begin = end
        columns = {**COLUMNS, **{f"{SHARE}{label}": float for label in sorted(labels)}, ERROR: str}
        whole = self.table.with_name(f"{self.table.name}.part")
        write = _write_parquet if self.table.suffix.lower() == ".parquet" else _write_csv
        write(whole, columns, self._batches(places))
        move_into_place(whole, self.table)
        self.path.unlink()
        Path(self.lock.lock_file).unlink(missing_ok=True)
        self.lock.release()
        return len(places), len(bad)

    def _batches(self, places: Mapping[str, int]) -> Iterator[list[Row]]:
        """Yield batches of the rows at these byte offsets, sorted by file."""
        names = sorted(places)
        with self.path.open("rb") as file:
            for first in range(0, len(names), BATCH):
                rows = []
                for name in names[first : first + BATCH]:
                    file.seek(places[name])
                    row = json.loads(file.readline())
                    shares = row.pop("probabilities", {})
                    row |= {f"{SHARE}{label}": share for label, share in shares.items()}
                    rows.append({column: _printable(value) for column, value in row.items()})
                yield rows


def _entries(path: Path) -> Iterator[tuple[int, Any]]:
    """Yield each complete line, with the byte offset of its end."""
    end = 0
    with path.open("rb") as file:
        for line in file:
            try:
                entry = json.loads(line)
            except ValueError:  # torn; or power failed, and nothing after it is reliable
                return
            if not line.endswith(b"\n"):
                return
            end += len(line)
            yield end, entry


def _printable(value: Any) -> Any:
    """Return text that UTF-8 can encode: a file name may hold invalid bytes."""
    return value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value


def _write_csv(path: Path, columns: Mapping[str, type], batches: Iterable[Sequence[Row]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        for rows in batches:
            writer.writerows(rows)


def _write_parquet(
    path: Path, columns: Mapping[str, type], batches: Iterable[Sequence[Row]]
) -> None:
    pyarrow = _pyarrow()
    kinds = {
        str: pyarrow.string(),
        float: pyarrow.float64(),
        int: pyarrow.int64(),
        bool: pyarrow.bool_(),
    }
    schema = pyarrow.schema([(name, kinds[kind]) for name, kind in columns.items()])
    with import_module("pyarrow.parquet").ParquetWriter(path, schema) as writer:
        for rows in batches:
            writer.write_table(pyarrow.Table.from_pylist(rows, schema))


def _pyarrow() -> Any:
    try:
        import pyarrow
    except ImportError as error:
        raise TableError(
            "A .parquet table needs pyarrow; install it with `pip install pyarrow`, or name a "
            ".csv file."
        ) from error
    return pyarrow
