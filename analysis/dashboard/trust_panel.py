"""How far to trust a confidence: reliability, accuracy against coverage, sets of labels."""

from __future__ import annotations

import pandas as pd

from analysis.class_words import names
from analysis.coverage_figure import coverage_figure
from analysis.dashboard.choices import SYSTEM, scored_on
from analysis.dashboard.exhibit import Exhibit
from analysis.dashboard.panel import CellKey, Panel, cells_with
from analysis.dashboard.systems import system_title
from analysis.dashboard.trust_tables import bin_rows, set_rows, set_table, share_rows
from analysis.measured_run import MeasuredRun
from analysis.reliability import reliability
from analysis.reliability_figure import AFTER, BEFORE, reliability_figure
from analysis.run_tables import ResultsError, label_numbers, probabilities_of
from analysis.runs import FoundRuns
from analysis.trust_words import coverage_finding, reliability_finding, sets_finding
from cry_model.calibration import Calibration
from cry_model.metrics import BINS
from cry_model.records import group_name, percent

BINNED = (
    f"{BINS} bins of equal width; every recording counts once. An error that is summed over bins "
    "comes out too large in a small sample, and larger in its resamplings, so that the interval "
    "lies high and may miss the value; bins of few groups have intervals that are too short."
)
SCALED = (
    "The temperature of a fold is fitted on the recordings of groups that have none in it, and "
    "kept in the resamplings."
)
NOT_SCALED = (
    "Under `clip` no temperature is fitted: what is tested in a fold has parts or partners in the "
    "others, so that it would promise nothing for a new recording."
)
RANKED = (
    "The answers of all folds (and seeds) are ranked together by their confidence, of equal ones "
    "each counts in part. The dash-dotted line is what always giving the most frequent label would "
    "score on the same recordings: where one label is frequent, the surest answers may just be "
    "those to it. Below 5 % there are too few answers to draw."
)


def trust(found: FoundRuns, cell: CellKey, system: str) -> tuple[Exhibit, ...]:
    """The reliability diagram, accuracy against coverage and, where there are any, the sets."""
    runs = found.of(*cell)
    run, name = runs[system], f"{cell.dataset}-{cell.protocol}-{system}"
    exhibits = (_reliability(run, name), _coverage(runs, run, name))
    if run.calibration is None:
        return exhibits
    return (*exhibits, _sets(run, run.calibration, name))


def _reliability(run: MeasuredRun, name: str) -> Exhibit:
    truth, groups = label_numbers(run.recordings, run.labels), run.recordings["group"].tolist()
    before = reliability(truth, probabilities_of(run.recordings, run.labels), groups)
    drawn, scaled = {BEFORE: before}, NOT_SCALED
    if run.tempered is not None:
        drawn[AFTER], scaled = reliability(truth, run.tempered, groups), SCALED
    if run.calibration is not None:
        scaled += (
            f" If each {group_name(run.dataset)} counts alike, as it does in the fit, the error is "
            f"{run.calibration.error_before} before and {run.calibration.error_after} after."
        )
    return Exhibit(
        f"reliability-{name}",
        reliability_finding(system_title(run.system), before, drawn.get(AFTER)),
        pd.concat([bin_rows(which, own) for which, own in drawn.items()], ignore_index=True),
        reliability_figure(drawn, run.system),
        note=f"{scored_on(run)} {BINNED} {scaled}",
    )


def _coverage(runs: dict[str, MeasuredRun], run: MeasuredRun, name: str) -> Exhibit:
    curves, left_out = {run.system: run.coverage}, ""
    for system, other in runs.items():
        try:
            curves[system] = other.coverage
        except ResultsError as error:
            left_out += f" {system_title(system)} is left out: {error}"
    tempered = "before" if run.tempered is None else "after"
    return Exhibit(
        f"coverage-{name}",
        coverage_finding(system_title(run.system), run.coverage),
        pd.concat([share_rows(system, own) for system, own in curves.items()], ignore_index=True),
        coverage_figure(curves, run.system),
        note=f"Confidence {tempered} temperature scaling. {RANKED} Mean error over all shares (the "
        f"area under the risk-coverage curve): {run.coverage.error}.{left_out}",
    )


def _sets(run: MeasuredRun, calibration: Calibration, name: str) -> Exhibit:
    data = set_rows(calibration, run.evaluation.support)
    return Exhibit(
        f"sets-{name}",
        sets_finding(calibration),
        data,
        table=set_table(data),
        note="The sets of labels that an answer names (conformal prediction by group), measured on "
        f"groups that had no part in their threshold, each {group_name(run.dataset)} counting "
        "alike, as `run.json` has it. Nothing is promised for a label by itself. Always naming "
        f"{names(calibration.constant_set)} would hold the right one for "
        f"{percent(calibration.constant_coverage)}.",
    )


TRUST = Panel(
    name="trust",
    title="Trust",
    lead="Whether an answer that is called 80 % sure is right four times in five, and what is "
    "gained by leaving the unsure ones unanswered.",
    draw=trust,
    cells=cells_with,
    places=3,
    selectors=(SYSTEM,),
)
