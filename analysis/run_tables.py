"""``predictions.csv`` of a run as a checked table, and the mean of the pieces of each recording."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cry_model.run_files import PREDICTIONS, DamagedFileError, probability_columns
from cry_model.run_files import read_predictions as read


class ResultsError(ValueError):
    """A results folder is missing, malformed or partial; one sentence says what to do."""


def label_numbers(table: pd.DataFrame, labels: Sequence[str]) -> NDArray[np.int64]:
    """(n,) The place of each row's label among the labels."""
    return table["label"].map({label: i for i, label in enumerate(labels)}).to_numpy(np.int64)


def probabilities_of(table: pd.DataFrame, labels: Sequence[str]) -> NDArray[np.float64]:
    """(n, classes) The probabilities of each row, in the order of the labels."""
    return table[probability_columns(labels)].to_numpy(np.float64)


def read_predictions(
    folder: Path, labels: Sequence[str], seeds: Sequence[int], folds: int
) -> pd.DataFrame:
    """The predictions of the given seeds, a row per piece.

    Returns:
        Columns clip, recording, group, fold, seed, label and ``p_<label>``, as in the file.

    Raises:
        ResultsError: if the file is missing, unreadable or not that of such a run.
    """
    path = folder / PREDICTIONS
    if not path.exists():
        raise ResultsError(f"There is no {path}; fit the run again, or copy its whole folder.")
    try:
        table = read(path, labels)
    except DamagedFileError as error:
        raise ResultsError(f"{path} {error}; fit the run again, or copy its folder.") from error
    table = table[table["seed"].isin(list(seeds))].reset_index(drop=True)
    found = table.groupby("seed")["fold"].nunique()
    lacking = [seed for seed in seeds if found.get(seed, 0) != folds]
    if lacking:
        raise ResultsError(
            f"{path} has not all {folds} folds of seed {lacking[0]}; fit the run again."
        )
    return table


def recording_means(
    table: pd.DataFrame, labels: Sequence[str], by: Sequence[str] = ("seed",)
) -> pd.DataFrame:
    """A row per seed and recording, sorted by them: the mean probabilities of its pieces.

    Under the ``clip`` protocol the pieces come from several folds, each from the fit that did not
    learn from it.

    Args:
        table: as :func:`read_predictions` gives it.
        labels: in the order of the columns.
        by: what to keep apart; with "fold" in it, a row has the pieces of one fold.

    Returns:
        The columns of ``by``, recording, group, label and ``p_<label>``.
    """
    keys = [*by, "recording", "group", "label"]
    return table.groupby(keys, as_index=False, sort=True)[probability_columns(labels)].mean()
