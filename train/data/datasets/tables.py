"""Read tables that people write about their recordings: CSV as spreadsheets save it."""

from __future__ import annotations

import codecs
import csv
import io
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path, PureWindowsPath

import pandas as pd

from train.data.corpus import DataError

NAMES = ("file", "file_name")
DELIMITERS = (",", ";", "\t", "|")  # semicolons where the comma is the decimal mark


def read_table(path: Path, needed: Iterable[str] = ()) -> pd.DataFrame:
    """Read a table of files in UTF-8 or UTF-16: ``file`` or ``file_name``, and other columns.

    Commas, semicolons, tabs and bars may divide columns. Columns are in lower case, that of the
    files is ``file``; cells have no outer blanks, empty rows are left out, the index is the line.
    Raise DataError if it is not a table, or a needed column is missing.
    """
    try:
        data = path.read_bytes()
        marked = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        table = _parse(data.decode("utf-16" if marked else "utf-8-sig"), {"file", *needed})
    except (OSError, ValueError, csv.Error) as error:  # of Unicode, too
        raise DataError(
            f"{path} could not be read as a table ({error}); save it as 'CSV UTF-8', with names "
            "that hold a comma in quotation marks."
        ) from None
    if not {"file", *needed} <= {*table}:
        wanted = "file,group" if "group" in needed else "file_name and label"
        raise DataError(
            f"{path} needs the columns {wanted} in its first line; if it is no table of "
            "recordings, give it another name."
        )
    return table


def _parse(text: str, needed: set[str]) -> pd.DataFrame:
    for delimiter in DELIMITERS:
        lines = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
        columns = [cell.strip().casefold() for cell in next(lines, [])]
        columns = ["file" if name in NAMES else name for name in columns]
        if needed <= {*columns}:
            break
    if twice := sorted({name for name in columns if name and columns.count(name) > 1}):
        raise ValueError(f"two columns are called {twice[0]}")
    rows = {}
    for cells in lines:
        if any(map(str.strip, cells[len(columns) :])):
            raise ValueError(f"line {lines.line_num} has more cells than the first line")
        if any(map(str.strip, cells)):
            cells += [""] * (len(columns) - len(cells))
            rows[lines.line_num] = [cell.strip() for cell in cells[: len(columns)]]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns, dtype=str)


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
        alike = self.alike.get(plain(name), [])
        return name if name in self.names else alike[0] if len(alike) == 1 else None


def composed(text: str) -> str:
    """Return the text with each accent and its letter as one character, as most systems do."""
    return unicodedata.normalize("NFC", text)


def plain(text: str) -> str:
    """Return what is left without case, blanks and ways to write the same character."""
    return re.sub(r"\s+", "", unicodedata.normalize("NFKC", text).casefold())
