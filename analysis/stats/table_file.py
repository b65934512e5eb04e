"""Read somebody's table as text and numbers, or say in one sentence what is wrong with it.

The file is untrusted: it may be of another kind, truncated, huge or malicious.
"""

from __future__ import annotations

import csv
import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.stats.runs import ResultsError

TRUE = ("label", "y_true", "true")
"""Accepted names for the column of true labels."""
PREDICTED = ("y_pred", "pred", "prediction")
"""Accepted names for the column of predicted labels, if there are no probabilities."""
WORDS, WHOLE = ("clip", "recording", "group"), ("fold", "seed")
LARGEST = 2**28  # bytes
LONGEST_HEAD, LONGEST_NAME = 2**20, 500  # bytes of the first line; characters of a name
MOST_LABELS, MOST_PARTS = 1000, 100  # labels; folds, and seeds
MOST_VALUES = 20_000_000  # probabilities: 160 MB
ROUNDING = 0.01  # tolerance of a sum of probabilities: some files have two digits
FORMS = "Give the columns clip, label and p_<label> for each label, or y_true and y_pred."
SAVE = "Save it as CSV in UTF-8."
KINDS = {b"%PDF": "a PDF", b"PK\x03\x04": "an Excel or ZIP file", b"\x1f\x8b": "a GZIP file"}
UTF16 = (b"\xff\xfe", b"\xfe\xff")


