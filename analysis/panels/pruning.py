"""Draw what is left of a model's score when channels are removed and numbers are int8."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from analysis.figures.intervals import cost_figure
from analysis.panels import base
from analysis.stats.runs import METRIC_TITLES, MeasuredRun
from analysis.stats.side_results import read_pruning
from cry_model.records import PruningEffect

NOTE = (
    "Each fold lost its least important channels (first-order Taylor importance, Molchanov et al. "
    "2019) and was fitted again for a third of the epochs, with the full model as teacher; nothing "
    "that a fold tests was heard. Bars: 95% intervals over whole groups; int8 is drawn a little to "
    "the right. Multiply-adds: for 5 s of sound, without the front end. File: the graph for "
    "onnxruntime, front end included. Other models: as in the table above, all their seeds."
)
COSTS = {
    "parameters": (1e6, "parameters (millions)"),
    "multiply_adds": (1e9, "multiply-adds for 5 s (billions)"),
}
"""Field of a variant -> how much of it is one unit, and the axis in units."""


def pruning(
    runs: Mapping[str, MeasuredRun], cell: base.CellKey, metric: str, cost: str
) -> tuple[base.Exhibit, ...]:
    """Draw pruned models of one cell against their cost, if some were measured.

    What was not measured of them is shown as balanced accuracy, and costs as multiply-adds.
    """
    found = {name: effect for name, run in runs.items() if (effect := read_pruning(run.folder))}
    if not found:
        return ()
    known = set.intersection(*({*one.scores} for e in found.values() for one in e.variants))
    metric = metric if metric in known else "balanced_accuracy"
    cost = cost if cost in COSTS else "multiply_adds"
    unit, axis = COSTS[cost]
    rows = pd.DataFrame(
        [
            *(row for name, effect in found.items() for row in _variants(name, effect, metric)),
            *(_whole(run, metric) for name, run in runs.items() if name in base.COMPARED[1:]),
        ]
    ).dropna(subset=["value", cost])
    title, name = METRIC_TITLES[metric], f"{cell.dataset}-{cell.protocol}-{metric}-{cost}"
    quantised = rows["precision"] == "int8"
    drawn = rows.assign(
        open=quantised, cost=rows[cost] / unit * quantised.map({False: 1, True: 1.04})
    )
    lines = [
        f"{base.short_title(system)}, {base.seeds_text(effect.seeds)}: {found_text(effect, metric)}"
        for system, effect in found.items()
    ]
    return (
        base.Exhibit(
            name=f"pruning-{name}".replace("_", "-"),
            title="Score against cost when channels are removed",
            data=rows,
            figure=cost_figure(drawn, axis, f"{title} per recording (%)"),
            table=_table(rows, title),
            note=f"{'; '.join(lines)}\n\n{NOTE}",
        ),
    )


def found_text(effect: PruningEffect, metric: str) -> str:
    """Write how a score changes in int8, and with half of the multiply-adds or the most below."""
    full, quantised, *rest = effect.variants
    parts = [f"by {base.points_text(quantised.difference[metric])} in int8"]
    cheap = [one for one in rest if 2 * one.multiply_adds <= full.multiply_adds]
    most = max((one.multiply_adds for one in cheap), default=0)
    for one in (one for one in cheap if one.multiply_adds == most):
        share = f"with {one.multiply_adds / full.multiply_adds:.0%} of the multiply-adds"
        how = "with both" if one.precision == "int8" else share
        parts.append(f"by {base.points_text(one.difference[metric])} {how}")
    return f"{METRIC_TITLES[metric]} changes {', '.join(parts)}"


def _variants(system: str, effect: PruningEffect, metric: str) -> list[dict[str, object]]:
    title = base.short_title(system)
    return [
        {
            "system": system,
            "title": f"{title}, {one.precision}",
            "name": f"{title}, {one.channels} channels, {one.precision}",
            **{name: getattr(one, name) for name in ("precision", "ratio", "channels")},
            "metric": metric,
            **vars(one.scores[metric]),
            **{f"difference_{end}": value for end, value in vars(one.difference[metric]).items()},
            **{name: getattr(one, name) for name in ("parameters", "multiply_adds", "bytes")},
            "epochs": one.epochs,
        }
        for one in effect.variants
    ]


def _whole(run: MeasuredRun, metric: str) -> dict[str, object]:
    title = base.short_title(run.system)
    return {
        **{"system": run.system, "title": title, "name": title, "precision": "float32"},
        **{"metric": metric, **vars(run.evaluation.metrics[metric])},
        **{"parameters": run.parameters, "multiply_adds": run.multiply_adds},
    }


def _table(rows: pd.DataFrame, title: str) -> pd.DataFrame:
    ends = ("value", "low", "high")
    score, difference = (
        rows[[f"{before}{end}" for end in ends]].apply(
            lambda row, form=form: form.format(*(100 * row)), axis=1
        )
        for before, form in (
            ("", "{:.1f} [{:.0f}, {:.0f}]"),
            ("difference_", "{:+.1f} [{:+.1f}, {:+.1f}]"),
        )
    )
    return pd.DataFrame(
        {
            "model": rows["name"],
            title: score,
            "difference": difference.mask(rows["ratio"].isna(), "–"),
            "parameters (M)": (rows["parameters"] / 1e6).round(2),
            "multiply-adds (G)": (rows["multiply_adds"] / 1e9).round(3),
            "file (MB)": (rows["bytes"] / 1e6).round(1),
        }
    )
