"""Run a label permutation test: the score of a protocol where labels are permuted.

After Ojala and Garriga 2010, "Permutation tests for studying classifier performance", JMLR 11, in
blocks: labels are permuted among groups. The classifier is a linear one
on the mean and the deviation over time of each band, which is fitted in a moment; what is asked is
not how good it is, but how good it seems where all that it can know is who is heard, and where.

A corpus's own folds stay as they are, so where these balance the labels a permutation may not:
there the test is approximate.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

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

SEED = 0
"""Of the split."""
ALIKE = 1e-12
"""Scores that differ by less are the same."""
Rows = NDArray[np.float64]


@dataclass(frozen=True)
class Against:
    """A score with the true labels, and with labels that were permuted."""

    value: float  # with the true labels
    mean: float  # with permuted ones; their middle 95 % from low to high
    low: float
    high: float
    p: float  # how often permuted labels score at least as well, the true ones among them


@dataclass(frozen=True)
class Chance:
    """What ``chance.json`` holds."""

    dataset: str
    data: str  # fingerprint of the corpus
    protocol: str
    folds: int
    seed: int  # of the split, made anew for each permutation
    permutations: int  # of the labels, among groups
    front_end: str  # the kind of bands
    unchanged: Mapping[str, float]  # label -> share of its recordings that got it again, on average
    scores: Mapping[str, Against]  # of each metric, per recording


def chance(
    clips: Clips,
    dataset: str,
    labels: Sequence[str],
    front_end: FrontEnd,
    protocol: str,
    folds: int,
    permutations: int,
) -> Chance:
    """Test whole labelled clips under one protocol; raise DataError if they are too few."""
    cut = protocol == "clip"
    units = cut_before_splitting(clips, front_end.config) if cut else clips
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
        p = (1 + int((others >= true[name] - ALIKE).sum())) / (1 + len(others))
        against[name] = Against(true[name], float(others.mean()), low, high, p)
    data, kind = clips.fingerprint(), front_end.config.kind
    return Chance(dataset, data, protocol, folds, SEED, permutations, kind, shares, against)


def statistics(units: Clips, front_end: TrainingFrontEnd) -> Rows:
    """(units, 2 x bands): the mean and the standard deviation over time of every band."""

    def both(features: Tensor) -> Tensor:
        return torch.cat([features.mean(-1), features.std(-1)], dim=1)

    found = of_each_piece(both, front_end, units, torch.device("cpu"))
    return np.stack([pieces.mean(0) for pieces in found])


def scores(
    units: Clips, rows: Rows, labels: Sequence[str], protocol: str, folds: int
) -> Mapping[str, float]:
    """Cross-validate; return scores per recording, or raise DataError if one label is learnt."""
    truth = units.labels.numpy()
    probabilities = np.zeros((len(truth), len(labels)))
    fold_of = split(units.items, protocol, folds, SEED)
    for fold in range(folds):
        learnt, tested = fold_of != fold, fold_of == fold
        if len(set(truth[learnt])) < 2:
            raise DataError("What a fold learns from has one label alone; there is nothing to ask.")
        machine = make_pipeline(
            StandardScaler(), LogisticRegression(C=0.01, class_weight="balanced", max_iter=200)
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # near enough
            machine.fit(rows[learnt], truth[learnt])
        probabilities[np.ix_(tested, machine.classes_)] = machine.predict_proba(rows[tested])
    # Of each recording the mean over its parts, which have one label.
    recordings = [item.recording for item in units.items]
    of_recording = pd.DataFrame(probabilities).groupby(recordings).mean().to_numpy()
    wanted = pd.Series(truth).groupby(recordings).first().to_numpy()
    return {name: METRICS[name](wanted, of_recording, np.ones(len(wanted))) for name in SCORES}
