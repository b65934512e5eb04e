"""Set up the Jinja templates of ``analysis``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import jinja2

ANALYSIS = Path(__file__).parent


def environment(
    filters: dict[str, Callable[..., object]] | None = None, **settings: bool
) -> jinja2.Environment:
    """Return a Jinja environment that escapes values; unknown names raise UndefinedError."""
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(ANALYSIS),
        undefined=jinja2.StrictUndefined,
        **{"autoescape": True, "trim_blocks": True, "lstrip_blocks": True, **settings},
    )
    made.filters |= filters or {}
    return made
