"""Probabilities held against the label: what was answered, how surely, and at what loss."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from cry_model.records import Evaluation, words
from cry_model.results import PREDICTIONS, DamagedFileError, probability_columns
from cry_model.results import read_predictions as read


class ResultsError(ValueError):
    """A results folder is missing, malformed or partial; one sentence says what to do."""


def read_predictions(
    folder: Path, labels: Sequence[str], seeds: Sequence[int], folds: int
) -> pd.DataFrame:
    """Return the predictions of the given seeds, a row per piece.

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


LEAST = 5e-7
"""The least probability that a loss is taken of: half of the last digit that predictions.csv
keeps, so that a 0.000000 costs 14.5 and not infinitely much."""


def with_errors(table: pd.DataFrame, labels: Sequence[str]) -> pd.DataFrame:
    """Return the table with what its probabilities amount to.

    Args:
        table: columns ``label`` and ``p_<label>``.
        labels: in the order of these columns.

    Returns:
        The same rows with the columns ``answer`` (the most probable label, of equals the first),
        ``confidence`` (its probability), ``true_probability`` (that of the label), ``loss``
        (minus the natural logarithm of that) and ``wrong``.
    """
    p, names = table[probability_columns(labels)].to_numpy(), np.array(labels, dtype=object)
    label = table["label"].to_numpy(dtype=object)
    place = {name: number for number, name in enumerate(labels)}
    own = p[np.arange(len(p)), [place[name] for name in label]]
    answer = names[p.argmax(1)]
    return table.assign(
        answer=answer,
        confidence=p.max(1, initial=0.0),
        true_probability=own,
        loss=-np.log(np.maximum(own, LEAST)),
        wrong=answer != label,
    )


def over_seeds(table: pd.DataFrame, labels: Sequence[str]) -> pd.DataFrame:
    """One row per recording, sorted by it: the mean of its probabilities over the seeds.

    Args:
        table: a row per seed and recording, as :func:`recording_means` has it.
        labels: in the order of the columns ``p_<label>``.

    Returns:
        Columns recording, group, label and ``p_<label>``.
    """
    keys, columns = ["recording", "group", "label"], probability_columns(labels)
    if table["seed"].nunique() == 1:
        return table[[*keys, *columns]]
    return table.groupby(keys, as_index=False, sort=True)[columns].mean()


METRIC_TITLES = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "macro_f1": "macro F1",
    "macro_auc": "macro AUC",
    "expected_calibration_error": "expected calibration error",
}
SCORES = ("accuracy", "balanced_accuracy", "macro_f1", "macro_auc")
"""Metrics that have a chance level; higher is better."""


class Chance(NamedTuple):
    """Score of a constant or random answer, 0 to 1, and its name for a legend."""

    value: float
    name: str


def chance_level(evaluation: Evaluation, metric: str) -> Chance | None:
    """Return the best score of an answer that does not depend on the sound.

    Accuracy and macro F1 are those of always giving the most frequent label; balanced accuracy and
    macro AUC are the same for every such answer.

    Args:
        evaluation: of any run on the recordings.
        metric: a name in :data:`METRIC_TITLES`; None is returned if it is not in :data:`SCORES`.
    """
    share = evaluation.majority_accuracy
    always = f"always “{words(evaluation.majority_label)}”"
    levels = {
        "accuracy": Chance(share, always),
        # F1 of that label is 2 share / (1 + share), of all others 0.
        "macro_f1": Chance(evaluation.chance * 2 * share / (1 + share), always),
        "balanced_accuracy": Chance(evaluation.chance, "chance"),
        "macro_auc": Chance(0.5, "chance"),
    }
    return levels.get(metric)
