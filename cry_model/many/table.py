"""Write answers for many recordings: as one table with a crash-safe journal, or into a folder as a
table, Audacity labels and Raven selection tables."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from filelock import FileLock, Timeout

from cry_model.checkpoint import move_into_place
from cry_model.records import either

if TYPE_CHECKING:
    from cry_model.prediction import Prediction

FORMATS = (".csv", ".parquet")
"""Suffixes of supported tables."""
NO_FORMATS = (".json", ".ods", ".tsv", ".txt", ".xls", ".xlsx")
"""Suffixes of unsupported tables, which a folder hardly has."""
COLUMNS: Mapping[str, str] = {
    "file": "string",
    "model": "string",
    "answer": "string",
    "labels": "string",
    "reason": "string",
    "cry_probability": "Float64",
    "cries": "Int64",
    "cry_seconds": "Float64",
    "duration_seconds": "Float64",
    "remembered": "boolean",
    "cautions": "string",
}
"""Columns of an answer and their types; several labels or cautions are separated by semicolons."""
SHARE = "p_"  # prefix of a label's probability column; empty if the model abstains
PROBABILITIES = "probabilities"
"""A column of a folder's table: label=probability pairs, separated by semicolons."""
ERROR = "error"  # column: why there is no answer

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
        PROBABILITIES: {label: round(share, 4) for label, share in shares.items()},
    }


class Journal:
    """A file beside the table to be written, with a line of JSON for each recording.

    The first line identifies the models and options. A killed process leaves at most one torn line,
    the last; it is truncated, and that recording is classified again. ``done`` are the files that
    have a line. Raise TableError if the table exists, is being written, or was begun with other
    models; OSError if the folder cannot be written.
    """

    def __init__(self, table: Path, who: Mapping[str, Any]):
        self.table, self.path = table, table.with_name(f"{table.name}.partial")
        if table.exists() and not self.path.exists():
            raise TableError(f"{table} already exists; delete it, or name another.")
        self.parquet = table.suffix.lower() == ".parquet"
        if self.parquet and find_spec("pyarrow") is None:
            raise TableError(
                "A .parquet table needs pyarrow; install it with `pip install pyarrow`, or name a "
                ".csv file."
            )
        table.parent.mkdir(parents=True, exist_ok=True)
        self.lock = FileLock(f"{self.path}.lock", timeout=0)
        self._take()
        self.path.touch()
        entries, end = _entries(self.path)
        if entries and entries[0] != json.loads(json.dumps(who)):
            raise TableError(
                f"{self.path} was made with other options; use those, delete it, or name another "
                "table."
            )
        self.done = {entry["file"] for entry in entries[1:]}
        self.file = self.path.open("r+b")
        self.file.truncate(end)
        self.file.seek(end)
        if not entries:
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
        """Write the table, sorted by file, and delete the journal; return the number of rows, and
        of those with an error. Raise OSError if the table cannot be written, TableError if another
        command continues it; then the journal is kept."""
        import pandas as pd

        self._take()
        rows = {entry["file"]: _flat(entry) for entry in _entries(self.path)[0][1:]}
        shares = sorted({name for row in rows.values() for name in row if name.startswith(SHARE)})
        kinds = {**COLUMNS, **dict.fromkeys(shares, "Float64"), ERROR: "string"}
        table = pd.DataFrame([rows[file] for file in sorted(rows)], columns=[*kinds], dtype=object)
        whole = self.table.with_name(f"{self.table.name}.part")
        if self.parquet:
            table.astype(kinds).to_parquet(whole, index=False)
        else:
            table.to_csv(whole, index=False, lineterminator="\n")
        move_into_place(whole, self.table)
        self.path.unlink()
        Path(self.lock.lock_file).unlink(missing_ok=True)
        self.lock.release()
        return len(table), int(table[ERROR].notna().sum())


