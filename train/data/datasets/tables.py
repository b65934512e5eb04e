"""Tables that people write about their recordings: CSV as spreadsheets save it, and JSON lines."""

from __future__ import annotations

import codecs
import csv
import io
import json
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from typing import NamedTuple

from train.data.corpus import DataError

NAME_COLUMNS = ("file", "file_name")
DELIMITERS = (",", ";", "\t", "|")  # semicolons where the comma is the decimal mark
WANTED = "save it as 'CSV UTF-8'"
_MARKS = (  # UTF-32 first: its mark begins with that of UTF-16
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)

Cells = Mapping[str, str]  # column, in lower case -> what stands there, without outer blanks


class Row(NamedTuple):
    """What a table says of one file: its line, from 1, the file as it stands there, all cells."""

    line: int
    file: str
    cells: Cells


@dataclass(frozen=True)
class Table:
    """A table of files: its columns in lower case, and its rows that are not empty.

    ``guessed`` is the encoding, where nothing in the file proves it; else None.
    """

    path: Path
    columns: frozenset[str]
    rows: tuple[Row, ...]
    guessed: str | None = None


def read_table(path: Path, needed: Iterable[str] = ()) -> Table:
    """Read a table of files: ``file`` or ``file_name``, and other columns.

    UTF-8, UTF-16 and UTF-32 are told by their bytes. Other files are read as cp1252, which shows
    when the names in them are looked up. Commas, semicolons, tabs and bars may divide columns.
    Raise DataError if it is not a table, or a needed column is missing.
    """
    is_json = path.suffix.lower() == ".jsonl"
    try:
        text, guessed = _decode(path.read_bytes())
        columns, rows = _json_lines(text) if is_json else _csv(text, set(needed))
    except (OSError, ValueError, csv.Error) as error:  # of Unicode and of JSON too
        wish = "mend it" if is_json else WANTED
        raise DataError(f"{path} could not be read as a table ({error}); {wish}.") from None
    name = next((name for name in NAME_COLUMNS if name in columns), None)
    if name is None or not set(needed) <= columns:
        if "group" in needed:
            raise DataError(f"{path} needs the columns file,group in its first line.")
        raise DataError(
            f"{path} needs the columns file_name and label; if it is no table of recordings, give "
            "it another name."
        )
    found = tuple(Row(line, cells.get(name, ""), cells) for line, cells in rows)
    return Table(path, frozenset(columns), found, guessed)


def composed(text: str) -> str:
    """Return the text with each accent and its letter as one character, as most systems do."""
    return unicodedata.normalize("NFC", text)


def plain(text: str) -> str:
    """Return what is left without case, blanks and ways to write the same character."""
    return re.sub(r"\s+", "", unicodedata.normalize("NFKC", text).casefold())


class Names:
    """Looks up the recordings that a table names."""

    def __init__(self, names: Iterable[str]) -> None:
        self.names = set(names)
        self.alike: dict[str, list[str]] = defaultdict(list)
        for name in self.names:
            self.alike[plain(name)].append(name)

    def find(self, below: str, file: str) -> str | None:
        """Return the recording that is called so, or the only one that is but for case and blanks,
        below a folder (with a slash at its end, or nothing); Windows may have written the name."""
        name = below + composed(PureWindowsPath(file).as_posix())
        if name in self.names:
            return name
        alike = self.alike.get(plain(name), [])
        return alike[0] if len(alike) == 1 else None


def _decode(data: bytes) -> tuple[str, str | None]:
    """Text, and its encoding where that is a guess."""
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return data.decode(encoding).removeprefix("\ufeff"), None
    even, odd = data[::2].count(0), data[1::2].count(0)
    if even + odd > len(data) / 4:  # every second byte of Latin letters in UTF-16 is zero
        return data.decode("utf-16-le" if odd > even else "utf-16-be"), None
    if even + odd:
        raise ValueError("it holds bytes that no text has")
    try:
        return data.decode(), None
    except UnicodeDecodeError:
        return data.decode("cp1252"), "cp1252"


def _csv(text: str, needed: set[str]) -> tuple[set[str], list[tuple[int, Cells]]]:
    """Columns, and line and cells of each row."""
    skipped = 0
    delimiters: Iterable[str] = DELIMITERS
    if named := re.match(r'"?sep=(.)"?\r?\n?', text):  # Excel's own way to name it
        text, skipped, delimiters = text[named.end() :], 1, named[1]
    for delimiter in delimiters:
        lines = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
        columns = [cell.strip().casefold() for cell in next(lines, [])]
        if needed <= set(columns) and set(columns) & set(NAME_COLUMNS):
            break
    else:
        return set(columns), []
    if twice := sorted({name for name in columns if name and columns.count(name) > 1}):
        raise ValueError(f"two columns are called {twice[0]}")
    rows = []
    for cells in lines:
        number, cells = lines.line_num + skipped, [cell.strip() for cell in cells]
        if any(cells[len(columns) :]):
            raise ValueError(
                f"line {number} has more cells than the first line; put names with a comma into "
                "quotation marks"
            )
        if any(cells):
            rows.append((number, dict(zip(columns, cells, strict=False))))
    return set(columns), rows


def _json_lines(text: str) -> tuple[set[str], list[tuple[int, Cells]]]:
    """Columns, and line and cells of each row."""
    rows, columns = [], set()
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        found = json.loads(line)
        if not isinstance(found, dict):
            raise ValueError(f"line {number} is not an object")
        cells = {
            key.strip().casefold(): "" if value is None else str(value).strip()
            for key, value in found.items()
        }
        columns |= set(cells)
        rows.append((number, cells))
    return columns, rows
