"""Show calibration: reliability, accuracy against coverage, and prediction sets."""

from __future__ import annotations

from collections.abc import Mapping
from weakref import WeakKeyDictionary

import pandas as pd

from analysis.figures.curves import AFTER, BEFORE, coverage_figure, reliability_figure
from analysis.panels import base
from analysis.stats.calibration import ALL, HALF, Coverage, coverage, reliability, scaled
from analysis.stats.runs import FoundRuns, MeasuredRun, ResultsError
from cry_model.metrics import BINS, bootstrap, bootstrap_difference, mean
from cry_model.records import Calibration, Estimate, words
from cry_model.results import label_numbers, probabilities_of

ERROR = "expected_calibration_error"
NOTHING = "–"
DRAWN = slice(4, None)
"""Which of the shares are drawn: from 5 % on, since fewer answers say nothing."""


def set_rows(calibration: Calibration, support: Mapping[str, int]) -> pd.DataFrame:
    """Return a row for all labels together, with the target coverage, and one for each label;
    ``support``: label -> number of its recordings."""
    every = {
        "label": "all",
        "recordings": calibration.recordings,
        "promised": calibration.promised,
        "measured": calibration.coverage.value,
        "low": calibration.coverage.low,
        "high": calibration.coverage.high,
        "mean_size": calibration.size.value,
    }
    each = [
        {"label": label, "recordings": support.get(label, 0), "measured": share}
        for label, share in calibration.by_label.items()
    ]
    return pd.DataFrame([every, *each])


def set_table(data: pd.DataFrame) -> pd.DataFrame:
    """Return the same for reading."""
    interval = data["low"].map("[{:.2f}, ".format) + data["high"].map("{:.2f}]".format)
    return pd.DataFrame(
        {
            "Label": data["label"].map(words),
            "Recordings": data["recordings"],
            "Target": data["promised"].map("{:.2f}".format).mask(data["promised"].isna(), NOTHING),
            "Measured": data["measured"].map("{:.2f}".format),
            "Interval": interval.mask(data["low"].isna(), NOTHING),
        }
    )


RELIABILITY = (
    f"Accuracy of the answers by confidence, in {BINS} bins of equal width. The expected "
    "calibration error is the mean distance from the dotted line. It is biased upwards in small "
    "samples, and more so in resamples, so its interval is too high and may miss the value. "
    "Intervals of bins with few groups are too narrow."
)
SCALED = (
    "Temperature scaling softens or sharpens all probabilities of a model by one number, the "
    "temperature, so that confidence matches accuracy. A fold's temperature is fitted on the "
    "groups outside it, and kept when groups are resampled."
)
NOT_SCALED = (
    "With random segments no temperature is fitted: segments of one recording are in several "
    "folds, so it would say nothing about a new recording."
)
COVERAGE = (
    "Coverage is the share of recordings that get an answer: the most confident ones, ranked "
    "over all folds and seeds; ties each count in part. The area is the mean share of wrong "
    "answers over all coverages. The dash-dotted line is the score of always giving the most "
    "frequent label, on the same recordings: where one label is frequent, the most confident "
    "answers may just be that label. Below 5% there are too few answers to draw."
)
SETS = (
    "A prediction set names several labels instead of one: as many as it takes to include the true "
    "one with the target probability (conformal prediction by group). Measured on groups that had "
    "no part in the threshold; each group counts equally. The target holds for all labels "
    "together, not for each."
)


# 0.1 s each, and those of all models of a cell are drawn; cached as long as the run.
_coverages: WeakKeyDictionary[MeasuredRun, Coverage] = WeakKeyDictionary()


def coverage_of(run: MeasuredRun) -> Coverage:
    """Return the coverage of a run, temperature-scaled if its folds share no recordings."""
    if run not in _coverages:
        probabilities = scaled(run)
        if probabilities is None:
            probabilities = probabilities_of(run.recordings, run.labels)
        _coverages[run] = coverage(run.recordings, run.labels, probabilities)
    return _coverages[run]


def calibration_cards(
    found: FoundRuns, cell: base.CellKey, system: str
) -> tuple[base.Exhibit, ...]:
    """Draw the reliability diagram, accuracy against coverage and, if measured, prediction sets."""
    runs = {name: run for name, run in found.of(*cell).items() if run.scored}
    run, name = runs[system], f"{cell.dataset}-{cell.protocol}-{system}"
    exhibits = (_reliability(run, name), _coverage(runs, run, name))
    if run.calibration is None:
        return exhibits
    return (*exhibits, _sets(run, run.calibration, name))


