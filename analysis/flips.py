"""What changed from one system to another in one seed: which recordings, and McNemar's test."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.measured_run import MeasuredRun
from analysis.pairing import paired
from analysis.run_tables import probability_columns


@dataclass(frozen=True)
class McNemar:
    """The recordings of one seed by which of two systems got them right.

    Attributes:
        seed: of both fits.
        both, only_one, only_other, neither: how many.
        p_value: exact and two-sided, of as uneven a division of those that only one got right, if
            either were as likely.
    """

    seed: int
    both: int
    only_one: int
    only_other: int
    neither: int
    p_value: float


def mcnemar(one: MeasuredRun, other: MeasuredRun, seed: int) -> McNemar:
    """McNemar's exact test (1947) on the recordings of one seed.

    It takes recordings as independent and ignores that several are of one baby, so with groups of
    many recordings its p-value is too small; :func:`analysis.comparison.compare` has one that
    knows them.

    Raises:
        ComparisonError: if the runs are not of the same task, or one has not this seed.
        ResultsError: if the predictions of one cannot be read.
    """
    return mcnemar_of(answers(one, other, seed), seed)


def flipped(one: MeasuredRun, other: MeasuredRun, seed: int) -> pd.DataFrame:
    """The recordings of one seed that the two systems answer differently.

    Returns:
        Columns recording, group, label, ``one`` and ``other`` (their answers), and ``right``:
        which of them is right, "one", "other" or "neither".

    Raises:
        ComparisonError, ResultsError: as :func:`mcnemar`.
    """
    return flipped_of(answers(one, other, seed))


def answers(one: MeasuredRun, other: MeasuredRun, seed: int) -> pd.DataFrame:
    """The most probable label of each recording of one seed, by both systems.

    Returns:
        Columns recording, group, label, ``one`` and ``other``.

    Raises:
        ComparisonError, ResultsError: as :func:`mcnemar`.
    """
    table, other_table = paired(one, other, [seed])
    columns, labels = probability_columns(one.labels), np.array(one.labels)
    first, second = (labels[t[columns].to_numpy().argmax(1)] for t in (table, other_table))
    return table[["recording", "group", "label"]].assign(one=first, other=second)


def mcnemar_of(table: pd.DataFrame, seed: int) -> McNemar:
    """:func:`mcnemar` of what :func:`answers` gave."""
    from scipy.stats import binomtest

    right, other_right = table["one"] == table["label"], table["other"] == table["label"]
    only_one, only_other = int((right & ~other_right).sum()), int((~right & other_right).sum())
    differ = only_one + only_other
    return McNemar(
        seed=seed,
        both=int((right & other_right).sum()),
        only_one=only_one,
        only_other=only_other,
        neither=int((~right & ~other_right).sum()),
        p_value=float(binomtest(only_one, differ, 0.5).pvalue) if differ else 1.0,
    )


def flipped_of(table: pd.DataFrame) -> pd.DataFrame:
    """:func:`flipped` of what :func:`answers` gave."""
    table = table[table["one"] != table["other"]].reset_index(drop=True)
    right = [table["one"] == table["label"], table["other"] == table["label"]]
    return table.assign(right=np.select(right, ["one", "other"], "neither"))
