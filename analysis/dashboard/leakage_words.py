"""What leakage means, in a sentence that is chosen by what was measured."""

from __future__ import annotations

from collections.abc import Sequence

from analysis.guessing import Guess, guess
from analysis.leak import Leak
from analysis.measured_run import MeasuredRun
from analysis.points import number, points, span
from analysis.split_words import on_what
from cry_model.records import Estimate, words
from cry_model.registry import get_system


def finding(lax: MeasuredRun, strict: MeasuredRun, metric: str, lost: Estimate) -> str:
    """How much of what one system has above guessing is left under the strictest split.

    Args:
        lax: its run under the laxest split.
        strict: its run under the strictest.
        metric: one of :data:`analysis.guessing.SCORES`.
        lost: the paired difference of the two.
    """
    known, new = (on_what(run.dataset, run.protocol) for run in (lax, strict))
    title, name = get_system(lax.system).title, words(metric)
    first, last = (run.evaluation.metrics[metric] for run in (lax, strict))
    base, floor = guess(lax.evaluation, metric), guess(strict.evaluation, metric)
    if first.low <= base.value:
        return _nothing_to_lose(title, name, first, base, known)
    above = (
        f"Of the {title}’s {points(first.value - base.value)} of {name} above {base.who} on "
        f"{known}, "
    )
    left = number(last.value - floor.value)
    interval = span(last.low - floor.value, last.high - floor.value)
    if last.high < floor.value:
        return f"{above}none are left for {new}: there it scores below {floor.who} ({interval})"
    if last.low <= floor.value:
        return f"{above}none can be shown for {new} ({left}; {interval})"
    if lost.low <= 0:
        return f"{above}no loss can be shown for {new} ({left}; {interval})"
    return f"{above}{left} are left for {new} ({interval})"


def _nothing_to_lose(title: str, name: str, first: Estimate, base: Guess, known: str) -> str:
    if first.high < base.value:
        return (
            f"Even on {known} the {title} scores below {base.who} ({name} {first.value:.3f} "
            f"against {base.value:.3f})"
        )
    return f"Even on {known} the {name} of the {title} ({first}) cannot be told from {base.who}"


def loss_finding(leaks: Sequence[Leak], metric: str) -> str:
    """How many of the systems lose measurably from the laxest split to the strictest."""
    name = words(metric)
    falls = [leak for leak in leaks if leak.lost.low > 0]
    splits = {(leak.lax, leak.strict) for leak in leaks}
    lax, strict = splits.pop() if len(splits) == 1 else ("the laxest", "the strictest split")
    between = f"{lax} and {strict}"
    if len(leaks) == 1:
        one, title = leaks[0].lost, get_system(leaks[0].system).title
        amount, interval = points(one.value), span(one.low, one.high)
        if falls:
            return f"Between {between} the {title} loses {amount} of {name} ({interval})"
        return (
            f"Between {between} no loss of {name} can be shown for the {title} ({amount}; "
            f"{interval})"
        )
    if not falls:
        return f"Between {between} no loss of {name} can be shown for any of {len(leaks)} systems"
    who = f"{len(falls)} of {len(leaks)} systems"
    if len(falls) == len(leaks):
        who = "both systems" if len(leaks) == 2 else f"all {len(leaks)} systems"
    verb = "loses" if len(falls) == 1 else "lose"
    least, most = (number(f(leak.lost.value for leak in falls)) for f in (min, max))
    amount = points(falls[0].lost.value) if least == most else f"{least} to {most} points"
    return f"Between {between} {who} {verb} {name}, {amount}"
