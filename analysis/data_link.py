"""Downloads without a file on the server."""

from __future__ import annotations

import base64
from html import escape


def data_link(text: str, name: str, kind: str, content: str) -> str:
    """A download whose file is in the link itself, so that the server keeps none."""
    data = base64.b64encode(content.encode()).decode()
    address = f"data:{kind};base64,{data}"
    return f'<a class="download" download="{escape(name)}" href="{address}">{escape(text)}</a>'
