"""The metrics a second way: scikit-learn on the rows of a file, one set of rows after the other."""

import warnings

import numpy as np
import pandas as pd
from sklearn import metrics as sk


def plain(metric, truth, p):
    """The metric by scikit-learn, over the classes that occur; the calibration error by bins."""
    guess = p.argmax(1)
    if metric == "expected_calibration_error":
        sure, right = p.max(1), guess == truth
        bins = np.digitize(sure, np.arange(1, 10) / 10)
        return sum(abs((right - sure)[bins == b].sum()) for b in range(10)) / len(truth)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a draw may lack a class that is answered
        if metric == "macro_auc":
            return np.mean([sk.roc_auc_score(truth == c, p[:, c]) for c in np.unique(truth)])
        if metric == "macro_f1":
            return sk.f1_score(truth, guess, average="macro")
        name = {"accuracy": sk.accuracy_score, "balanced_accuracy": sk.balanced_accuracy_score}
        return name[metric](truth, guess)


def rows_of(folder, labels, by=("seed",)):
    """``predictions.csv`` per recording: a table of the keys, class indices, probabilities."""
    table = pd.read_csv(folder / "predictions.csv", dtype={"group": str, "recording": str})
    columns = [f"p_{label}" for label in labels]
    means = table.groupby([*by, "recording", "group", "label"], as_index=False)[columns].mean()
    truth = np.array([labels.index(label) for label in means["label"]])
    return means, truth, means[columns].to_numpy()


def score_of(folder, labels, metric):
    """The metric over all seeds."""
    _, truth, p = rows_of(folder, labels)
    return plain(metric, truth, p)
