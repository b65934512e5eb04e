"""The answers when an attention is neutral, paired with those of the model as fitted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from cry_model.metrics import METRICS, Array, Labels, Metric, bootstrap, mean
from cry_model.records import Estimate
from train.corpus import DataError
from train.results import per_recording, probability_columns

SCORED = ("accuracy", "balanced_accuracy", "macro_auc")


@dataclass(frozen=True)
class Paired:
    """One metric per recording; 95 % intervals resample groups.

    Attributes:
        fitted: of the model as it was fitted.
        neutral: with the attention made neutral.
        difference: ``neutral`` less ``fitted``, of the same recordings in every draw: below 0 where
            the attention helps.
    """

    fitted: Estimate
    neutral: Estimate
    difference: Estimate


@dataclass(frozen=True)
class Neutralisation:
    """What one neutralisation does to the answers, per recording.

    Attributes:
        metrics: name -> paired, for :data:`SCORED`.
        changed: share of the recordings whose most probable label is another.
        distance: mean total variation distance of the probabilities, 0 to 1.
    """

    metrics: Mapping[str, Paired]
    changed: Estimate
    distance: Estimate


def compare(
    fitted: pd.DataFrame, neutral: Mapping[str, pd.DataFrame], labels: Sequence[str]
) -> dict[str, Neutralisation]:
    """Each neutralisation beside the model as fitted.

    Args:
        fitted: predictions per piece, as in ``predictions.csv``.
        neutral: name -> the same pieces in the same order.
        labels: in the order of the probabilities.

    Raises:
        DataError: if the pieces are not the same.
    """
    keys = ["clip", "seed", "fold"]
    for name, table in neutral.items():
        if not table[keys].equals(fitted[keys]):
            raise DataError(f"The pieces under '{name}' are not those of the model as fitted.")
    columns, index = probability_columns(labels), {label: i for i, label in enumerate(labels)}
    rows = per_recording(fitted, labels)
    truth, groups = rows["label"].map(index).to_numpy(), rows["group"].tolist()
    before = rows[columns].to_numpy(dtype=np.float64)
    scores = {name: bootstrap(METRICS[name], truth, before, groups) for name in SCORED}
    found = {}
    for name, table in neutral.items():
        after = per_recording(table, labels)[columns].to_numpy(dtype=np.float64)
        metrics = {
            metric: Paired(
                scores[metric],
                bootstrap(METRICS[metric], truth, after, groups),
                difference(METRICS[metric], truth, before, after, groups),
            )
            for metric in SCORED
        }
        changed = (before.argmax(1) != after.argmax(1)).astype(np.float64)
        distance = np.abs(before - after).sum(1) / 2
        found[name] = Neutralisation(metrics, mean(changed, groups), mean(distance, groups))
    return found


def difference(
    metric: Metric, labels: Labels, before: Array, after: Array, groups: Sequence[str]
) -> Estimate:
    """The metric of ``after`` less that of ``before``, (n, classes) each, with its interval."""
    classes = before.shape[1]

    def gain(labels: Labels, both: Array, weights: Array) -> float:
        return metric(labels, both[:, classes:], weights) - metric(
            labels, both[:, :classes], weights
        )

    return bootstrap(gain, labels, np.hstack([before, after]), groups)
