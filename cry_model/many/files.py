"""Write answers as files: a table, Audacity labels and Raven selection tables."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

from cry_model.many.table import COLUMNS, ERROR, Row, TableError, answer_row
from cry_model.prediction import Prediction
from cry_model.records import either

TABLE = "answers.csv"
PROBABILITIES = "probabilities"
"""A column of the table: label=probability pairs, separated by semicolons."""
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
        """Write one recording's answer.

        Args:
            within: its path relative to the named folder, which names the label files.
            file: its path.
            model: the name of the model that answered.
            prediction: its answer.
        """
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
