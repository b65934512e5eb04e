"""Check the Compare panel; McNemar's test and changed answers are recounted one by one."""

from dataclasses import asdict

import numpy as np
import pytest
from scipy.stats import binom

from analysis.panels import compare as two_runs
from analysis.panels.base import LOWER_IS_BETTER
from analysis.panels.compare import COMPARE
from analysis.panels.html import view_of
from analysis.stats.comparison import pair
from analysis.stats.paper import FULL
from cry_model.metrics import METRICS
from tests.analysis.synthetic_runs import BABY, CLIP, LABELS
from tests.plain import rows_of

DRAWS = 60


@pytest.fixture(autouse=True)
def few(monkeypatch):
    monkeypatch.setattr(two_runs, "DRAWS", DRAWS)


@pytest.fixture
def both(found):
    return [found.of(*BABY)[system] for system in (FULL, "ecapa-tdnn")]


def shown(found, cell=BABY, metric="balanced_accuracy"):
    return COMPARE.exhibits(found, cell, {"run_a": FULL, "run_b": "ecapa-tdnn", "metric": metric})


@pytest.mark.parametrize("metric", ["balanced_accuracy", *LOWER_IS_BETTER])
def test_difference_is_stated_and_drawn(found, both, metric):
    """Compare with :func:`pair`, whose numbers test_comparison.py checks."""
    exhibit, compared = shown(found, metric=metric)[0], pair(*both, draws=DRAWS).compare(metric)
    data = exhibit.data[exhibit.data["metric"] == metric]
    row = data[data["seed"].isna()].iloc[0]
    values = (compared.value_one, compared.value_other, *asdict(compared.difference).values())
    assert row[["run_a", "run_b", "a_minus_b", "low", "high"]].tolist() == list(values)
    line = exhibit.note.splitlines()[0]
    assert f"{100 * row['a_minus_b']:+.1f} points [{100 * row['low']:+.1f}, " in line
    assert "90 recordings" in line
    assert "seeds of the same sign" in exhibit.table
    if metric in LOWER_IS_BETTER:  # not drawn
        return
    dots, open_dots = exhibit.figure.data
    assert list(open_dots.y) == ["seed 0", "seed 1"]
    np.testing.assert_allclose(open_dots.x, 100 * np.array(list(compared.by_seed.values())))
    assert len(dots.y) == len(METRICS) - len(LOWER_IS_BETTER)
    (chosen,) = (place for place, name in enumerate(dots.y) if "<b>" in name)
    assert dots.x[chosen] == pytest.approx(100 * row["a_minus_b"])


def test_mcnemar_and_changed_answers_match_a_plain_count(found, both):
    _, tests, flips = shown(found)
    (means, truth, p), (_, _, other) = map(rows_of, both)
    answers = np.stack([p.argmax(1), other.argmax(1)])
    right, expected = answers == truth, set()
    for row in means.itertuples():
        one, two = (LABELS[answer] for answer in answers[:, row.Index])
        alone = {one: "run_a", two: "run_b"}.get(row.label, "neither")
        if one != two:
            expected.add((row.seed, row.recording, row.label, one, two, alone))
    columns = ["seed", "recording", "label", "run_a", "run_b", "right"]
    assert set(flips.data[columns].itertuples(index=False, name=None)) == expected
    assert flips.note.startswith(f"{len(expected)} of 180 ")
    count = flips.table["right"].value_counts()
    assert count["A"] == tests.data["only_a_right"].sum()
    assert count["B"] == tests.data["only_b_right"].sum()
    for row in tests.data.itertuples():
        first, second = right[:, (means["seed"] == row.seed).to_numpy()]
        only_a, only_b = (first & ~second).sum(), (~first & second).sum()
        assert (row.only_a_right, row.only_b_right) == (only_a, only_b)
        assert row.both_right == (first & second).sum()
        assert row.neither_right == (~(first | second)).sum()
        p = min(1, 2 * binom.cdf(min(only_a, only_b), only_a + only_b, 0.5))
        assert row.p_mcnemar == pytest.approx(p)
    assert len(tests.table) == 4  # two rows per seed


def test_tables_of_one_seed_have_no_seed_column(found):
    difference, tests, flips = shown(found, CLIP)
    assert len(difference.figure.data) == 1
    assert "seeds of the same sign" not in difference.table
    assert "seed" not in {*tests.table, *flips.table}
    assert tests.table[["B right", "B wrong"]].to_numpy().sum() == 90


def test_model_cannot_be_compared_with_itself(found):
    assert set(COMPARE.cells(found)) == {BABY, CLIP}  # the other cells have one model
    asked = {"corpus": BABY.dataset, "split": BABY.protocol, "run_a": FULL, "run_b": FULL}
    assert "Both models are the Improved ECAPA-TDNN" in view_of(COMPARE, found, asked).problem
