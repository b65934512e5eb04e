"""Plain tables, of the report and of the page. HTML."""

from __future__ import annotations

from html import escape

import numpy as np
import pandas as pd
from pandas.api.types import is_bool_dtype, is_numeric_dtype

MOST_ROWS = 100
DIGITS = 4  # after the point, at most


def table_html(table: pd.DataFrame, caption: str) -> str:
    """A table that scrolls in its own box, its head in sight.

    Args:
        table: of more than ``MOST_ROWS`` rows, the first are shown.
        caption: what it shows; plain text.
    """
    shown, cut = table.head(MOST_ROWS), len(table) > MOST_ROWS
    less = f" (the first {MOST_ROWS} of {len(table)} rows; the data below has all)" if cut else ""
    columns = {name: _column(shown[name]) for name in shown}
    numbers = [_is_number(shown[name]) for name in shown]
    heads = "".join(
        f'<th scope="col"{_side(number)}>{escape(str(name))}</th>'
        for name, number in zip(shown, numbers, strict=True)
    )
    rows = "".join(
        f"<tr>{_row(cells, numbers)}</tr>" for cells in zip(*columns.values(), strict=True)
    )
    kind = "table cut" if cut else "table"
    return (
        f'<div class="{kind}" tabindex="0" role="region" '
        f'aria-label="{escape(caption + less)}"><table>'
        f"<caption><span>{escape(caption)}</span>{less}</caption><thead><tr>{heads}</tr></thead>"
        f"<tbody>{rows}</tbody></table></div>"
    )


def _row(cells: tuple[str, ...], numbers: list[bool]) -> str:
    first, *others = cells
    return f'<th scope="row"{_side(numbers[0])}>{escape(first)}</th>' + "".join(
        f"<td{_side(number)}>{escape(cell)}</td>"
        for cell, number in zip(others, numbers[1:], strict=True)
    )


def _side(number: bool) -> str:
    return ' class="number"' if number else ""


def _is_number(column: pd.Series) -> bool:
    return is_numeric_dtype(column) and not is_bool_dtype(column)


def _column(column: pd.Series) -> list[str]:
    """As text, numbers with as many digits as the one that needs most."""
    if not _is_number(column):
        return ["" if pd.isna(value) else str(value) for value in column]
    values = [None if pd.isna(value) else float(value) for value in column]
    digits = max((_digits(value) for value in values if value is not None), default=0)
    return ["" if value is None else f"{value:,.{digits}f}" for value in values]


def _digits(value: float) -> int:
    text = np.format_float_positional(round(value, DIGITS), trim="-")
    return len(text.partition(".")[2])
