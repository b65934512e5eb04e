"""What a system costs, as the axis of a figure and in words."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from analysis.dashboard.systems_rows import SystemRow


@dataclass(frozen=True)
class CostAxis:
    """One thing that a system costs.

    Attributes:
        name: as a choice.
        words: as a count, for "costs twice the ...".
        unit: of a single number.
        axis: what stands at the axis.
        of: row -> the number at the axis; None where it is not known.
    """

    name: str
    words: str
    unit: str
    axis: str
    of: Callable[[SystemRow], float | None]


def _scaled(value: float | None, unit: float) -> float | None:
    return None if value is None else value / unit


def _milliseconds(row: SystemRow) -> float | None:
    return row.costs[min(row.costs)].total if row.costs else None


COST_AXES: Mapping[str, CostAxis] = {
    cost.name: cost
    for cost in (
        CostAxis(
            "parameters",
            "parameters",
            "million parameters",
            "parameters (millions)",
            lambda row: _scaled(row.parameters, 1e6),
        ),
        CostAxis(
            "multiply_adds",
            "multiply-adds",
            "billion multiply-adds",
            "multiply-adds for 5 s (billions)",
            lambda row: _scaled(row.multiply_adds, 1e9),
        ),
        CostAxis(
            "milliseconds",
            "time per clip",
            "ms per clip",
            "ms per clip of 5 s, one thread",
            _milliseconds,
        ),
    )
}
