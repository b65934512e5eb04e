"""Lists as sentences have them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence


def enumerated(names: Sequence[str]) -> str:
    """ "MCA, RSE and differential attention" """
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last


def grouped(pairs: Iterable[tuple[str, str]]) -> str:
    """What belongs to each title: "ESC-10 (`clip`, `baby`) and Donate-a-Cry (`baby`)"."""
    members: defaultdict[str, list[str]] = defaultdict(list)
    for title, member in pairs:
        members[title].append(member)
    return enumerated([f"{title} ({', '.join(names)})" for title, names in members.items()])
