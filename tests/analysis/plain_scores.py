"""The scores of a run a second way: out of its file, with scikit-learn and plain loops."""

import numpy as np
import pandas as pd

from tests.analysis.test_comparison import plain


def scored(run, seeds=None):
    """Truth, probabilities and groups, a row per seed and recording, out of the file."""
    table = pd.read_csv(run.folder / "predictions.csv", dtype={"group": str, "recording": str})
    table = table if seeds is None else table[table["seed"].isin(seeds)]
    columns = [f"p_{label}" for label in run.labels]
    means = table.groupby(["seed", "recording"], sort=True)[columns].mean()
    facts = table.drop_duplicates(["seed", "recording"]).set_index(["seed", "recording"])
    facts = facts.loc[means.index]
    truth = np.array([run.labels.index(label) for label in facts["label"]])
    return truth, means.to_numpy(), facts["group"].to_numpy()


def score(run, metric, seeds=None):
    """One metric over all seeds, or over some."""
    truth, p, _ = scored(run, seeds)
    return plain(metric, truth, p)


def difference_bounds(one, other, metric, draws):
    """The interval of one minus other by drawing groups in a loop."""
    (truth, p, groups), (_, q, _) = scored(one), scored(other)
    names, rng, values = np.unique(groups), np.random.default_rng(0), []
    for _ in range(draws):
        drawn = names[rng.integers(len(names), size=len(names))]
        rows = np.concatenate([np.flatnonzero(groups == name) for name in drawn])
        values.append(plain(metric, truth[rows], p[rows]) - plain(metric, truth[rows], q[rows]))
    return np.nanpercentile(values, [2.5, 97.5])
