"""Run a label permutation test: cross-validate a protocol with permuted labels.

The test follows Ojala and Garriga 2010, "Permutation tests for studying classifier performance",
JMLR 11, but permutes labels among groups (block permutation). The classifier is linear, on the
mean and standard deviation over time of each band, which is fast to train. Its scores on permuted
labels show what a protocol yields when only speaker and room can be recognised.

A corpus's own folds are not changed. If they balance the labels, a permutation may not, and the
test is approximate.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor
from tqdm import tqdm

from cry_model.metrics import METRICS, SCORES
from cry_model.sound.frontend import FrontEnd
from train.data.corpus import Clips, DataError, cut_before_splitting, permute_labels
from train.data.splits import split
from train.fit.predict import TrainingFrontEnd, of_each_piece

SEED = 0  # of the split
ALIKE = 1e-12  # tolerance within which two scores are equal
Rows = NDArray[np.float64]


def chance(
    clips: Clips,
    dataset: str,
    labels: Sequence[str],
    front_end: FrontEnd,
    protocol: str,
    folds: int,
    permutations: int,
) -> dict[str, Any]:
    """Run the test on whole labelled clips under one protocol; raise DataError if too few.

    Return the contents of ``chance.json``. Scores are per recording: ``value`` with the true
    labels; ``mean``, ``low`` and ``high`` (the middle 95%) with permuted ones; ``p`` is the share
    of labellings, the true one included, that score at least as well. ``unchanged`` maps each label
    to the mean share of its recordings that keep it.
    """
    units = cut_before_splitting(clips, front_end.config) if protocol == "clip" else clips
    rows = statistics(units, front_end)
    true = scores(units, rows, labels, protocol, folds)
    kept, permuted = [], []
    for seed in tqdm(range(permutations), desc=f"Labels permuted, {protocol}", unit="time"):
        other = permute_labels(units, labels, seed)
        permuted.append(scores(other, rows, labels, protocol, folds))
        kept.append((other.labels == units.labels).numpy())
    again, names = np.array(kept), np.array([item.label for item in units.items])
    shares = {
        name: float(np.mean(again[:, names == name].mean(axis=1)))
        for name in dict.fromkeys(names.tolist())
    }
    against = {}
    for name in SCORES:
        others = np.array([one[name] for one in permuted])
        low, high = np.percentile(others, [2.5, 97.5]).tolist()
        against[name] = {
            "value": true[name],
            "mean": float(others.mean()),
            "low": low,
            "high": high,
            "p": (1 + int((others >= true[name] - ALIKE).sum())) / (1 + len(others)),
        }
    return {
        "dataset": dataset,
        "data": clips.fingerprint(),
        "protocol": protocol,
        "folds": folds,
        "seed": SEED,
        "permutations": permutations,
        "front_end": front_end.config.kind,
        "unchanged": shares,
        "scores": against,
    }


def statistics(units: Clips, front_end: TrainingFrontEnd) -> Rows:
    """Return mean and standard deviation over time of every band, (units, 2 x bands)."""

    def both(features: Tensor) -> Tensor:
        return torch.cat([features.mean(-1), features.std(-1)], dim=1)

    found = of_each_piece(both, front_end, units, torch.device("cpu"))
    return np.stack([pieces.mean(0) for pieces in found])


def scores(
    units: Clips, rows: Rows, labels: Sequence[str], protocol: str, folds: int
) -> Mapping[str, float]:
    """Cross-validate and return scores per recording; raise DataError if a fold has one label."""
    truth = units.labels.numpy()
    probabilities = np.zeros((len(truth), len(labels)))
    fold_of = split(units.items, protocol, folds, SEED)
    for fold in range(folds):
        learnt, tested = fold_of != fold, fold_of == fold
        if len(set(truth[learnt])) < 2:
            raise DataError("A fold's training part has only one label; nothing can be tested.")
        machine = make_pipeline(
            StandardScaler(), LogisticRegression(C=0.01, class_weight="balanced", max_iter=200)
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # near convergence is enough
            machine.fit(rows[learnt], truth[learnt])
        probabilities[np.ix_(tested, machine.classes_)] = machine.predict_proba(rows[tested])
    # Average over the parts of each recording, which share one label.
    recordings = [item.recording for item in units.items]
    of_recording = pd.DataFrame(probabilities).groupby(recordings).mean().to_numpy()
    wanted = pd.Series(truth).groupby(recordings).first().to_numpy()
    return {name: METRICS[name](wanted, of_recording) for name in SCORES}