def _entries(path: Path) -> tuple[list[Any], int]:
    """Return all complete lines of a journal, and the byte offset of their end."""
    found, end = [], 0
    with path.open("rb") as file:
        for line in file:
            try:
                entry = json.loads(line)
            except ValueError:  # torn; or power failed, and nothing after it is reliable
                break
            if not line.endswith(b"\n"):
                break
            found.append(entry)
            end += len(line)
    return found, end


def _flat(row: Row) -> Row:
    """Return a row with a column per probability, and a file name that UTF-8 can encode."""
    shares = {f"{SHARE}{label}": share for label, share in row.pop(PROBABILITIES, {}).items()}
    return {name: _printable(value) for name, value in (row | shares).items()}


def _printable(value: Any) -> Any:
    return value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value


TABLE = "answers.csv"
HEADER = (*COLUMNS, PROBABILITIES, ERROR)
RAVEN = (
    "Selection",
    "View",
    "Channel",
    "Begin Time (s)",
    "End Time (s)",
    "Low Freq (Hz)",
    "High Freq (Hz)",
    "Begin File",
    "Annotation",
    "Score",
)
BAND = 0.0, 4000.0  # Hz, range of a selection: where cries have most of their power


class Export:
    """Write answers to one folder, one recording at a time, so that none is lost on interruption;
    raise TableError if it has answers already, OSError if it cannot be written."""

    def __init__(self, folder: Path):
        if (folder / TABLE).exists():
            raise TableError(f"{folder / TABLE} already exists; name another folder.")
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.taken = folder, set[str]()
        self._write(TABLE, [HEADER])

    def write(self, within: str, file: str, model: str, prediction: Prediction) -> None:
        """Write one recording's answer; ``within``: its path relative to the named folder, which
        names the label files."""
        name = self._name(within)
        spans = list(_spans(prediction))
        row = answer_row(file, model, prediction)
        shares = row[PROBABILITIES].items()
        self._add({**row, PROBABILITIES: ";".join(f"{label}={p:.4f}" for label, p in shares)})
        labels = [(f"{start:.6f}", f"{end:.6f}", label) for start, end, label, _ in spans]
        self._write(f"{name}.txt", labels, "\t")
        low, high = BAND
        selections = [
            (number, "Spectrogram 1", 1, f"{start:.6f}", f"{end:.6f}", low, high,
             Path(file).name, label, f"{score:.4f}")
            for number, (start, end, label, score) in enumerate(spans, start=1)
        ]  # fmt: skip
        self._write(f"{name}.selections.txt", [RAVEN, *selections], "\t")

    def refuse(self, file: str, error: str) -> None:
        """Write why a recording has no answer."""
        self._add({"file": file, ERROR: error})

    def _add(self, row: Row) -> None:
        with (self.folder / TABLE).open("a", encoding="utf-8", newline="") as table:
            csv.DictWriter(table, HEADER, lineterminator="\n").writerow(row)

    def _name(self, within: str) -> str:
        """Return the file's path without its suffix, numbered if another recording has it."""
        stem = Path(within).with_suffix("").as_posix()
        name, number = stem, 1
        while name.casefold() in self.taken:
            number += 1
            name = f"{stem}-{number}"
        self.taken.add(name.casefold())
        return name

    def _write(self, name: str, rows: Sequence[Sequence[object]], delimiter: str = ",") -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file, delimiter=delimiter, lineterminator="\n").writerows(rows)


def _spans(prediction: Prediction) -> Iterator[tuple[float, float, str, float]]:
    """Yield start, end, label and probability of each cry; without a detector, of the whole."""
    if prediction.track is None:
        yield 0.0, prediction.duration, _label(prediction.answer.labels), 1.0
    for cry in prediction.segments:
        yield cry.start, cry.end, _label(prediction.named_in(cry)), cry.detector


def _label(named: Sequence[str]) -> str:
    return f"cry: {either(named)}" if named else "cry"
