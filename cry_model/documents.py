"""JSON as every reader takes it: the standard knows neither NaN nor infinity."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any


def to_json(record: Any, indent: int | None = 2) -> str:
    """Return a record as JSON; a number that is none becomes null.

    Args:
        record: of mappings, sequences, words, numbers and None.
        indent: blanks a level; None gives one line.
    """
    return json.dumps(_known(record), indent=indent, allow_nan=False)


def _known(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {name: _known(entry) for name, entry in value.items()}
    return [_known(entry) for entry in value] if isinstance(value, list | tuple) else value
