"""The scores of a run a second way: out of its file, with scikit-learn and plain loops."""

import warnings

import numpy as np
import pandas as pd
from sklearn import metrics as sk


def plain(metric, truth, p, weights=None):
    """The metric by scikit-learn, over the classes that occur; the calibration error by bins."""
    guess, w = p.argmax(1), np.ones(len(truth)) if weights is None else weights
    if metric == "expected_calibration_error":
        sure = p.max(1)
        gaps, bins = w * ((guess == truth) - sure), np.digitize(sure, np.arange(1, 10) / 10)
        return sum(abs(gaps[bins == b].sum()) for b in range(10)) / w.sum()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a draw may lack a class that is answered
        if metric == "macro_auc":
            own = ((truth == c, p[:, c]) for c in np.unique(truth))
            return np.mean([sk.roc_auc_score(*one, sample_weight=w) for one in own])
        if metric == "macro_f1":
            return sk.f1_score(truth, guess, average="macro", sample_weight=w)
        name = {"accuracy": sk.accuracy_score, "balanced_accuracy": sk.balanced_accuracy_score}
        return name[metric](truth, guess, sample_weight=w)


def rows_of(run, seeds=None, by=("seed",)):
    """A table of the keys, class indices and probabilities, a row per seed and recording."""
    table = pd.read_csv(run.folder / "predictions.csv", dtype={"group": str, "recording": str})
    table = table[table["seed"].isin(run.seeds if seeds is None else seeds)]
    columns = [f"p_{label}" for label in run.labels]
    keys = [*by, "recording", "group", "label"]
    means = table.groupby(keys, as_index=False)[columns].mean()
    truth = np.array([run.labels.index(label) for label in means["label"]])
    return means, truth, means[columns].to_numpy()


def score(run, metric, seeds=None):
    """One metric over all seeds, or over some."""
    _, truth, p = rows_of(run, seeds)
    return plain(metric, truth, p)


def resamples(groups, draws):
    """For each draw the rows of the groups that are drawn, one after the other."""
    names, rng = np.unique(groups), np.random.default_rng(0)
    rows_of_group = {name: np.flatnonzero(groups == name) for name in names}
    for _ in range(draws):
        drawn = names[rng.integers(len(names), size=len(names))]
        yield np.concatenate([rows_of_group[name] for name in drawn])


def bounds(value, groups, draws):
    """The middle 95% of a value of some rows."""
    found = [value(rows) for rows in resamples(np.asarray(groups), draws)]
    return tuple(np.nanpercentile(found, [2.5, 97.5], axis=0))


def difference_bounds(one, other, metric, draws):
    """The interval of one run minus another, of the same rows."""
    (means, truth, p), (_, _, q) = rows_of(one), rows_of(other)

    def difference(rows):
        return plain(metric, truth[rows], p[rows]) - plain(metric, truth[rows], q[rows])

    return bounds(difference, means["group"], draws)
