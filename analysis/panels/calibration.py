"""How far to trust a confidence: reliability, accuracy against coverage, sets of labels."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from analysis.figures.curves import AFTER, BEFORE, coverage_figure, reliability_figure
from analysis.panels.base import (
    SYSTEM,
    CellKey,
    Exhibit,
    Panel,
    cells_with,
    scored_on,
    system_title,
)
from analysis.panels.class_words import names
from analysis.panels.trust_words import coverage_finding, reliability_finding, sets_finding
from analysis.stats.calibration import DRAWN, SHARES, Coverage, Reliability, reliability
from analysis.stats.recordings import ResultsError, label_numbers, probabilities_of
from analysis.stats.runs import FoundRuns, MeasuredRun
from cry_model.calibration import Calibration
from cry_model.metrics import BINS
from cry_model.records import group_name, percent, words

NOTHING = "–"


def bin_rows(which: str, own: Reliability) -> pd.DataFrame:
    """A row for each bin of a reliability diagram; ``which`` says of what probabilities."""
    return pd.DataFrame(
        {
            "probabilities": which,
            "bin_from": [k / BINS for k in range(BINS)],
            "bin_to": [(k + 1) / BINS for k in range(BINS)],
            "answers": own.answers.astype(int),
            "confidence": own.confidence,
            "accuracy": [e.value for e in own.accuracy],
            "low": [e.low for e in own.accuracy],
            "high": [e.high for e in own.accuracy],
            "calibration_error": own.error.value,
            "calibration_error_low": own.error.low,
            "calibration_error_high": own.error.high,
        }
    )


def share_rows(system: str, own: Coverage) -> pd.DataFrame:
    """A row for each share that is drawn of one system."""
    drawn = own.accuracy[DRAWN]
    return pd.DataFrame(
        {
            "system": system,
            "answered": SHARES[DRAWN],
            "accuracy": [e.value for e in drawn],
            "low": [e.low for e in drawn],
            "high": [e.high for e in drawn],
            "always_the_most_frequent": own.usual_accuracy[DRAWN],
            "mean_error": own.error.value,
            "mean_error_low": own.error.low,
            "mean_error_high": own.error.high,
        }
    ).round(5)


def set_rows(calibration: Calibration, support: Mapping[str, int]) -> pd.DataFrame:
    """A row for all labels together, with what was promised of it, and one for each label.

    Args:
        calibration: of a run.
        support: label -> its recordings.
    """
    e, size = calibration.coverage, calibration.size.value
    columns = ["label", "recordings", "promised", "measured", "low", "high", "mean_size"]
    every = ("all", calibration.recordings, calibration.promised, e.value, e.low, e.high, size)
    each = [
        (label, support.get(label, 0), None, share, None, None, None)
        for label, share in calibration.by_label.items()
    ]
    return pd.DataFrame([every, *each], columns=columns)


def set_table(data: pd.DataFrame) -> pd.DataFrame:
    """The same for reading; of one width, so that text sorts as numbers do."""
    return pd.DataFrame(
        {
            "Label": [words(label) for label in data["label"]],
            "Recordings": data["recordings"],
            "Promised": [NOTHING if pd.isna(p) else f"{p:.2f}" for p in data["promised"]],
            "Measured": [f"{share:.2f}" for share in data["measured"]],
            "Interval": [
                NOTHING if pd.isna(low) else f"[{low:.2f}, {high:.2f}]"
                for low, high in zip(data["low"], data["high"], strict=True)
            ],
        }
    )


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
