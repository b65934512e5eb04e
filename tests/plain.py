"""Recompute a run's scores from its prediction file, with scikit-learn and plain loops."""

import warnings

import numpy as np
import pandas as pd
from sklearn import metrics as sk


def plain(metric, truth, p):
    """Compute a metric with scikit-learn, over the classes that occur; the ECE with ten bins."""
    guess = p.argmax(1)
    if metric == "expected_calibration_error":
        sure = p.max(1)
        gaps, bins = (guess == truth) - sure, np.digitize(sure, np.arange(1, 10) / 10)
        return sum(abs(gaps[bins == b].sum()) for b in range(10)) / len(truth)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a resample may lack a predicted class
        if metric == "macro_auc":
            return np.mean([sk.roc_auc_score(truth == c, p[:, c]) for c in np.unique(truth)])
        if metric == "macro_f1":
            return sk.f1_score(truth, guess, average="macro")
        name = {"accuracy": sk.accuracy_score, "balanced_accuracy": sk.balanced_accuracy_score}
        return name[metric](truth, guess)


def rows_of(run, seeds=None, by=("seed",)):
    """Return keys, class indices and mean probabilities of clips, a row per seed and recording."""
    table = pd.read_csv(run.folder / "predictions.csv", dtype={"group": str, "recording": str})
    table = table[table["seed"].isin(run.seeds if seeds is None else seeds)]
    columns = [f"p_{label}" for label in run.labels]
    keys = [*by, "recording", "group", "label"]
    means = table.groupby(keys, as_index=False)[columns].mean()
    truth = np.array([run.labels.index(label) for label in means["label"]])
    return means, truth, means[columns].to_numpy()


def score(run, metric, seeds=None):
    """Compute one metric over all seeds, or over those given."""
    _, truth, p = rows_of(run, seeds)
    return plain(metric, truth, p)


def resamples(groups, draws):
    """Yield the row indices of each bootstrap resample, which draws groups with replacement."""
    names, rng = np.unique(groups), np.random.default_rng(0)
    rows_of_group = {name: np.flatnonzero(groups == name) for name in names}
    for _ in range(draws):
        drawn = names[rng.integers(len(names), size=len(names))]
        yield np.concatenate([rows_of_group[name] for name in drawn])


def bounds(value, groups, draws):
    """Return the 95% percentile interval of ``value(rows)``, by bootstrap over groups."""
    found = [value(rows) for rows in resamples(np.asarray(groups), draws)]
    return tuple(np.nanpercentile(found, [2.5, 97.5], axis=0))


def difference_bounds(one, other, metric, draws):
    """Return the interval of one run's metric minus another's, both on the same resamples."""
    (means, truth, p), (_, _, q) = rows_of(one), rows_of(other)

    def difference(rows):
        return plain(metric, truth[rows], p[rows]) - plain(metric, truth[rows], q[rows])

    return bounds(difference, means["group"], draws)
