"""The systems of a cell as options, by their titles."""

from __future__ import annotations

from analysis.dashboard.panel import CellKey, Option
from analysis.paper import FULL
from analysis.runs import FoundRuns
from cry_model.registry import get_system, list_models

COMPARED = (FULL, "ecapa-tdnn", "resnet18")
"""The systems whose matrices the paper shows, in its order."""


def system_title(name: str) -> str:
    """A system as a reader knows it; one that the registry lacks by its name."""
    return get_system(name).title if name in list_models() else name


def systems_there(found: FoundRuns, cell: CellKey) -> tuple[Option, ...]:
    """Those that were measured in a cell, the paper's comparison first."""
    there = list(found.of(*cell))
    there.sort(key=lambda name: COMPARED.index(name) if name in COMPARED else len(COMPARED))
    return tuple(Option(system_title(name), name) for name in there)
