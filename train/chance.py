"""What a protocol gives where labels say nothing about the sound: a permutation test.

Ojala and Garriga 2010, "Permutation tests for studying classifier performance", JMLR 11. The
classifier is a linear one on the mean and the deviation over time of each band, which is fitted in
a moment; what is asked is not how good it is, but how good it seems when there is nothing to learn
but who is heard, and where.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor
from tqdm import tqdm

from cry_model.metrics import METRICS
from train.clips import Clips
from train.predicting import TrainingFrontEnd, of_each_piece
from train.shuffling import shuffled
from train.splits import split

SCORES = ("accuracy", "balanced_accuracy", "macro_f1", "macro_auc")
Rows = NDArray[np.float64]


@dataclass(frozen=True)
class Against:
    """A score with the true labels, and with labels that were dealt out anew.

    Attributes:
        value: with the true labels.
        mean, low, high: with dealt ones, the mean and the middle 95 %.
        p: how often dealt labels score at least as well, the true ones counted among them.
    """

    value: float
    mean: float
    low: float
    high: float
    p: float


def chance(
    units: Clips,
    labels: Sequence[str],
    front_end: TrainingFrontEnd,
    protocol: str,
    folds: int,
    shuffles: int,
) -> Mapping[str, Against]:
    """Score -> :class:`Against`, per recording, under seed 0 of the protocol.

    Args:
        units: what the protocol splits, all labelled.
        labels: in the order of the indices.
        front_end: gives the bands.
        protocol: of :mod:`train.splits`.
        folds: how many.
        shuffles: how often labels are dealt out.
    """
    rows = statistics(units, front_end)
    true = scores(units, rows, labels, protocol, folds)
    dealt = [
        scores(shuffled(units, labels, seed), rows, labels, protocol, folds)
        for seed in tqdm(range(shuffles), desc=f"Labels dealt out, {protocol}", unit="time")
    ]
    return {name: against(true[name], [one[name] for one in dealt]) for name in SCORES}


def statistics(units: Clips, front_end: TrainingFrontEnd) -> Rows:
    """(units, 2 x bands): the mean and the standard deviation over time of every band."""

    def both(features: Tensor) -> Tensor:
        return torch.cat([features.mean(-1), features.std(-1)], dim=1)

    found = of_each_piece(both, front_end, units, torch.device("cpu"))
    return np.stack([pieces.mean(0) for pieces in found])


def scores(
    units: Clips, rows: Rows, labels: Sequence[str], protocol: str, folds: int
) -> Mapping[str, float]:
    """Those of a cross-validation, per recording."""
    truth = units.labels.numpy()
    probabilities = np.zeros((len(truth), len(labels)))
    fold_of = split(units.items, protocol, folds, seed=0)
    for fold in range(folds):
        learnt, tested = fold_of != fold, fold_of == fold
        machine = make_pipeline(
            StandardScaler(), LogisticRegression(C=0.01, class_weight="balanced", max_iter=200)
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # near enough
            machine.fit(rows[learnt], truth[learnt])
        probabilities[np.ix_(tested, machine.classes_)] = machine.predict_proba(rows[tested])
    names = [item.recording for item in units.items]
    _, first, recording = np.unique(names, return_index=True, return_inverse=True)
    of_recording = np.zeros((len(first), len(labels)))
    np.add.at(of_recording, recording, probabilities)
    of_recording /= np.bincount(recording)[:, None]
    alike = np.ones(len(first))
    return {name: METRICS[name](truth[first], of_recording, alike) for name in SCORES}


def against(value: float, dealt: Sequence[float]) -> Against:
    """A score beside those of dealt labels."""
    low, high = np.percentile(dealt, [2.5, 97.5])
    as_good = sum(one >= value for one in dealt)
    p = (1 + as_good) / (1 + len(dealt))
    return Against(value, float(np.mean(dealt)), float(low), float(high), p)


def record(found: Mapping[str, Against], **facts: Any) -> dict[str, Any]:
    """What ``chance.json`` holds."""
    return {**facts, "scores": {name: asdict(one) for name, one in found.items()}}
