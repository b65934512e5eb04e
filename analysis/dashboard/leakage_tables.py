"""The numbers of the leakage panel: as downloaded, and as shown."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from analysis.findings_tables import signed
from analysis.guessing import guess
from analysis.leak import Leak
from analysis.measured_run import MeasuredRun
from analysis.runs import PROTOCOLS
from analysis.yardsticks import Yardstick
from cry_model.records import Estimate, words
from cry_model.registry import get_system, list_models

NOT_RUN = "not run"


def score_data(
    runs: Sequence[MeasuredRun], metric: str, beside: Sequence[Yardstick]
) -> pd.DataFrame:
    """A row for each mark: systems, yardsticks beside them, and the line of guessing."""
    rows = [
        ("system", run.system, run.protocol, *_bounds(run.evaluation.metrics[metric]))
        for run in runs
    ]
    rows += [("beside", y.name, y.protocol, *_bounds(y.estimate)) for y in beside]
    level = guess(runs[0].evaluation, metric)
    rows.append(("line", level.who, None, level.value, None, None))
    return pd.DataFrame(rows, columns=["mark", "name", "protocol", metric, "low", "high"])


def score_table(
    runs: Sequence[MeasuredRun], metric: str, beside: Sequence[Yardstick]
) -> pd.DataFrame:
    """A row for each of these, a column for each protocol that was measured."""
    measured: dict[str, dict[str, Estimate]] = {
        get_system(system).title: {
            run.protocol: run.evaluation.metrics[metric] for run in runs if run.system == system
        }
        for system in list_models()
    }
    for yardstick in beside:
        measured.setdefault(yardstick.title, {})[yardstick.protocol] = yardstick.estimate
    protocols = protocols_of(runs)
    rows = [
        [title, *(str(own[p]) if p in own else NOT_RUN for p in protocols)]
        for title, own in measured.items()
        if own
    ]
    level = guess(runs[0].evaluation, metric)
    rows.append([level.who, *[f"{level.value:.3f}"] * len(protocols)])
    return pd.DataFrame(rows, columns=[words(metric), *protocols])


def loss_data(leaks: Sequence[Leak], metric: str) -> pd.DataFrame:
    """A row for each system; shares of one, not points."""
    rows = [
        (leak.system, metric, leak.lax, leak.strict, *_bounds(leak.lost), leak.recordings)
        for leak in leaks
    ]
    columns = ["system", "metric", "lax", "strict", "lost", "low", "high", "recordings"]
    return pd.DataFrame(rows, columns=columns)


def loss_table(leaks: Sequence[Leak], metric: str) -> pd.DataFrame:
    """A row for each system."""
    rows = [
        (get_system(leak.system).title, f"{leak.lax} minus {leak.strict}", signed(leak.lost))
        for leak in leaks
    ]
    return pd.DataFrame(rows, columns=["system", "difference", words(metric)])


def protocols_of(runs: Sequence[MeasuredRun]) -> list[str]:
    """Those that were measured, the laxest first."""
    return [name for name in PROTOCOLS if name in {run.protocol for run in runs}]


def _bounds(estimate: Estimate) -> tuple[float, float, float]:
    return estimate.value, estimate.low, estimate.high
