"""Comparisons of two runs against plain loops over scikit-learn's metrics."""

import numpy as np
import pytest

from analysis.stats.comparison import compare
from analysis.stats.paired import ComparisonError, exchanged, flipped_of, mcnemar_of
from analysis.stats.paired import answers as labelled
from analysis.stats.runs import read_run
from cry_model.metrics import METRICS, weighted
from cry_model.results import write_predictions
from tests.analysis.plain_metrics import plain
from tests.analysis.synthetic_runs import LABELS, answers, recordings, write_run

COLUMNS = [f"p_{label}" for label in LABELS]


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    root = tmp_path_factory.mktemp("runs")
    return tuple(
        read_run(write_run(root, system, skill, seeds=(0, 1)))
        for system, skill in (("improved-ecapa-tdnn", 1.4), ("ecapa-tdnn", 1.0))
    )


def arrays(run):
    table = run.recordings
    truth = np.array([LABELS.index(label) for label in table["label"]])
    return truth, table[COLUMNS].to_numpy(), table["group"].to_numpy()


@pytest.mark.parametrize("metric", METRICS)
def test_many_weightings_are_the_metric_of_each(metric):
    rng = np.random.default_rng(5)
    labels, member = rng.choice(3, 80, p=[0.05, 0.7, 0.25]), rng.integers(12, size=80)
    p = rng.random((80, 3)).round(1)  # with many ties
    weights = rng.integers(0, 3, (40, 12)).astype(float) * (rng.random((40, 12)) < 0.4)
    expected = []
    for row in weights[:, member]:
        kept = row > 0
        expected.append(METRICS[metric](labels[kept], p[kept], row[kept]))
    lacking = [len(np.unique(labels[row > 0])) < 3 for row in weights[:, member]]
    assert 5 < sum(lacking) < 40
    np.testing.assert_allclose(weighted(metric, labels, p, member, 12)(weights), expected)


@pytest.mark.parametrize("metric", METRICS)
def test_many_swaps_are_the_difference_of_each(metric):
    rng = np.random.default_rng(6)
    labels, member = rng.choice(3, 80, p=[0.05, 0.7, 0.25]), rng.integers(12, size=80)
    one, other = (rng.dirichlet(np.ones(3), 80).round(1) for _ in range(2))  # with many ties
    swapped = rng.integers(2, size=(30, 12)).astype(float)
    expected = []
    for row in swapped[:, member, None]:
        first, second = np.where(row, other, one), np.where(row, one, other)
        expected.append(plain(metric, labels, first) - plain(metric, labels, second))
    assert np.std(expected) > 0.01
    found = exchanged(metric, labels, one, other, member, 12)(swapped)
    np.testing.assert_allclose(found, expected, atol=1e-12)


@pytest.mark.parametrize("metric", METRICS)
def test_the_difference_and_its_interval_are_those_of_a_plain_loop(pair, metric):
    (truth, p, groups), (_, other, _) = map(arrays, pair)
    found = compare(*pair, metric, draws=60)
    assert found.value_one == pytest.approx(plain(metric, truth, p))
    assert found.value_other == pytest.approx(plain(metric, truth, other))
    assert found.difference.value == pytest.approx(found.value_one - found.value_other)
    names, rng, values = np.unique(groups), np.random.default_rng(0), []
    for _ in range(60):
        drawn = names[rng.integers(len(names), size=len(names))]
        rows = np.concatenate([np.flatnonzero(groups == name) for name in drawn])
        values.append(plain(metric, truth[rows], p[rows]) - plain(metric, truth[rows], other[rows]))
    low, high = np.percentile(values, [2.5, 97.5])
    assert (found.difference.low, found.difference.high) == pytest.approx((low, high))


@pytest.mark.parametrize("metric", METRICS)
def test_the_p_value_counts_swaps_within_groups(pair, metric):
    (truth, p, groups), (_, other, _) = map(arrays, pair)
    found = compare(*pair, metric, draws=200)
    real, names = abs(found.difference.value), np.unique(groups)
    rng, beyond = np.random.default_rng(99), 0  # other tosses: the same up to chance
    for _ in range(200):
        swapped = np.isin(groups, names[rng.random(len(names)) < 0.5])[:, None]
        first, second = np.where(swapped, other, p), np.where(swapped, p, other)
        beyond += abs(plain(metric, truth, first) - plain(metric, truth, second)) >= real - 1e-12
    assert 0.001 < found.p_value < 0.5
    spread = np.sqrt(2 * found.p_value * (1 - found.p_value) / 200)
    assert found.p_value == pytest.approx(beyond / 200, abs=4 * spread + 0.01)


