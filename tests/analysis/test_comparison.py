"""Check comparisons of two runs against plain loops over scikit-learn's metrics."""

from dataclasses import replace

import numpy as np
import pytest

from analysis.stats.claims import LEVEL, MAIN, Verdict, judge
from analysis.stats.comparison import (
    ComparisonError,
    disagreements,
    holm,
    mcnemar_tests,
    pair,
)
from analysis.stats.paper import CLAIMS, FULL, NO_DIFFERENTIAL, NO_MCA, NO_RSE, read_paper
from analysis.stats.runs import read_run
from cry_model.metrics import METRICS
from cry_model.networks.registry import list_models
from cry_model.records import Estimate
from tests.analysis.synthetic_runs import write_run
from tests.plain import bounds, plain, resamples, rows_of


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    root = tmp_path_factory.mktemp("runs")
    skills = {FULL: 1.2, "ecapa-tdnn": 1.0}
    return [read_run(write_run(root, name, skills[name], seeds=(0, 1))) for name in skills]


@pytest.mark.parametrize("digits", [1, 9])
@pytest.mark.parametrize("metric", METRICS)
def test_differences_and_p_values_match_a_plain_loop(runs, metric, digits):
    (means, truth, p), (_, _, q) = map(rows_of, runs)
    few = (means["group"] < "008").to_numpy()  # so that some resamples lack a label
    means, truth, p, q = means[few], truth[few], p[few].round(digits), q[few].round(digits)
    both = replace(pair(*runs, draws=40), table=means, first=p, second=q)
    groups = means["group"].to_numpy()
    lacking = [len({*truth[rows]}) < 3 for rows in resamples(groups, 40)]
    assert 0 < sum(lacking) < 40
    found = both.compare(metric)

    def difference(rows, p=p, q=q):
        return plain(metric, truth[rows], p[rows]) - plain(metric, truth[rows], q[rows])

    every = slice(None)
    values = [plain(metric, truth, own) for own in (p, q)]
    assert [found.value_one, found.value_other] == pytest.approx(values)
    d = found.difference
    ends = bounds(difference, groups, 40)
    assert (d.value, d.low, d.high) == pytest.approx((difference(every), *ends))
    by_seed = {seed: difference((means["seed"] == seed).to_numpy()) for seed in (0, 1)}
    assert found.by_seed == pytest.approx(by_seed)
    _, group = np.unique(groups, return_inverse=True)
    _, coins = both.swaps
    assert 0.4 < coins.mean() < 0.6
    swaps = coins[:, group, None] == 1
    moved = [difference(every, np.where(own, q, p), np.where(own, p, q)) for own in swaps]
    np.testing.assert_allclose(both.exchanged(metric), moved, atol=1e-12)
    beyond = np.abs(moved) >= abs(difference(every)) - 1e-12
    assert found.p_value == pytest.approx((1 + beyond.sum()) / 41)  # the observed difference counts
    assert not beyond.all()


def test_system_compared_with_itself_has_no_difference(runs):
    both = pair(runs[0], runs[0])
    found = both.compare("accuracy")
    assert (found.difference, found.p_value) == (Estimate(0, 0, 0), 1)
    assert list(mcnemar_tests(both.answers)["p_mcnemar"]) == [1, 1]
    assert disagreements(both.answers).empty


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda table: {"dataset": "esc10"}, "same labels"),
        (lambda table: {"labels": ("a", "b", "c")}, "same labels"),
        (lambda table: {"seeds": (5,)}, "no seed in common"),
        (lambda table: {"table": table.assign(fold=(table["fold"] + 1) % 3)}, "in the same folds"),
        (lambda table: {"table": table.replace({"r007": "x007"})}, "same recordings"),
    ],
)
def test_runs_with_other_data_cannot_be_paired(runs, change, sentence):
    one, other = runs
    with pytest.raises(ComparisonError, match=sentence):
        pair(one, replace(other, **change(other.predictions)))


def test_holm_matches_values_computed_by_hand():
    assert holm([0.03, 0.01, 0.04]) == pytest.approx([0.06, 0.03, 0.06])
    assert holm([0.6, 0.5]) == [1.0, 1.0]
    assert holm([]) == []


# Verdicts on the paper's claims, from runs of known skill


