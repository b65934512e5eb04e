"""What the ablation measured, in rows: for the download and for the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from analysis.ablation_figure import MODULES, WITHOUT, paper_drop
from analysis.dashboard.ablation_scores import NAMES
from analysis.dashboard.drops import Drop
from analysis.dashboard.scores import LOWER_IS_BETTER, between, metric_words
from analysis.measured_run import MeasuredRun
from analysis.paper import FULL, Paper


def drop_rows(found: Sequence[Drop], metric: str, paper: Paper | None) -> pd.DataFrame:
    """A row for each bar; shares, not points."""
    rows = [
        {
            "source": "measured",
            "without": MODULES[drop.system],
            "metric": metric,
            "all_modules": drop.comparison.value_one,
            "left_out": drop.comparison.value_other,
            "difference": drop.difference.value,
            "low": drop.difference.low,
            "high": drop.difference.high,
            "p_value": drop.comparison.p_value,
            "p_holm": drop.corrected,
            "seeds": " ".join(map(str, drop.comparison.by_seed)),
        }
        for drop in found
    ]
    if paper is not None:
        rows += [
            {
                "source": "paper",
                "without": module,
                "metric": "accuracy",
                "all_modules": paper.accuracy[FULL],
                "left_out": paper.accuracy[system],
                "difference": paper_drop(paper, system),
            }
            for system, module in MODULES.items()
        ]
    return pd.DataFrame(rows)


def ablation_table(
    runs: Mapping[str, MeasuredRun], metric: str, paper: Paper, found: Sequence[Drop]
) -> pd.DataFrame:
    """As the page shows it: a row for each system that was run."""
    drops, what = {drop.system: drop for drop in found}, metric_words(metric)
    lost = "difference" if metric in LOWER_IS_BETTER else "lost"
    rows = []
    for system, run in runs.items():
        e, drop = run.evaluation.metrics[metric], drops.get(system)
        row = {
            "system": NAMES[system],
            f"{what} (%)": round(100 * e.value, 1),
            "95 % interval": between(e),
        }
        if drop is not None:
            row |= {
                f"{lost} (points)": round(100 * drop.difference.value, 1),
                "its interval": between(drop.difference),
                "p": round(drop.comparison.p_value, 3),
                "p, Holm": round(drop.corrected, 3),
            }
        row["paper, accuracy (%)"] = round(100 * paper.accuracy[system], 2)
        if system in WITHOUT:
            row["paper, lost"] = round(100 * paper_drop(paper, system), 2)
        rows.append(row)
    order = dict.fromkeys(column for row in sorted(rows, key=len, reverse=True) for column in row)
    return pd.DataFrame(rows, columns=list(order))
