"""The paper's Table 1: the improved system, and what it loses without each of its modules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd
import plotly.graph_objects as go

from analysis.figures.intervals import MODULES, WITHOUT, ablation_figure, paper_drop
from analysis.figures.theme import SYSTEM_COLOURS, TEXT, finish
from analysis.findings_tables import settings_text
from analysis.lists import enumerated
from analysis.panels.base import CellKey, Exhibit, Panel, cells_with
from analysis.panels.scores import (
    LOWER_IS_BETTER,
    between,
    guessing,
    hundredths,
    metric_selector,
    metric_words,
    paper_conditions,
    scored_on,
    seeds_of,
    turned,
)
from analysis.stats.claims import LEVEL, holm
from analysis.stats.claims import METRICS as LIKE_ACCURACY
from analysis.stats.comparison import DRAWS, Comparison, compare, fold_scores
from analysis.stats.paired import ComparisonError
from analysis.stats.paper import FULL, Paper, read_paper
from analysis.stats.runs import FoundRuns, MeasuredRun
from cry_model.records import Estimate

NAMES = {FULL: "all modules", **WITHOUT}
ROW = 72  # pixels
BESIDE = 0.24  # of a row, by which folds lie below the system's own mark and the paper's above it


def ablation_scores(
    runs: Mapping[str, MeasuredRun], metric: str, paper: Paper | None
) -> pd.DataFrame:
    """Everything that the figure shows, a row for each mark.

    Args:
        runs: system -> its run, all of one cell.
        metric: of :data:`cry_model.metrics.METRICS`.
        paper: None if it has no such metric.

    Returns:
        Columns mark ("measured", "fold", "paper" or "guessing"), system, seed, fold, value, low
        and high; the last of it all 0 to 1.

    Raises:
        ResultsError: if the predictions of a run cannot be read.
    """
    rows = []
    for system, run in runs.items():
        e = run.evaluation.metrics[metric]
        rows.append(("measured", system, None, None, e.value, e.low, e.high))
        for fold in fold_scores(run, metric):
            rows.append(("fold", system, fold.seed, fold.fold, fold.value, None, None))
        if paper is not None:
            rows.append(("paper", system, None, None, paper.accuracy[system], None, None))
    guess = guessing(next(iter(runs.values())).evaluation, metric)
    if guess is not None:
        rows.append(("guessing", guess.words, None, None, guess.value, None, None))
    columns = ["mark", "system", "seed", "fold", "value", "low", "high"]
    table = pd.DataFrame(rows, columns=columns)
    return table.astype({"seed": "Int64", "fold": "Int64"})


def ablation_scores_figure(table: pd.DataFrame, metric: str) -> go.Figure:
    """A line for each system, all modules on top; ``table`` as :func:`ablation_scores` gives it."""
    systems = [name for name in NAMES if name in set(table["system"])]
    places = {system: float(-place) for place, system in enumerate(systems)}
    traces = []
    for mark, draw in (("fold", _folds), ("paper", _paper), ("measured", _measured)):
        own = table[table["mark"] == mark]
        if not own.empty:
            traces.append(draw(own, places))
    for guess in table[table["mark"] == "guessing"].itertuples():
        traces.append(_guess(guess.system, 100 * guess.value, len(systems)))
    names = {
        "tickvals": list(places.values()),
        "ticktext": [NAMES[system].replace(" ", "<br>") for system in systems],
        "range": [0.5 - len(systems), 0.5],
        "showgrid": False,
    }
    title = {"title": {"text": f"{metric_words(metric)} per recording (%)"}}
    figure = go.Figure(traces, {"xaxis": title, "yaxis": names, "hovermode": "closest"})
    finish(figure, height=142 + ROW * len(systems)).layout.margin.b = 56
    return figure


def _measured(own: pd.DataFrame, places: Mapping[str, float]) -> go.Scatter:
    value = 100 * own["value"]
    return go.Scatter(
        x=value,
        y=own["system"].map(places),
        error_x={
            "type": "data",
            "symmetric": False,
            "array": 100 * own["high"] - value,
            "arrayminus": value - 100 * own["low"],
            "color": TEXT,
            "thickness": 1.5,
            "width": 5,
        },
        mode="markers",
        marker={"size": 12, "color": own["system"].map(SYSTEM_COLOURS), "symbol": "square"},
        name="all folds, with 95 % interval",
        legendrank=1,
        customdata=100 * own[["low", "high"]],
        hovertemplate="%{x:.1f} % (%{customdata[0]:.1f} to %{customdata[1]:.1f})<extra></extra>",
    )


def _folds(own: pd.DataFrame, places: Mapping[str, float]) -> go.Scatter:
    return go.Scatter(
        x=100 * own["value"],
        y=own["system"].map(places) - BESIDE,
        mode="markers",
        marker={"size": 6, "color": TEXT, "opacity": 0.7},
        name="one fold of one seed",
        legendrank=2,
        customdata=own[["seed", "fold"]],
        hovertemplate="%{x:.1f} %, seed %{customdata[0]}, fold %{customdata[1]}<extra></extra>",
    )


def _paper(own: pd.DataFrame, places: Mapping[str, float]) -> go.Scatter:
    return go.Scatter(
        x=100 * own["value"],
        y=own["system"].map(places) + BESIDE,
        mode="markers",
        marker={"size": 10, "color": TEXT, "symbol": "diamond-open", "line": {"width": 2}},
        name="the paper",
        legendrank=3,
        hovertemplate="the paper: %{x:.2f} %<extra></extra>",
    )


def _guess(name: str, value: float, count: int) -> go.Scatter:
    return go.Scatter(
        x=[value, value],
        y=[0.5 - count, 0.5],
        mode="lines",
        line={"color": TEXT, "dash": "dot", "width": 1.5},
        name=name,
        legendrank=4,
        hovertemplate=f"{name}: %{{x:.1f}} %<extra></extra>",
    )


"""As many as for the interval of a single score; half of what the page of findings takes."""


@dataclass(frozen=True)
class Drop:
    """The improved system beside the one that lacks a module.

    Attributes:
        comparison: improved minus ablation, over the seeds that both have.
        corrected: its p-value after Holm's correction over the drops of the cell.
    """

    comparison: Comparison
    corrected: float

    @property
    def system(self) -> str:
        """Which system lacks the module."""
        return self.comparison.other

    @property
    def difference(self) -> Estimate:
        """Improved minus ablation."""
        return self.comparison.difference

    @property
    def excludes_zero(self) -> bool:
        """Whether the interval lies on one side of zero."""
        return self.difference.low > 0 or self.difference.high < 0


@dataclass(frozen=True)
class Drops:
    """Those of one cell by one metric.

    Attributes:
        found: of each ablation that can be compared, in the order of the registry.
        reasons: why others cannot, a sentence each.
    """

    found: tuple[Drop, ...]
    reasons: tuple[str, ...] = ()


def drops_of(runs: Mapping[str, MeasuredRun], metric: str, draws: int = DRAWS) -> Drops:
    """Compares the improved system with each ablation that was run.

    Args:
        runs: system -> its run, all of one cell, the improved system among them.
        metric: one of :data:`analysis.stats.bootstrap.COMPARED`.
        draws: how often groups are resampled, and how often answers are swapped.

    Raises:
        ResultsError: if the predictions of a run cannot be read.
    """
    full, compared, reasons = runs[FULL], [], []
    for system in (name for name in WITHOUT if name in runs):
        seeds = sorted(set(full.seeds) & set(runs[system].seeds))
        try:
            compared.append(compare(full, runs[system], metric, seeds, draws))
        except ComparisonError as error:
            reasons.append(str(error))
    corrected = holm([comparison.p_value for comparison in compared])
    return Drops(tuple(map(Drop, compared, corrected)), tuple(reasons))


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


def level_title(runs: Mapping[str, MeasuredRun], metric: str) -> str:
    """What the improved system scores, whether an ablation scores better, what guessing gives."""
    lowest = metric in LOWER_IS_BETTER
    estimates = {system: run.evaluation.metrics[metric] for system, run in runs.items()}
    full, word = estimates[FULL], "lowest" if lowest else "highest"
    best = (min if lowest else max)(estimate.value for estimate in estimates.values())
    said = f"With all modules {metric_words(metric)} is {hundredths(full.value)} %"
    if full.value == best:
        said += f", the {word} of {len(runs)}"
    else:
        system = next(name for name, estimate in estimates.items() if estimate.value == best)
        said += f"; the {word}, {hundredths(best)} %, is {WITHOUT[system]}"
    guess = guessing(runs[FULL].evaluation, metric)
    return said if guess is None else f"{said}; {guess.words} scores {hundredths(guess.value)} %"


def drop_title(drops: Sequence[Drop], metric: str) -> str:
    """Which module is missed most, and which intervals exclude zero."""
    if not drops:
        return "No module can be compared"
    if len(drops) == 1:
        word = "excludes" if drops[0].excludes_zero else "includes"
        module = MODULES[drops[0].system]
        return f"Without {module} {_change(drops[0], metric)}; the interval {word} zero"
    most = max(drops, key=lambda drop: _harm(drop, metric))
    if _harm(most, metric) > 0:
        said = f"Leaving out {MODULES[most.system]} costs most: {_change(most, metric)}"
    else:
        said = f"No module is missed: without each, {metric_words(metric)} is as good or better"
    return f"{said}; {_excluding(drops, metric)}"


def holm_line(drops: Sequence[Drop]) -> str:
    """What is left after the correction for the number of drops; empty for a single one."""
    if len(drops) < 2:
        return ""
    names = [MODULES[drop.system] for drop in drops if drop.corrected <= LEVEL]
    if not names:
        left = "no difference is"
    elif len(names) == len(drops):
        left = "each difference is"
    else:
        left = f"only the difference without {enumerated(names)} is"
    return f"After Holm's correction for {len(drops)} comparisons {left} beyond chance ({LEVEL})."


def paper_line(paper: Paper) -> str:
    """Which module the paper misses most."""
    most = max(MODULES, key=lambda system: paper_drop(paper, system))
    lost = hundredths(paper_drop(paper, most))
    return f"In the paper leaving out {MODULES[most]} costs most, {lost} points of accuracy."


def _harm(drop: Drop, metric: str) -> float:
    value = drop.difference.value
    return -value if metric in LOWER_IS_BETTER else value


def _change(drop: Drop, metric: str) -> str:
    """ "accuracy falls by 2.2 points (95 % interval -1.0 to 5.4)" """
    e, word = drop.difference, "falls"
    if e.value < 0:
        e, word = turned(e), "rises"
    by = f"{hundredths(e.value)} points (95 % interval {between(e)})"
    return f"{metric_words(metric)} {word} by {by}"


def _excluding(drops: Sequence[Drop], metric: str) -> str:
    found = [drop for drop in drops if drop.excludes_zero]
    if not found:
        return "no interval excludes zero"
    missed = [MODULES[drop.system] for drop in found if _harm(drop, metric) > 0]
    useless = [MODULES[drop.system] for drop in found if _harm(drop, metric) < 0]
    parts = [
        f"without {enumerated(names)} it is {word}, and the interval{_excludes(len(names))} zero"
        for names, word in ((missed, "worse"), (useless, "better"))
        if names
    ]
    if all(drop.corrected > LEVEL for drop in found):
        parts.append("after Holm's correction nothing is beyond chance")
    return "; ".join(parts)


def _excludes(count: int) -> str:
    return " excludes" if count == 1 else "s exclude"


def ablation(found: FoundRuns, cell: CellKey, metric: str) -> tuple[Exhibit, ...]:
    """What each system scores, and the paired differences; without these if none can be had."""
    own, paper = found.of(*cell), read_paper()
    runs = {system: own[system] for system in NAMES if system in own}
    drops = drops_of(runs, metric)
    name = f"{cell.dataset}-{cell.protocol}-{metric}".replace("_", "-")
    levels = _levels(name, runs, metric, paper, drops)
    return (levels, _drops(name, runs, metric, paper, drops)) if drops.found else (levels,)


def _levels(
    name: str, runs: Mapping[str, MeasuredRun], metric: str, paper: Paper, drops: Drops
) -> Exhibit:
    data = ablation_scores(runs, metric, paper if metric == "accuracy" else None)
    full = runs[FULL]
    missing = [WITHOUT[system] for system in WITHOUT if system not in runs]
    settings = settings_text(full)
    note = [
        scored_on(full),
        seeds_of(list(runs.values())),
        "A fold is scored on what was tested in it; under `clip` these may be some pieces of a "
        "recording."
        if full.protocol == "clip"
        else "",
        f"Not run: {', '.join(missing)}." if missing else "",
        f"The improved system is a variant of the paper's ({settings})." if settings else "",
        paper_conditions(paper, full.dataset),
        *drops.reasons,
    ]
    return Exhibit(
        name=f"ablation-{name}",
        title=level_title(runs, metric),
        data=data,
        figure=ablation_scores_figure(data, metric),
        note=" ".join(filter(None, note)),
    )


def _drops(
    name: str, runs: Mapping[str, MeasuredRun], metric: str, paper: Paper, drops: Drops
) -> Exhibit:
    found = drops.found
    beside = paper if metric in LIKE_ACCURACY else None
    note = [
        "All modules minus one left out, on the same recordings of the same folds. Intervals: "
        f"{DRAWS} draws of whole groups, the same for both; p: both systems' answers swapped at "
        f"random within groups, {DRAWS} times. Neither knows how far another seed would differ.",
        holm_line(found),
        paper_line(paper),
    ]
    figure = ablation_figure([drop.comparison for drop in found], beside)
    if metric in LOWER_IS_BETTER:
        figure.layout.yaxis.title.text = f"{metric_words(metric)}, difference (points)"
    return Exhibit(
        name=f"ablation-drops-{name}",
        title=drop_title(found, metric),
        data=drop_rows(found, metric, beside),
        figure=figure,
        table=ablation_table(runs, metric, paper, found),
        note=" ".join(filter(None, note)),
    )


def ablation_cells(found: FoundRuns) -> tuple[CellKey, ...]:
    """Those with the improved system and at least one ablation."""
    return cells_with(found, lambda runs: FULL in runs and any(name in runs for name in WITHOUT))


ABLATION = Panel(
    name="ablation",
    title="Ablation",
    lead="The paper's Table 1: what the improved ECAPA-TDNN owes to multi-scale channel attention "
    "(MCA), residual squeeze-and-excitation (RSE) and differential attention.",
    draw=ablation,
    cells=ablation_cells,
    places=2,
    selectors=(metric_selector(),),
)
