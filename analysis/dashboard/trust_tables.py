"""What the Trust panel is drawn from, in rows."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from analysis.coverage import DRAWN, SHARES, Coverage
from analysis.reliability import Reliability
from cry_model.calibration import Calibration
from cry_model.metrics import BINS
from cry_model.records import words

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
