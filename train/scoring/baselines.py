"""Score baselines on the folds of a run.

``sample_rate`` predicts the most frequent label of a recording's native sample rate, without its
audio. ``rbf_svm`` is a plain support vector machine on the 26 standardised features, for systems
that use these.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from cry_model.metrics import bootstrap, mean
from cry_model.results import label_numbers, probabilities_of, recording_means
from train.data.corpus import Clips
from train.data.splits import learnt_from, split

Guesses = NDArray[np.int64]  # a class index for each tested recording


def of_rate(learnt: Clips, tested: Clips) -> Guesses:
    """Predict the most frequent training label of the same sample rate, or of all if it is new."""
    labels, rates = learnt.labels.numpy(), np.array(learnt.rates)
    usual = np.bincount(labels).argmax()
    known = {rate: np.bincount(labels[rates == rate]).argmax() for rate in set(learnt.rates)}
    return np.array([known.get(rate, usual) for rate in tested.rates])


def of_svm(learnt: Clips, tested: Clips) -> Guesses:
    """Predict with an RBF-kernel SVM (C=10, gamma=0.05) on standardised features."""
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVC

    machine = make_pipeline(StandardScaler(), SVC(C=10, gamma=0.05))
    rows = torch.stack(learnt.waveforms).double().numpy()
    machine.fit(rows, learnt.labels.numpy())
    return machine.predict(torch.stack(tested.waveforms).double().numpy())


def baselines(
    units: Clips,
    labels: Sequence[str],
    protocol: str,
    folds: int,
    table: pd.DataFrame,
    on_features: bool,
) -> dict[str, Any]:
    """Score each baseline, and the system's lead over it, on the folds of ``table`` (whole seeds).

    Return name -> ``accuracy``, ``balanced_accuracy`` and ``ahead`` (the system's accuracy minus
    the baseline's), each with its confidence interval over groups. The result is empty if all
    recordings have one sample rate and the system does not use features.
    """
    ways: dict[str, Callable[[Clips, Clips], Guesses]] = {}
    if len(set(units.rates)) > 1:
        ways["sample_rate"] = of_rate
    if on_features:
        ways["rbf_svm"] = of_svm
    rows, found = recording_means(table, labels), {}
    truth, groups = label_numbers(rows, labels), rows["group"].tolist()
    own = probabilities_of(rows, labels).argmax(1) == truth
    for name, way in ways.items():
        guessed = guesses(units, way, protocol, folds, rows["seed"].unique().tolist())
        guess = rows.merge(guessed, on=["seed", "recording"])["guess"].to_numpy()
        certain = np.eye(len(labels))[guess]
        found[name] = {
            "accuracy": asdict(bootstrap("accuracy", truth, certain, groups)),
            "balanced_accuracy": asdict(bootstrap("balanced_accuracy", truth, certain, groups)),
            "ahead": asdict(mean(own.astype(float) - (guess == truth), groups)),
        }
    return found


def guesses(
    units: Clips,
    way: Callable[[Clips, Clips], Guesses],
    protocol: str,
    folds: int,
    seeds: Iterable[int],
) -> pd.Series:
    """Return (seed, recording) -> class index, by majority vote over the parts of a recording."""
    parts = []
    for seed in seeds:
        fold_of = split(units.items, protocol, folds, seed)
        for fold in range(folds):
            learnt = units.subset(learnt_from(fold_of, fold))
            tested = units.subset(np.flatnonzero(fold_of == fold))
            names = [item.recording for item in tested.items]
            found = way(learnt, tested)
            parts.append(pd.DataFrame({"seed": seed, "recording": names, "guess": found}))
    every = pd.concat(parts)
    return every.groupby(["seed", "recording"])["guess"].agg(lambda g: g.mode().iloc[0])
