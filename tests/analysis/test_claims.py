"""Verdicts on the paper's claims, from runs whose truth is known."""

import json
from dataclasses import replace

import pytest

from analysis.stats.claims import LEVEL, Verdict, judge
from analysis.stats.comparison import pair
from analysis.stats.paper import CLAIMS, FULL, NO_DIFFERENTIAL, NO_MCA, NO_RSE, read_paper
from analysis.stats.runs import read_run
from cry_model.registry import list_models
from tests.analysis.synthetic_runs import write_run
from tests.conftest import ROOT

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


@pytest.mark.parametrize("metric", ["balanced_accuracy", "accuracy", "macro_auc"])
def test_large_differences_are_confirmed_or_contradicted(
    as_the_paper_has_it, other_way_round, metric
):
    found = judge(as_the_paper_has_it, metric)
    assert [f.claim for f in found] == list(CLAIMS)
    assert {f.verdict for f in found} == {Verdict.CONFIRMED}
    assert {f.verdict for f in judge(other_way_round, metric)} == {Verdict.CONTRADICTED}


def test_equal_systems_are_undecided(as_the_paper_has_it):
    same = dict.fromkeys(SKILLS, as_the_paper_has_it[FULL])
    for finding in judge(same):
        assert (finding.verdict, finding.corrected) == (Verdict.UNDECIDED, 1.0)


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
    reference = json.loads((ROOT / "assets" / "paper_reference.json").read_text("utf-8"))
    for claim in CLAIMS:  # the table that a claim names prints all of its systems
        where = [reference["systems"][system]["where"] for system in claim.systems]
        assert all(claim.where.split()[1] in text for text in where)
