"""Comparisons of two runs against plain loops over scikit-learn's metrics."""

from dataclasses import replace

import numpy as np
import pytest

from analysis.stats.claims import LEVEL, Verdict, judge
from analysis.stats.comparison import (
    ComparisonError,
    disagreements,
    exchanged,
    holm,
    mcnemar_tests,
    pair,
)
from analysis.stats.paper import CLAIMS, FULL, NO_DIFFERENTIAL, NO_MCA, NO_RSE, read_paper
from analysis.stats.runs import find_runs, read_run
from cry_model.metrics import METRICS, weighted
from cry_model.networks.registry import list_models
from tests.analysis.synthetic_runs import change_table, write_run
from tests.plain import difference_bounds, plain, rows_of, score


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    root = tmp_path_factory.mktemp("runs")
    return tuple(
        read_run(write_run(root, system, skill, seeds=(0, 1)))
        for system, skill in (("improved-ecapa-tdnn", 1.2), ("ecapa-tdnn", 1.0))
    )


@pytest.mark.parametrize("metric", METRICS)
def test_bootstrap_weights_give_the_metric_of_each_resample(metric):
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
def test_differences_and_p_values_are_those_of_a_plain_loop(runs, metric):
    both = pair(*runs, draws=40)
    found = both.compare(metric)
    values = [score(run, metric) for run in runs]
    assert [found.value_one, found.value_other] == pytest.approx(values)
    assert found.difference.value == pytest.approx(values[0] - values[1])
    ends = difference_bounds(*runs, metric, 40)
    assert (found.difference.low, found.difference.high) == pytest.approx(ends)
    by_seed = [score(runs[0], metric, [s]) - score(runs[1], metric, [s]) for s in (0, 1)]
    assert list(found.by_seed.values()) == pytest.approx(by_seed)
    (means, truth, p), (_, _, other) = map(rows_of, runs)
    _, group = np.unique(means["group"], return_inverse=True)
    beyond, coins = 1, both.resamples[2]  # the real difference is one of them
    assert 0.4 < coins.mean() < 0.6
    for swapped in coins[:, group, None] == 1:
        first, second = np.where(swapped, other, p), np.where(swapped, p, other)
        moved = plain(metric, truth, first) - plain(metric, truth, second)
        beyond += abs(moved) >= abs(values[0] - values[1]) - 1e-12
    assert beyond < 41
    assert found.p_value == pytest.approx(beyond / 41)


def test_a_system_beside_itself_differs_by_nothing(runs):
    both = pair(runs[0], runs[0])
    found = both.compare("accuracy")
    assert (found.difference.low, found.difference.value, found.difference.high) == (0, 0, 0)
    assert found.p_value == 1
    assert list(mcnemar_tests(both.answers)["p_mcnemar"]) == [1, 1]
    assert disagreements(both.answers).empty


def test_what_cannot_be_paired_is_refused(runs, tmp_path):
    write_run(tmp_path, "resnet18", dataset="esc10", seeds=(0, 1))
    other_labels = write_run(tmp_path, "resnet18", seeds=(0, 1))
    for name in ("predictions.csv", "run.json"):
        path = other_labels / name
        path.write_text(path.read_text().replace("tired", "bored"))
    for run in find_runs(tmp_path).runs:
        with pytest.raises(ComparisonError, match="not the same labels"):
            pair(runs[0], run)
    with pytest.raises(ComparisonError, match="no seed in common"):
        pair(*runs, seeds=[5])
    assert pair(*runs, seeds=[1]).seeds == (1,)
    folder = write_run(tmp_path, "ecapa-tdnn", seeds=(0, 1))
    change_table(folder, lambda table: table.assign(fold=(table["fold"] + 1) % 3))
    with pytest.raises(ComparisonError, match="same folds"):
        pair(runs[0], read_run(folder))


def test_holm_by_hand():
    assert holm([0.03, 0.01, 0.04]) == pytest.approx([0.06, 0.03, 0.06])
    assert holm([0.6, 0.5]) == [1.0, 1.0]
    assert holm([]) == []


# Verdicts on the paper's claims, from runs whose truth is known


SKILLS = {  # as the paper has it, and further apart
    FULL: 3.0,
    NO_MCA: 0.2,
    NO_RSE: 1.5,
    NO_DIFFERENTIAL: 1.5,
    "ecapa-tdnn": 1.2,
    "resnet18": -1.5,
}


def runs_of(root, skills, **facts):
    return {s: read_run(write_run(root, s, skill, **facts)) for s, skill in skills.items()}


