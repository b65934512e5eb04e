"""The metric of single folds and seeds: how far one fit of a system differs from another."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

import numpy as np

from analysis.measured_run import MeasuredRun
from analysis.run_tables import probability_columns
from cry_model.metrics import METRICS


class FoldScore(NamedTuple):
    """One fit on what it had not learnt from; the value is NaN if that has too few classes."""

    seed: int
    fold: int
    recordings: int
    value: float


def score_of_seeds(run: MeasuredRun, metric: str, seeds: Collection[int]) -> float:
    """The metric per recording, pooled over these seeds of a run.

    Raises:
        ResultsError: if the predictions of the run cannot be read.
    """
    table = run.recordings[run.recordings["seed"].isin(list(seeds))]
    labels = table["label"].map({label: i for i, label in enumerate(run.labels)}).to_numpy()
    answers = table[probability_columns(run.labels)].to_numpy(np.float64)
    return METRICS[metric](labels, answers, np.ones(len(table)))


def fold_scores(run: MeasuredRun, metric: str) -> tuple[FoldScore, ...]:
    """One for each fold of each seed, scored per recording; in their order.

    Under the ``clip`` protocol a recording may have pieces in several folds; in each it counts as
    the mean of those that are there.

    Raises:
        ResultsError: if the predictions of the run cannot be read.
    """
    table = run.fold_recordings
    number = {label: i for i, label in enumerate(run.labels)}
    labels = np.array([number[label] for label in table["label"]])
    answers = table[probability_columns(run.labels)].to_numpy(np.float64)
    _, starts = np.unique(table[["seed", "fold"]].to_numpy(), axis=0, return_index=True)
    rows = np.split(np.arange(len(table)), starts[1:])  # the table is sorted
    seeds, folds = table["seed"].to_numpy(), table["fold"].to_numpy()
    score = METRICS[metric]
    return tuple(
        FoldScore(
            int(seeds[own[0]]),
            int(folds[own[0]]),
            len(own),
            score(labels[own], answers[own], np.ones(len(own))),
        )
        for own in rows
    )
