"""What the comparison of two runs says: sentences, chosen by what was measured."""

from __future__ import annotations

from collections.abc import Sequence

from analysis.claims import LEVEL
from analysis.comparison import Comparison
from analysis.dashboard.systems import system_title
from analysis.flips import McNemar
from analysis.measured_run import MeasuredRun
from analysis.points import p_text, points, span
from analysis.split_words import kept_apart
from cry_model.records import words

LESS_IS_BETTER = "expected_calibration_error"


def metric_name(metric: str) -> str:
    """Short enough for an axis, and which way is better where it is not the usual one."""
    return "calibration error (less is better)" if metric == LESS_IS_BETTER else words(metric)


def difference_finding(c: Comparison) -> str:
    """Who is ahead by one metric, if anybody is."""
    one, other, name = system_title(c.one), system_title(c.other), words(c.metric)
    d = c.difference
    if d.low <= 0 <= d.high:
        return (
            f"By {name} the {one} and the {other} cannot be told apart: they differ by "
            f"{points(d.value, 1, True)} ({span(d.low, d.high, 1, True)})"
        )
    if (d.value > 0) == (c.metric == LESS_IS_BETTER):
        one, other = other, one
    near, far = sorted((abs(d.low), abs(d.high)))
    finding = (
        f"The {one} is ahead of the {other} by {points(abs(d.value), 1)} of {name} "
        f"({span(near, far, 1)})"
    )
    if c.p_value > LEVEL:
        finding += f", but answers swapped at random often are as far apart ({p_text(c.p_value)})"
    return finding


def difference_note(c: Comparison, runs: Sequence[MeasuredRun]) -> str:
    """How the differences were measured, and what they do not say."""
    groups = kept_apart(c.dataset, "baby")
    lines = [
        f"Run A: {system_title(c.one)}; run B: {system_title(c.other)}. Scored per recording on "
        f"the same {c.recordings} recordings and folds. A point is a hundredth of a metric. The "
        f"95 % intervals draw the {c.groups} {groups} anew, the same for both; p is the share of "
        "random swaps of both runs’ answers within a group that set them at least as far apart, "
        "not corrected for looking at several metrics.",
        _seeds(c),
    ]
    if not any(run.evaluation.better_than_chance for run in runs):
        lines.append("Neither is better than guessing here, so who is ahead says little.")
    return " ".join(lines)


def _seeds(c: Comparison) -> str:
    if len(c.by_seed) == 1:
        return "One seed of each: how another would differ is not in the intervals."
    return f"{len(c.by_seed)} seeds of each, pooled; open circles are one seed alone."


def mcnemar_finding(tests: Sequence[McNemar], run_a: str, run_b: str) -> str:
    """Whether the recordings that only one got right are divided as by chance."""
    a, b = system_title(run_a), system_title(run_b)
    sure = [test for test in tests if test.p_value <= LEVEL]
    if len(tests) > 1:
        return (
            f"McNemar’s test tells the {a} and the {b} apart in {len(sure)} of {len(tests)} seeds"
        )
    (test,) = tests
    counts = f"only A is right {test.only_one} times, only B {test.only_other} times"
    verdict = "tells the runs apart" if sure else "does not tell the runs apart"
    return f"McNemar’s test {verdict} ({p_text(test.p_value)}): {counts}"


def mcnemar_note(c: Comparison) -> str:
    """The caveat."""
    return (
        "The exact test (McNemar 1947): if either run were as likely to be the only one that is "
        "right, how often would the division be at least as uneven? It takes the "
        f"{c.recordings} recordings as independent; they come from {c.groups} "
        f"{kept_apart(c.dataset, 'baby')}, so its p may be too small. The p of the swaps above "
        "knows the groups."
    )


def flip_finding(tests: Sequence[McNemar], flips: int, run_a: str, run_b: str) -> str:
    """How many answers changed, and who alone was right."""
    total = sum(t.both + t.only_one + t.only_other + t.neither for t in tests)
    only_a, only_b = (sum(getattr(t, name) for t in tests) for name in ("only_one", "only_other"))
    what = "recordings" if len(tests) == 1 else f"answers of {len(tests)} seeds"
    return (
        f"{flips} of {total} {what} flipped: {only_a} are right only with the "
        f"{system_title(run_a)}, {only_b} only with the {system_title(run_b)}, "
        f"{flips - only_a - only_b} with neither"
    )


def flip_note(run_a: str, run_b: str) -> str:
    """What the columns are."""
    return (
        f"Every recording whose most probable label differs between run A "
        f"({system_title(run_a)}) and run B ({system_title(run_b)}); “right” is which of them gave "
        "the label that the recording has."
    )