@pytest.fixture(scope="module")
def as_the_paper_has_it(tmp_path_factory):
    return runs_of(tmp_path_factory.mktemp("paper"), SKILLS, seeds=(0, 1))


@pytest.fixture(scope="module")
def other_way_round(tmp_path_factory):
    skills = {name: 1.5 - skill for name, skill in SKILLS.items()}
    return runs_of(tmp_path_factory.mktemp("reverse"), skills, seeds=(0, 1))


@pytest.mark.parametrize("metric", ["balanced_accuracy", "macro_auc"])
def test_large_differences_are_confirmed_or_contradicted(
    as_the_paper_has_it, other_way_round, metric
):
    found = judge(as_the_paper_has_it, metric)
    assert [f.claim for f in found] == list(CLAIMS)
    assert {f.verdict for f in found} == {Verdict.CONFIRMED}
    assert {f.verdict for f in judge(other_way_round, metric)} == {Verdict.CONTRADICTED}


def test_a_claim_of_two_parts_needs_both(as_the_paper_has_it):
    """Leaving RSE out costs as much as leaving MCA out: that MCA helps most is not confirmed."""
    alike = replace(as_the_paper_has_it[NO_MCA], system=NO_RSE)
    runs = {**as_the_paper_has_it, NO_RSE: alike}
    by_name = {f.claim.name: f for f in judge(runs)}
    most = by_name["MCA helps most"]
    parts = [(part.one, part.other) for part in most.comparisons]
    assert parts == [(NO_RSE, NO_MCA), (NO_DIFFERENTIAL, NO_MCA)]
    assert most.comparisons[1].difference.low > 0
    assert (most.p_value, most.verdict) == (1.0, Verdict.UNDECIDED)
    # And where leaving RSE out costs more, it is contradicted, at twice the p-value of that part.
    runs = {**runs, NO_RSE: replace(as_the_paper_has_it["resnet18"], system=NO_RSE)}
    most = {f.claim.name: f for f in judge(runs)}["MCA helps most"]
    assert most.p_value == 2 * most.comparisons[0].p_value
    assert most.verdict is Verdict.CONTRADICTED


def test_an_interval_above_zero_is_not_enough_among_many_claims(tmp_path):
    """The same difference alone, and as one of seven."""
    for noise in range(100):
        one = read_run(write_run(tmp_path / f"{noise}a", FULL, 1.0, noise=noise))
        other = read_run(write_run(tmp_path / f"{noise}b", "ecapa-tdnn", 0.6, noise=500 + noise))
        found = pair(one, other).compare("balanced_accuracy")
        if found.difference.low > 0 and LEVEL / 7 < found.p_value < LEVEL:
            break
    else:
        pytest.fail("no seed gives such a pair")
    alone = judge({FULL: one, "ecapa-tdnn": other}, claims=CLAIMS[:1])[0]
    assert (alone.verdict, alone.corrected) == (Verdict.CONFIRMED, found.p_value)
    among = judge({**dict.fromkeys(SKILLS, one), "ecapa-tdnn": other})
    first = among[0]
    assert first.p_value == found.p_value
    assert first.corrected > LEVEL
    assert first.verdict is Verdict.UNDECIDED


def test_what_was_not_run_is_absent_and_not_counted(as_the_paper_has_it):
    runs = {name: as_the_paper_has_it[name] for name in (FULL, "resnet18")}
    found = {f.claim.name: f for f in judge(runs)}
    with_errors = found.pop("improved beats ResNet18")
    assert with_errors.corrected == with_errors.p_value  # one claim: nothing to correct for
    assert {f.verdict for f in found.values()} == {Verdict.ABSENT}


def test_only_common_seeds_are_compared(as_the_paper_has_it, tmp_path):
    later = read_run(write_run(tmp_path, "resnet18", -1.5, seeds=(1,)))
    found = judge({FULL: as_the_paper_has_it[FULL], "resnet18": later})
    part = next(f for f in found if f.comparisons).comparisons[0]
    assert part.by_seed.keys() == {1}
    none = read_run(write_run(tmp_path, "ecapa-tdnn", seeds=(7,)))
    reason = judge({FULL: as_the_paper_has_it[FULL], "ecapa-tdnn": none})[0].reason
    assert "no seed in common" in reason


def test_the_claims_name_known_systems_and_hold_for_the_printed_numbers():
    paper = read_paper()
    for claim in CLAIMS:
        assert set(claim.systems) <= set(list_models())
        for better in claim.better:
            assert paper.accuracy[better] > paper.accuracy[claim.worse]
