"""The rows of the paper's Table 2: each system's score and costs, and the paper's."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from analysis.figures.intervals import WITHOUT
from analysis.panels.scores import between, metric_words
from analysis.stats.paper import Paper
from analysis.stats.runs import MeasuredRun
from analysis.stats.side_results import Cost, Costs
from cry_model.records import Estimate
from cry_model.registry import MEBI, get_system, list_models

FLOAT32 = 4  # bytes
STATED = " (paper)"


@dataclass(frozen=True)
class SystemRow:
    """One system, as it was measured or as the paper has it.

    Attributes:
        system: its name in the registry.
        stated: whether the numbers are the paper's.
        accuracy: 0 to 1.
        score: the chosen metric; None if the paper does not have it, without interval if it does.
        parameters: how many; None where the paper does not say.
        multiply_adds: for five seconds; of the paper: its FLOPs.
        costs: number of threads -> time of a clip.
    """

    system: str
    stated: bool
    accuracy: float
    score: Estimate | None
    parameters: float | None
    multiply_adds: float | None
    costs: Mapping[int, Cost]

    @property
    def title(self) -> str:
        """As the table has it; of an ablation what it lacks."""
        known = self.system in list_models()
        title = get_system(self.system).title if known else self.system
        return WITHOUT.get(self.system, title) + STATED * self.stated

    @property
    def mebibytes(self) -> float | None:
        """What the weights take on disk, four bytes each; None for the paper's."""
        return None if self.stated else FLOAT32 * self.parameters / MEBI


def system_rows(
    runs: Mapping[str, MeasuredRun], metric: str, paper: Paper, costs: Costs | None
) -> tuple[SystemRow, ...]:
    """Each system that was run or stands in the paper's Table 2; ours above the paper's.

    Args:
        runs: system -> its run, all of one cell.
        metric: of :data:`cry_model.metrics.METRICS`.
        paper: what it prints.
        costs: None if the times of a clip are not known.
    """
    rows = []
    for system in dict.fromkeys([*list_models(), *runs]):
        if system in runs:
            rows.append(_measured(runs[system], metric, costs))
        if system in paper.accuracy and (system in runs or system in paper.parameters_mebi):
            rows.append(_stated(system, metric, paper))
    return tuple(rows)


def _measured(run: MeasuredRun, metric: str, costs: Costs | None) -> SystemRow:
    times = {}
    for threads in costs.threads if costs else ():
        cost = costs.of(run.system, threads)
        if cost is not None:
            times[threads] = cost
    metrics = run.evaluation.metrics
    return SystemRow(
        system=run.system,
        stated=False,
        accuracy=metrics["accuracy"].value,
        score=metrics[metric],
        parameters=run.parameters,
        multiply_adds=run.multiply_adds,
        costs=times,
    )


def _stated(system: str, metric: str, paper: Paper) -> SystemRow:
    accuracy, mebi = paper.accuracy[system], paper.parameters_mebi.get(system)
    giga = paper.flops_giga.get(system)
    return SystemRow(
        system=system,
        stated=True,
        accuracy=accuracy,
        score=Estimate(accuracy, accuracy, accuracy) if metric == "accuracy" else None,
        parameters=None if mebi is None else mebi * MEBI,
        multiply_adds=None if giga is None else giga * 1e9,
        costs={},
    )


def shown_table(rows: Sequence[SystemRow], metric: str, threads: Sequence[int]) -> pd.DataFrame:
    """As the page shows it; numbers stay numbers, so that every column can be sorted."""
    return pd.DataFrame([_shown(row, metric, threads) for row in rows])


def _shown(row: SystemRow, metric: str, threads: Sequence[int]) -> dict[str, object]:
    digits = 2 if row.stated else 1  # as the paper prints it
    shown: dict[str, object] = {
        "system": row.title,
        "accuracy (%)": _round(row.accuracy, 100, digits),
    }
    value = None if row.score is None else row.score.value
    if metric != "accuracy":
        shown[f"{metric_words(metric)} (%)"] = _round(value, 100, 1)
    shown |= {
        "95 % interval": "" if row.stated or row.score is None else between(row.score),
        "parameters (M)": _round(row.parameters, 1e-6, 2),
        "Param (MB)": _round(row.parameters, 1 / MEBI, 2),
        "multiply-adds (G)": _significant(row.multiply_adds, 1e-9),
        "on disk (MiB)": _round(row.mebibytes, 1, 2),
    }
    for number in threads:
        cost = row.costs.get(number)
        which = f", {number} thread{'s' * (number > 1)}"
        shown[f"ms per clip{which}"] = None if cost is None else round(cost.total, 1)
        shown[f"clips/s{which}"] = None if cost is None else round(cost.clips_per_second, 1)
    return shown


def _round(value: float | None, factor: float, digits: int) -> float | None:
    return None if value is None else round(factor * value, digits)


def _significant(value: float | None, factor: float) -> float | None:
    return None if value is None else float(f"{factor * value:.4g}")


def tidy(rows: Sequence[SystemRow], metric: str) -> pd.DataFrame:
    """The same for the download, in plain units."""
    table = []
    for row in rows:
        table.append(
            {
                "system": row.system,
                "source": "paper" if row.stated else "measured",
                "accuracy": row.accuracy,
                "metric": metric,
                "value": None if row.score is None else row.score.value,
                "low": None if row.score is None or row.stated else row.score.low,
                "high": None if row.score is None or row.stated else row.score.high,
                "parameters": row.parameters,
                "multiply_adds_5s": row.multiply_adds,
                "mebibytes_float32": row.mebibytes,
                **{f"ms_per_clip_{n}_threads": cost.total for n, cost in row.costs.items()},
            }
        )
    return pd.DataFrame(table)


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