def _ends(name: str, e: Estimate) -> dict[str, float]:
    return {name: e.value, f"{name}_low": e.low, f"{name}_high": e.high}


def _reliability(run: MeasuredRun, name: str) -> base.Exhibit:
    truth, groups = label_numbers(run.recordings, run.labels), run.recordings["group"].tolist()
    before, after = probabilities_of(run.recordings, run.labels), scaled(run)
    drawn = {BEFORE: before} if after is None else {BEFORE: before, AFTER: after}
    errors = {which: bootstrap(ERROR, truth, p, groups) for which, p in drawn.items()}
    excess = mean(before.max(1) - (before.argmax(1) == truth), groups)
    line = f"Expected calibration error {errors[BEFORE]}, confidence minus accuracy {excess}."
    if after is not None:
        change = bootstrap_difference(ERROR, truth, after, before, groups)
        line += f" After temperature scaling {errors[AFTER]}, change {change}."
    if run.calibration is not None:
        line += (
            f" If each group counts equally: {run.calibration.error_before} before and "
            f"{run.calibration.error_after} after."
        )
    parts = [
        reliability(truth, p, groups).assign(
            probabilities=which, **_ends("calibration_error", errors[which])
        )
        for which, p in drawn.items()
    ]
    data = pd.concat(parts, ignore_index=True)
    return base.Exhibit(
        f"reliability-{name}",
        f"Reliability diagram: {base.system_title(run.system)}",
        data,
        reliability_figure(data, run.system),
        note=f"{line}\n\n{RELIABILITY} {NOT_SCALED if after is None else SCALED} "
        f"{base.scored_on(run)}",
    )


def _coverage(runs: Mapping[str, MeasuredRun], run: MeasuredRun, name: str) -> base.Exhibit:
    own = coverage_of(run)
    curves, left_out = {run.system: own}, ""
    for system, other in runs.items():
        try:
            curves[system] = coverage_of(other)
        except ResultsError as error:
            left_out += f" {base.system_title(system)} is left out: {error}"
    parts = [
        of.curve[DRAWN].assign(system=system, **_ends("mean_error", of.error))
        for system, of in curves.items()
    ]
    data = pd.concat(parts, ignore_index=True).round(5)
    every, half = (
        Estimate(*own.curve.loc[row, ["accuracy", "low", "high"]]) for row in (ALL, HALF)
    )
    return base.Exhibit(
        f"coverage-{name}",
        f"Accuracy against coverage: {base.system_title(run.system)}",
        data,
        coverage_figure(
            data.assign(name=data["system"].map(base.system_title)), run.system, own.usual
        ),
        note=f"Accuracy of all answers {every}, of the more confident half {half}, "
        f"difference {own.gain}; always “{words(own.usual)}” on that half "
        f"{own.curve.loc[HALF, 'always_the_most_frequent']:.3f}. Area under the risk-coverage "
        f"curve {own.error}.\n\n{COVERAGE}{left_out}",
    )


def _sets(run: MeasuredRun, calibration: Calibration, name: str) -> base.Exhibit:
    data = set_rows(calibration, run.evaluation.support)
    constant = ", ".join(map(words, calibration.constant_set))
    return base.Exhibit(
        f"sets-{name}",
        f"Prediction sets: {base.system_title(run.system)}",
        data,
        table=set_table(data),
        note=f"Target coverage {calibration.promised:.0%}, measured {calibration.coverage}, mean "
        f"size {calibration.size.value:.1f}. Always the same set ({constant}): "
        f"{calibration.constant_coverage:.3f}.\n\n{SETS}",
    )


def _scored(found: FoundRuns, cell: base.CellKey) -> list[base.Option]:
    runs = found.of(*cell)
    return [option for option in base.systems_there(found, cell) if runs[str(option.value)].scored]


CALIBRATION = base.Panel(
    name="calibration",
    title="Calibration",
    lead="Whether an answer with 80% confidence is right four times in five, and how accuracy "
    "rises if the least confident answers are withheld.",
    draw=calibration_cards,
    cells=lambda found: base.cells_with(
        found, lambda runs: any(run.scored for run in runs.values())
    ),
    selectors=(base.Selector("system", "Model", _scored),),
)
