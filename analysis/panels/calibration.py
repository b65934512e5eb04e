"""Show how well confidence is calibrated: reliability, accuracy against coverage, label sets."""

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
from analysis.stats.calibration import (
    ALL,
    DRAWN,
    HALF,
    SHARES,
    Coverage,
    Reliability,
    reliability,
)
from analysis.stats.recordings import ResultsError
from analysis.stats.runs import FoundRuns, MeasuredRun
from cry_model.calibration import Calibration
from cry_model.metrics import BINS
from cry_model.records import words
from cry_model.results import label_numbers, probabilities_of

NOTHING = "–"


def bin_rows(which: str, own: Reliability) -> pd.DataFrame:
    """Return a row for each bin of a diagram; ``which`` is :data:`BEFORE` or :data:`AFTER`."""
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
    """Return a row for each share that is drawn of one model."""
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
    """Return a row for all labels together, with the target coverage, and one for each label.

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
    """Return the same for reading; texts are of one width, so that they sort as numbers do."""
    return pd.DataFrame(
        {
            "Label": [words(label) for label in data["label"]],
            "Recordings": data["recordings"],
            "Target": [NOTHING if pd.isna(p) else f"{p:.2f}" for p in data["promised"]],
            "Measured": [f"{share:.2f}" for share in data["measured"]],
            "Interval": [
                NOTHING if pd.isna(low) else f"[{low:.2f}, {high:.2f}]"
                for low, high in zip(data["low"], data["high"], strict=True)
            ],
        }
    )


RELIABILITY = (
    f"Accuracy of the answers of each confidence, in {BINS} bins of equal width. The expected "
    "calibration error is the mean distance from the dotted line. It is biased upwards in a small "
    "sample and more so in resamples, so its interval lies high and may miss the value. Bins of "
    "few groups have intervals that are too short."
)
SCALED = (
    "The temperature of a fold is fitted on the groups outside it, and kept when groups are "
    "resampled."
)
NOT_SCALED = (
    "With random segments no temperature is fitted: segments of one recording are in several "
    "folds, so it would say nothing about a new recording."
)
COVERAGE = (
    "Accuracy if only the most confident answers are given, ranked over all folds and seeds; of "
    "equally confident ones each counts in part. The dash-dotted line is what always giving the "
    "most frequent label would score on the same recordings: where one label is frequent, the most "
    "confident answers may just be those to it. Below 5% there are too few answers to draw."
)
SETS = (
    "Sets of labels that contain the true one with a target probability (conformal prediction by "
    "group), measured on groups that had no part in their threshold; each group counts alike. The "
    "target holds for all labels together, not for each."
)


def calibration_cards(found: FoundRuns, cell: CellKey, system: str) -> tuple[Exhibit, ...]:
    """Draw the reliability diagram, accuracy against coverage and, if there are any, the sets."""
    runs = found.of(*cell)
    run, name = runs[system], f"{cell.dataset}-{cell.protocol}-{system}"
    exhibits = (_reliability(run, name), _coverage(runs, run, name))
    if run.calibration is None:
        return exhibits
    return (*exhibits, _sets(run, run.calibration, name))


def _reliability(run: MeasuredRun, name: str) -> Exhibit:
    truth, groups = label_numbers(run.recordings, run.labels), run.recordings["group"].tolist()
    before = reliability(truth, probabilities_of(run.recordings, run.labels), groups)
    drawn, caption = {BEFORE: before}, NOT_SCALED
    line = f"Expected calibration error {before.error}, confidence minus accuracy {before.excess}."
    if run.scaled is not None:
        after = reliability(truth, run.scaled, groups)
        drawn[AFTER], caption = after, SCALED
        line += f" After temperature scaling {after.error}, change {after.less(before)}."
    if run.calibration is not None:
        line += (
            f" If each group counts alike: {run.calibration.error_before} before and "
            f"{run.calibration.error_after} after."
        )
    data = pd.concat([bin_rows(which, own) for which, own in drawn.items()], ignore_index=True)
    return Exhibit(
        f"reliability-{name}",
        f"Reliability diagram: {system_title(run.system)}",
        data,
        reliability_figure(data, run.system),
        note=f"{line}\n\n{RELIABILITY} {caption} {scored_on(run)}",
    )


def _coverage(runs: Mapping[str, MeasuredRun], run: MeasuredRun, name: str) -> Exhibit:
    own = run.coverage
    curves, left_out = {run.system: own}, ""
    for system, other in runs.items():
        try:
            curves[system] = other.coverage
        except ResultsError as error:
            left_out += f" {system_title(system)} is left out: {error}"
    data = pd.concat([share_rows(system, of) for system, of in curves.items()], ignore_index=True)
    half = own.accuracy[HALF]
    return Exhibit(
        f"coverage-{name}",
        f"Accuracy against coverage: {system_title(run.system)}",
        data,
        coverage_figure(data.assign(name=data["system"].map(system_title)), run.system, own.usual),
        note=f"Accuracy of all answers {own.accuracy[ALL]}, of the more confident half {half}, "
        f"difference {own.gain}; always “{words(own.usual)}” on that half "
        f"{own.usual_accuracy[HALF]:.3f}. Area under the risk-coverage curve {own.error}."
        f"\n\n{COVERAGE}{left_out}",
    )


def _sets(run: MeasuredRun, calibration: Calibration, name: str) -> Exhibit:
    data = set_rows(calibration, run.evaluation.support)
    constant = ", ".join(map(words, calibration.constant_set))
    return Exhibit(
        f"sets-{name}",
        f"Prediction sets: {system_title(run.system)}",
        data,
        table=set_table(data),
        note=f"Target coverage {calibration.promised:.0%}, measured {calibration.coverage}, mean "
        f"size {calibration.size.value:.1f}. Always the same set ({constant}): "
        f"{calibration.constant_coverage:.3f}.\n\n{SETS}",
    )


CALIBRATION = Panel(
    name="calibration",
    title="Calibration",
    lead="Whether an answer with 80% confidence is right four times in five, and how accuracy "
    "rises if the least confident answers are withheld.",
    draw=calibration_cards,
    cells=cells_with,
    places=3,
    selectors=(SYSTEM,),
)
