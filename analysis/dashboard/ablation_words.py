"""The sentences of the ablation, chosen by what was measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from analysis.ablation_figure import MODULES, WITHOUT, paper_drop
from analysis.claims import LEVEL
from analysis.dashboard.drops import Drop
from analysis.dashboard.scores import (
    LOWER_IS_BETTER,
    between,
    guessing,
    hundredths,
    metric_words,
    turned,
)
from analysis.lists import enumerated
from analysis.measured_run import MeasuredRun
from analysis.paper import FULL, Paper


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