def test_each_seed_has_its_own_difference(pair):
    found = compare(*pair, "balanced_accuracy", draws=10)
    for seed, value in found.by_seed.items():
        parts = []
        for run in pair:
            truth, p, _ = arrays(run)
            of_seed = (run.recordings["seed"] == seed).to_numpy()
            parts.append(plain("balanced_accuracy", truth[of_seed], p[of_seed]))
        assert value == pytest.approx(parts[0] - parts[1])
    assert (found.recordings, found.groups) == (90, pair[0].recordings["group"].nunique())
    single = compare(*pair, "balanced_accuracy", seeds=[1], draws=10)
    assert single.difference.value == pytest.approx(found.by_seed[1])


def test_exchanged_systems_differ_by_as_much_the_other_way(pair):
    one, other = compare(*pair, "macro_f1"), compare(*pair[::-1], "macro_f1")
    assert one.difference.value == pytest.approx(-other.difference.value)
    assert one.difference.low == pytest.approx(-other.difference.high)
    assert one.p_value == other.p_value


def test_a_system_beside_itself_differs_by_nothing(pair):
    found = compare(pair[0], pair[0], "accuracy")
    assert (found.difference.low, found.difference.value, found.difference.high) == (0, 0, 0)
    assert found.p_value == 1


def test_under_no_difference_small_p_values_are_rare(tmp_path):
    """Pairs of equal skill: about one in twenty is below 0.05, far from one in five."""
    folder, runs = write_run(tmp_path, "resnet18"), []
    for noise in range(60):
        table = answers(recordings(), 0.8, noise, fit_seed=0)
        write_predictions(folder, table)
        runs.append(read_run(folder))
        assert len(runs[-1].recordings) == 90  # read before the next ones are written
    small = sum(
        compare(one, other, "accuracy", draws=200).p_value <= 0.05
        for one, other in zip(runs[::2], runs[1::2], strict=True)
    )
    assert small <= 6  # of 30; more has a chance of one in a thousand


def test_flips_and_mcnemar_by_counting(pair):
    (truth, p, _), (_, other, _) = map(arrays, pair)
    of_seed = (pair[0].recordings["seed"] == 1).to_numpy()
    right, other_right = (q[of_seed].argmax(1) == truth[of_seed] for q in (p, other))
    only, only_other = (right & ~other_right).sum(), (~right & other_right).sum()
    found = mcnemar_of(table := labelled(*pair, 1), 1)
    assert (found.only_one, found.only_other) == (only, only_other)
    n, least = only + only_other, min(only, only_other)
    choose = np.array([1.0])
    for _ in range(n):  # Pascal's triangle
        choose = np.convolve(choose, [0.5, 0.5])
    assert found.p_value == pytest.approx(min(1, 2 * choose[: least + 1].sum()))
    table = flipped_of(table)
    assert len(table) == (p[of_seed].argmax(1) != other[of_seed].argmax(1)).sum()
    assert (table["right"] == "one").sum() == only
    assert (table["right"] == "other").sum() == only_other
    ours = table[table["right"] == "one"]
    assert (ours["one"] == ours["label"]).all()


def test_nothing_differs_and_mcnemar_is_sure_of_nothing(pair):
    assert mcnemar_of(labelled(pair[0], pair[0], 0), 0).p_value == 1
    assert flipped_of(labelled(pair[0], pair[0], 0)).empty


def test_what_cannot_be_paired_is_refused(pair, tmp_path):
    root = tmp_path
    elsewhere = read_run(write_run(root, "resnet18", dataset="esc10", seeds=(0, 1)))
    fewer = read_run(write_run(root, "resnet18", seeds=(0,)))
    folder = write_run(root, "ecapa-tdnn", seeds=(0, 1))
    path = folder / "predictions.csv"
    path.write_text(path.read_text().replace("r007", "x007"))
    for other, sentence in (
        (elsewhere, "esc10"),
        (fewer, "not the same seeds"),
        (read_run(folder), "same recordings"),
    ):
        with pytest.raises(ComparisonError, match=sentence):
            compare(pair[0], other)
    with pytest.raises(ComparisonError, match="not both seed 5"):
        compare(*pair, seeds=[5])
    with pytest.raises(ComparisonError, match="cannot be compared"):
        compare(*pair, "loudness")
    assert compare(pair[0], fewer, seeds=[0]).by_seed.keys() == {0}


def test_other_folds_are_refused(pair, tmp_path):
    folder = write_run(tmp_path, "resnet18", seeds=(0, 1))
    path = folder / "predictions.csv"
    run = read_run(folder)
    run.predictions.assign(fold=(run.predictions["fold"] + 1) % 3).to_csv(path, index=False)
    with pytest.raises(ComparisonError, match="same folds"):
        compare(pair[0], read_run(folder))
