"""``predictions.csv`` of a run as a checked table, and the mean of the pieces of each recording."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

PREDICTIONS = "predictions.csv"
WORDS = ("clip", "recording", "group", "label")  # a group may be called 007, or NA
NUMBERS = ("fold", "seed")


class ResultsError(ValueError):
    """A results folder is missing, malformed or partial; one sentence says what to do."""


def probability_columns(labels: Sequence[str]) -> list[str]:
    """The columns that hold the probabilities, in the order of the labels."""
    return [f"p_{label}" for label in labels]


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
    if not path.is_file():
        raise ResultsError(f"There is no {path}; fit the run again, or copy its whole folder.")
    try:
        table = pd.read_csv(path, dtype=dict.fromkeys(WORDS, str), keep_default_na=False)
    except (OSError, ValueError) as error:
        raise ResultsError(f"{path} cannot be read as a table; fit the run again.") from error
    wanted = [*WORDS, *NUMBERS, *probability_columns(labels)]
    missing = [name for name in wanted if name not in table.columns]
    if missing:
        raise ResultsError(f"{path} has no column {', '.join(missing)}; fit the run again.")
    table = table[table["seed"].isin(list(seeds))].reset_index(drop=True)
    wrong = _wrong(table, labels, seeds, folds)
    if wrong:
        raise ResultsError(f"{path} {wrong}; fit the run again.")
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


def _wrong(
    table: pd.DataFrame, labels: Sequence[str], seeds: Sequence[int], folds: int
) -> str | None:
    """What is wrong with the predictions, as the end of a sentence."""
    found = table.groupby("seed")["fold"].nunique()
    lacking = [seed for seed in seeds if found.get(seed, 0) != folds]
    if lacking:
        return f"has not all {folds} folds of seed {lacking[0]}"
    unknown = set(table["label"]) - set(labels)
    if unknown:
        return f"has labels that run.json has not ({', '.join(sorted(unknown))})"
    values = table[probability_columns(labels)]
    if not all(kind.kind in "fi" for kind in values.dtypes) or not np.isfinite(values).all(None):
        return "has probabilities that are no numbers"
    if table.duplicated(["seed", "clip"]).any():
        return "has a piece twice"
    if table.drop_duplicates(["recording", "group", "label"])["recording"].duplicated().any():
        return "has a recording with two labels or groups"
    return None