def read_table(path: Path) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Return the required columns under our names, without gaps, and the labels with probabilities;
    raise ResultsError, whose sentence says what is wrong, and where, if it is no such table."""
    try:
        layout = _layout(path)
        words, numbers, labels = _columns(layout)
        return _read(path, layout, words, numbers), labels
    except OSError as error:
        raise ResultsError(f"The file cannot be read ({error.strerror or error}).") from error


class _Layout(NamedTuple):
    separator: str
    decimal: str
    names: tuple[str, ...]
    lines: int


def clean(name: str) -> str:
    """Return a name on one line, NFC-normalised, with angle brackets that are no HTML."""
    line = " ".join(name.split())
    if not line.isascii():
        line = unicodedata.normalize("NFC", line)
    return line.replace("<", "‹").replace(">", "›")


def _layout(path: Path) -> _Layout:
    if path.stat().st_size > LARGEST:
        raise ResultsError(f"The file is larger than {LARGEST // 2**20} MB; give a part of it.")
    ends = {b"\n": 0, b"\r": 0}
    with path.open("rb") as file:
        head = file.read(LONGEST_HEAD)
        for start, kind in KINDS.items():
            if head.startswith(start):
                raise ResultsError(f"The file is {kind}, not a text table. {SAVE}")
        if head.startswith(UTF16):
            raise ResultsError(f"The file is in UTF-16. {SAVE}")
        if not head.strip():
            raise ResultsError(f"The file is empty. {FORMS}")
        chunk = head
        while chunk:
            if b"\0" in chunk:
                raise ResultsError(f"The file is not a text table. {SAVE}")
            ends = {end: n + chunk.count(end) for end, n in ends.items()}
            chunk = file.read(2**24)
    try:
        lines = head.decode("utf-8-sig", "strict" if len(head) < LONGEST_HEAD else "ignore")
    except UnicodeDecodeError as error:
        raise ResultsError(f"The file is not in UTF-8. {SAVE}") from error
    first, _, rest = lines.lstrip("\r\n").replace("\r", "\n").partition("\n")
    if not rest.strip():
        raise ResultsError(f"The file has no rows below a line of column names. {FORMS}")
    found = {s: _fields(first, s) for s in ",;\t"}
    separator = max(found, key=lambda s: len(found[s]))
    fields = _fields(rest.lstrip("\n").partition("\n")[0], separator)
    comma = separator != "," and any(re.fullmatch(r"\d+,\d+", field) for field in fields)
    names = tuple(clean(name) for name in found[separator])
    return _Layout(separator, "," if comma else ".", names, max(ends.values()))


def _fields(line: str, separator: str) -> list[str]:
    try:
        return next(csv.reader([line], delimiter=separator, skipinitialspace=True), [])
    except csv.Error:
        return []


def _columns(layout: _Layout) -> tuple[dict[str, int], dict[str, int], tuple[str, ...]]:
    """Return our name -> index in the file, of texts and of numbers, and the labels; raise
    ResultsError if one is missing or occurs twice."""
    names = layout.names
    probable = {name: at for at, name in enumerate(names) if name.startswith("p_")}
    true = next((name for name in TRUE if name in names), None)
    predicted = next((name for name in PREDICTED if name in names), None)
    if true is None or not (probable or predicted):
        lacking = "true labels" if true is None else "probabilities or predicted labels"
        raise ResultsError(f"The file has no column of {lacking}. {FORMS}")
    words = {name: names.index(name) for name in WORDS if name in names}
    words["label"] = names.index(true)
    if not probable and predicted is not None:
        words["predicted"] = names.index(predicted)
    numbers = {name: names.index(name) for name in WHOLE if name in names} | probable
    for at in (*words.values(), *numbers.values()):
        if names.count(names[at]) > 1:
            raise ResultsError(f"The file has the column {quoted(names[at])} twice; remove one.")
    labels = tuple(name.removeprefix("p_") for name in probable)
    if probable and len(labels) < 2:
        raise ResultsError(
            f"The file has one p_ column, {quoted('p_' + labels[0])}; give one for each label."
        )
    if "" in labels:
        raise ResultsError("The file has a column p_ without a label; name it p_<label>.")
    require_few(labels, layout.lines)
    return words, numbers, labels


def require_few(labels: Sequence[str], rows: int) -> None:
    """Raise ResultsError if there are more labels or probabilities than can be shown."""
    if len(labels) > MOST_LABELS:
        raise ResultsError(
            f"The file has {len(labels):,} labels; at most {MOST_LABELS:,} can be shown."
        )
    if rows * len(labels) > MOST_VALUES:
        raise ResultsError(
            f"The file has {rows:,} rows of {len(labels):,} labels; at most {MOST_VALUES:,} "
            f"probabilities can be shown: give {MOST_VALUES // len(labels):,} rows."
        )


def quoted(text: str) -> str:
    """Return text from a file, cleaned and shortened, to quote in a sentence."""
    text = clean(text)
    return f"“{text[:40]}…”" if len(text) > 40 else f"“{text}”"


def _read(
    path: Path, layout: _Layout, words: dict[str, int], numbers: dict[str, int]
) -> pd.DataFrame:
    places = words | numbers
    names = sorted(places, key=places.__getitem__)
    options = {
        "sep": layout.separator,
        "decimal": layout.decimal,
        "encoding": "utf-8-sig",
        "header": 0,
        "names": range(len(layout.names)),
        "usecols": [places[name] for name in names],
        "index_col": False,
        "keep_default_na": False,
        "skipinitialspace": True,
    }
    kinds = dict.fromkeys(words.values(), str) | dict.fromkeys(numbers.values(), np.float64)
    try:
        try:
            table = pd.read_csv(path, dtype=kinds, **options)
        except ValueError as error:
            if isinstance(error, (UnicodeDecodeError, pd.errors.ParserError)):
                raise
            with pd.read_csv(path, dtype=object, chunksize=5000, **options) as parts:
                for part in parts:  # to name the row in the error
                    _require_numbers(part, layout, numbers.values())
            raise
    except ResultsError:
        raise
    except UnicodeDecodeError as error:
        raise ResultsError(f"The file is not in UTF-8. {SAVE}") from error
    except (OverflowError, ValueError) as error:
        reason = re.sub(r".*(C error: )", "", " ".join(str(error).split()))
        raise ResultsError(f"The file is not a whole table ({quoted(reason)}). {SAVE}") from error
    table.columns = pd.Index(names)
    if table.empty:
        raise ResultsError(f"The file has no rows below its column names. {FORMS}")
    for name in words:
        refuse(table[name].isna() | (table[name] == ""), f"no {name}")
        refuse(
            table[name].str.len() > LONGEST_NAME, f"a {name} of more than {LONGEST_NAME} characters"
        )
        table[name] = table[name].map(clean)
    return table


def _require_numbers(part: pd.DataFrame, layout: _Layout, columns: Iterable[int]) -> None:
    for at in columns:
        texts = part[at].fillna("").astype(str).str.replace(layout.decimal, ".", regex=False)
        wrong = pd.to_numeric(texts, errors="coerce").isna().to_numpy()
        if wrong.any():
            row = int(wrong.argmax())
            found = quoted(str(part[at].iloc[row])) if texts.iloc[row] else "nothing"
            raise ResultsError(
                f"Row {part.index[row] + 2:,} has {found} in the column "
                f"{quoted(layout.names[at])}; it must be a number."
            )


def refuse(wrong: NDArray[np.bool_] | pd.Series, what: str | Callable[[int], str]) -> None:
    """Raise ResultsError for the first row that is wrong, numbered as in a spreadsheet."""
    wrong = np.asarray(wrong, dtype=bool)
    if wrong.any():
        row = int(wrong.argmax())
        text = what if isinstance(what, str) else what(row)
        raise ResultsError(f"Row {row + 2:,} has {text}.")
