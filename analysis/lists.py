"""Lists as sentences have them."""

from __future__ import annotations

from collections.abc import Sequence


def enumerated(names: Sequence[str]) -> str:
    """ "MCA, RSE and differential attention" """
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last
