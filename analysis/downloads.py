"""Write downloads as data URIs inside their links, so that the server stores no file."""

from __future__ import annotations

import base64
import csv
import io
from collections.abc import Sequence

from markupsafe import Markup

LINK = Markup('<a class="download" download="{}" href="{}">{}</a>')


def data_address(content: str, kind: str = "text/csv") -> str:
    """Return a data URI that contains the file."""
    return f"data:{kind};base64,{base64.b64encode(content.encode()).decode()}"


def data_link(text: str, name: str, kind: str, content: str) -> Markup:
    """Return a download link that contains the file itself."""
    return LINK.format(name, data_address(content, kind), text)


def csv_text(*rows: Sequence[object]) -> str:
    """Format rows as CSV."""
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows(rows)
    return buffer.getvalue()
