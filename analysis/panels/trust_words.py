"""What calibration, coverage and sets say, in a sentence each."""

from __future__ import annotations

from analysis.stats.calibration import ALL, HALF, Coverage, Reliability
from cry_model.calibration import Calibration
from cry_model.records import Estimate, percent, words


def reliability_finding(system: str, before: Reliability, after: Reliability | None) -> str:
    """What temperature scaling does to the calibration error; without it, how sure and how right.

    Args:
        system: its title.
        before: of the probabilities as they are.
        after: of the same recordings; None if they cannot be scaled.
    """
    if after is None:
        return f"The calibration error of {system} is {before.error}: {_sureness(before.excess)}"
    change = after.less(before)
    what = "lowers" if change.value < 0 else "raises"
    if f"{before.error.value:.3f}" == f"{after.error.value:.3f}":
        what = "hardly changes"
    return (
        f"Temperature scaling {what} the calibration error of {system}, from {before.error} to "
        f"{after.error}; the interval of the change {_zero(change)}"
    )


def coverage_finding(system: str, own: Coverage) -> str:
    """What is gained by answering the surer half alone.

    Args:
        system: its title.
        own: of it.
    """
    every, half = percent(own.accuracy[ALL].value), percent(own.accuracy[HALF].value)
    if every == half:
        moved = f"leaves the accuracy of {system} at {every}"
    else:
        what = "raises" if own.gain.value > 0 else "lowers"
        moved = f"{what} the accuracy of {system} from {every} to {half}"
    found = f"Answering only the surer half {moved}; the interval of the change {_zero(own.gain)}"
    usual = own.usual_accuracy[HALF]
    if usual < own.accuracy[HALF].value:
        return found
    return f"{found}, and always “{words(own.usual)}” is right for {percent(usual)} of that half"


def sets_finding(calibration: Calibration) -> str:
    """What was promised of the sets of labels, and what was measured."""
    coverage, labels = calibration.coverage, calibration.by_label
    least = min(labels, key=lambda label: labels[label])
    return (
        f"Promised to hold the right label for {percent(calibration.promised)} of recordings, the "
        f"sets hold it for {percent(coverage.value)} [{100 * coverage.low:.0f}, "
        f"{100 * coverage.high:.0f}], with {calibration.size.value:.1f} labels on average; least "
        f"often for {words(least)} ({percent(labels[least])})"
    )


def _sureness(excess: Estimate) -> str:
    points = f"{abs(100 * excess.value):.1f} points"
    if excess.low <= 0 <= excess.high:
        return "on average its answers are about as sure as right"
    side = "surer than right" if excess.value > 0 else "less sure than right"
    return f"on average its answers are {points} {side}"


def _zero(change: Estimate) -> str:
    return "includes zero" if change.low <= 0 <= change.high else "excludes zero"
