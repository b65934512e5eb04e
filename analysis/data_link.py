"""Downloads without a file on the server."""

from __future__ import annotations

import base64


def data_link(text: str, name: str, kind: str, content: str) -> str:
    """A download whose file is in the link itself, so that the server keeps none."""
    data = base64.b64encode(content.encode()).decode()
    return f'<a class="download" download="{name}" href="data:{kind};base64,{data}">{text}</a>'