SKILLS = {  # in the order of the paper, but further apart
    FULL: 3.0,
    NO_MCA: 0.2,
    NO_RSE: 1.5,
    NO_DIFFERENTIAL: 1.5,
    "ecapa-tdnn": 1.2,
    "resnet18": -1.5,
}


def runs_of(root, skills):
    return {s: read_run(write_run(root, s, skill, seeds=(0, 1))) for s, skill in skills.items()}


def by_name(findings):
    return {finding.claim.name: finding for finding in findings}


@pytest.fixture(scope="module")
def as_the_paper_has_it(tmp_path_factory):
    return runs_of(tmp_path_factory.mktemp("paper"), SKILLS)


@pytest.mark.parametrize("metric", ["balanced_accuracy", "macro_auc"])
def test_large_differences_are_confirmed_or_contradicted(as_the_paper_has_it, metric, tmp_path):
    found = judge(as_the_paper_has_it, metric)
    assert [f.claim for f in found] == list(CLAIMS)
    assert {f.verdict for f in found} == {Verdict.CONFIRMED}
    other_way_round = runs_of(tmp_path, {name: 1.5 - skill for name, skill in SKILLS.items()})
    assert {f.verdict for f in judge(other_way_round, metric)} == {Verdict.CONTRADICTED}


def test_claim_of_two_parts_needs_both(as_the_paper_has_it):
    """Check that "MCA helps most" is not confirmed if removing RSE costs as much."""
    runs = as_the_paper_has_it
    alike = replace(runs[NO_MCA], system=NO_RSE)
    most = by_name(judge({**runs, NO_RSE: alike}, MAIN))["MCA helps most"]
    assert [part.one for part in most.comparisons] == [NO_RSE, NO_DIFFERENTIAL]
    assert most.comparisons[1].difference.low > 0
    assert (most.p_value, most.verdict) == (1.0, Verdict.UNDECIDED)
    # If removing RSE costs more, it is contradicted, at twice the p-value of that part.
    worst = replace(runs["resnet18"], system=NO_RSE)
    most = by_name(judge({**runs, NO_RSE: worst}, MAIN))["MCA helps most"]
    assert most.p_value == 2 * most.comparisons[0].p_value
    assert most.verdict is Verdict.CONTRADICTED


def test_interval_above_zero_can_fail_after_correction(tmp_path):
    """Judge the same difference alone and as one of seven, where Holm's correction rejects it."""
    one = read_run(write_run(tmp_path, FULL, 1.0, noise=3))
    other = read_run(write_run(tmp_path, "ecapa-tdnn", 0.6, noise=503))
    found = pair(one, other).compare("balanced_accuracy")
    assert found.difference.low > 0
    assert LEVEL / 7 < found.p_value < LEVEL
    alone = judge({FULL: one, "ecapa-tdnn": other}, MAIN)[0]
    assert (alone.verdict, alone.corrected) == (Verdict.CONFIRMED, found.p_value)
    among = judge({**dict.fromkeys(SKILLS, one), "ecapa-tdnn": other}, MAIN)[0]
    assert among.p_value == found.p_value
    assert among.corrected > LEVEL
    assert among.verdict is Verdict.UNDECIDED


def test_claims_without_runs_are_absent_and_not_counted(as_the_paper_has_it):
    runs = {name: as_the_paper_has_it[name] for name in (FULL, "resnet18", "ecapa-tdnn")}
    runs["ecapa-tdnn"] = replace(runs["ecapa-tdnn"], seeds=(7,))
    runs["resnet18"] = replace(runs["resnet18"], seeds=(1,))
    found = by_name(judge(runs, MAIN))
    beaten = found.pop("improved beats ResNet18")
    assert beaten.corrected == beaten.p_value  # a single claim needs no correction
    assert beaten.comparisons[0].by_seed.keys() == {1}
    assert {f.verdict for f in found.values()} == {Verdict.ABSENT}
    assert "no seed in common" in found["improved beats ECAPA-TDNN"].reason


def test_claims_name_known_systems_and_match_the_papers_numbers():
    paper = read_paper()
    for claim in CLAIMS:
        assert set(claim.systems) <= set(list_models())
        for better in claim.better:
            assert paper.accuracy[better] > paper.accuracy[claim.worse]
