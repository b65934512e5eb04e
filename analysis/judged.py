"""Probabilities held against the label: what was answered, how surely, and at what loss."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from analysis.run_tables import probability_columns

LEAST = 5e-7
"""The least probability that a loss is taken of: half of the last digit that predictions.csv
keeps, so that a 0.000000 costs 14.5 and not infinitely much."""


def judged(table: pd.DataFrame, labels: Sequence[str]) -> pd.DataFrame:
    """The table with what its probabilities amount to.

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
        table: a row per seed and recording, as :func:`analysis.run_tables.recording_means` has it.
        labels: in the order of the columns ``p_<label>``.

    Returns:
        Columns recording, group, label and ``p_<label>``.
    """
    keys, columns = ["recording", "group", "label"], probability_columns(labels)
    if table["seed"].nunique() == 1:
        return table[[*keys, *columns]]
    return table.groupby(keys, as_index=False, sort=True)[columns].mean()
