"""The sentences of the systems' table, chosen by what was measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from analysis.panels.scores import (
    LOWER_IS_BETTER,
    between,
    guessing,
    hundredths,
    metric_words,
    turned,
)
from analysis.panels.systems_rows import CostAxis, SystemRow
from analysis.stats.comparison import DRAWS, compare
from analysis.stats.paired import ComparisonError
from analysis.stats.paper import FULL, Paper
from analysis.stats.runs import MeasuredRun
from cry_model.registry import get_system


def table_title(
    rows: Sequence[SystemRow], runs: Mapping[str, MeasuredRun], metric: str, paper: Paper
) -> str:
    """Which system scores best, which the paper has first, what guessing gives."""
    ours = [row for row in rows if not row.stated]
    word, pick = ("lowest", min) if metric in LOWER_IS_BETTER else ("highest", max)
    best = pick(ours, key=lambda row: row.score.value)
    which = f"the {word} of {len(ours)} systems" if len(ours) > 1 else "the only system run here"
    named = best.title[0].upper() + best.title[1:]  # "without MCA" begins a sentence here
    parts = [f"{named}: {hundredths(best.score.value)} % {metric_words(metric)}, {which}"]
    guess = guessing(runs[best.system].evaluation, metric)
    if guess is not None:
        parts.append(f"{guess.words} scores {hundredths(guess.value)} %")
    if metric == "accuracy":
        first = max(paper.accuracy, key=paper.accuracy.__getitem__)
        value = hundredths(paper.accuracy[first])
        parts.append(f"the paper has {get_system(first).title} first, {value} %")
    return "; ".join(parts)


def cost_title(
    rows: Sequence[SystemRow], runs: Mapping[str, MeasuredRun], metric: str, cost: CostAxis
) -> str:
    """What the dearest system costs and scores beside the improved one, or the first."""
    known = [row for row in rows if not row.stated and cost.of(row) is not None]
    if not known:
        return f"No {cost.words} are known of these systems"
    base = next((row for row in known if row.system == FULL), known[0])
    others = [row for row in known if row is not base]
    if not others:
        score = f"{hundredths(base.score.value)} % {metric_words(metric)}"
        return f"{base.title}: {score} for {cost.of(base):.3g} {cost.unit}"
    dearest = max(others, key=cost.of)
    one, other = (dearest, base) if cost.of(dearest) >= cost.of(base) else (base, dearest)
    ratio = cost.of(one) / cost.of(other)
    return (
        f"{one.title} costs {ratio:.{1 if ratio >= 1.1 else 2}f} times the {cost.words} of "
        f"{other.title}; {_difference(one, other, runs, metric)}"
    )


def _difference(
    one: SystemRow, other: SystemRow, runs: Mapping[str, MeasuredRun], metric: str
) -> str:
    value, interval = one.score.value - other.score.value, None
    seeds = sorted(set(runs[one.system].seeds) & set(runs[other.system].seeds))
    try:
        found = compare(runs[one.system], runs[other.system], metric, seeds, DRAWS).difference
        value, interval = found.value, between(found if found.value >= 0 else turned(found))
    except ComparisonError:
        pass
    paired = f"95 % interval {interval}" if interval else "not tested on the same folds"
    what, word = metric_words(metric), "lower" if value < 0 else "higher"
    return f"its {what} is {hundredths(abs(value))} points {word} ({paired})"
