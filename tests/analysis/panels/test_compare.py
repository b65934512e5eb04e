"""Two runs of a cell: differences, McNemar's test and flips, each counted a second way."""

import numpy as np
import pytest
from scipy.stats import binom

from analysis.panels import compare as two_runs
from analysis.panels.base import CellKey
from analysis.panels.compare import COMPARE
from analysis.stats.paired import ComparisonError, answers, mcnemar_of
from analysis.stats.paper import FULL
from analysis.stats.recordings import ResultsError
from analysis.stats.runs import NO_RUNS, find_runs
from cry_model.metrics import METRICS
from tests.analysis.plain_scores import difference_bounds, score, scored
from tests.analysis.synthetic_runs import LABELS, write_run
from tests.conftest import ROOT

CELL, OTHER = CellKey("donateacry", "baby"), CellKey("donateacry", "clip")
DRAWS = 60


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """Two seeds under ``baby``, one under ``clip``, where a third system is alone elsewhere."""
    root = tmp_path_factory.mktemp("results")
    for system, skill in ((FULL, 1.8), ("ecapa-tdnn", 0.4)):
        write_run(root, system, skill, seeds=(0, 1))
        write_run(root, system, 1.0, protocol="clip")
    write_run(root, "resnet18", dataset="esc10", protocol="recording")
    return find_runs(root)


@pytest.fixture(autouse=True)
def few(monkeypatch):
    monkeypatch.setattr(two_runs, "DRAWS", DRAWS)


def shown(found, cell=CELL, a=FULL, b="ecapa-tdnn", metric="balanced_accuracy"):
    return COMPARE.exhibits(found, cell, {"run_a": a, "run_b": b, "metric": metric})


def right(run, seed):
    """(n,) Whether each recording of one seed is right, out of the file."""
    truth, p, _ = scored(run)
    rows = slice(90 * run.seeds.index(seed), 90 * run.seeds.index(seed) + 90)
    return p[rows].argmax(1) == truth[rows]


@pytest.mark.parametrize("metric", METRICS)
def test_the_difference_is_that_of_a_plain_loop(found, metric):
    data = shown(found)[0].data
    row = data[(data["metric"] == metric) & data["seed"].isna()].iloc[0]
    one, other = (found.of(*CELL)[system] for system in (FULL, "ecapa-tdnn"))
    assert row["run_a"] == pytest.approx(score(one, metric))
    assert row["run_b"] == pytest.approx(score(other, metric))
    assert row["a_minus_b"] == pytest.approx(row["run_a"] - row["run_b"])
    bounds = difference_bounds(one, other, metric, DRAWS)
    assert (row["low"], row["high"]) == pytest.approx(tuple(bounds))


def test_each_seed_has_its_own_difference(found):
    exhibit = shown(found, metric="accuracy")[0]
    data = exhibit.data[exhibit.data["metric"] == "accuracy"].dropna(subset="seed")
    one, other = (found.of(*CELL)[system] for system in (FULL, "ecapa-tdnn"))
    expected = [right(one, seed).mean() - right(other, seed).mean() for seed in (0, 1)]
    np.testing.assert_allclose(data["a_minus_b"], expected)
    open_dots = exhibit.figure.data[1]
    assert list(open_dots.y) == ["seed 0", "seed 1"]
    np.testing.assert_allclose(open_dots.x, 100 * np.array(expected))
    assert "seeds of the same sign" in exhibit.table
    single = shown(found, OTHER)[0]
    assert len(single.figure.data) == 1
    assert "seeds of the same sign" not in single.table


def test_the_figure_marks_the_chosen_metric(found):
    exhibit = shown(found, metric="macro_f1")[0]
    names = list(exhibit.figure.data[0].y)
    assert [name for name in names if "<b>" in name] == ["<b>macro F1</b>"]
    assert len(names) == len(METRICS)
    pooled = exhibit.data[exhibit.data["seed"].isna()]
    np.testing.assert_allclose(exhibit.figure.data[0].x, 100 * pooled["a_minus_b"])


def test_mcnemar_is_the_binomial_distribution(found):
    data = shown(found)[1].data.set_index("seed")
    one, other = (found.of(*CELL)[system] for system in (FULL, "ecapa-tdnn"))
    for seed in (0, 1):
        first, second = right(one, seed), right(other, seed)
        only_a, only_b = (first & ~second).sum(), (~first & second).sum()
        row = data.loc[seed]
        assert (row["only_a_right"], row["only_b_right"]) == (only_a, only_b)
        assert row["both_right"] == (first & second).sum()
        assert row["neither_right"] == (~first & ~second).sum()
        expected = min(1, 2 * binom.cdf(min(only_a, only_b), only_a + only_b, 0.5))
        assert row["p_mcnemar"] == pytest.approx(expected)


def test_the_table_of_mcnemar_adds_up(found):
    exhibit = shown(found, OTHER)[1]
    (test,) = exhibit.data.itertuples()
    cells = exhibit.table.to_numpy()
    assert list(cells[:, 0]) == ["right", "wrong"]
    assert cells[:, 1:3].tolist() == [
        [test.both_right, test.only_a_right],
        [test.only_b_right, test.neither_right],
    ]
    assert cells[:, 1:3].sum() == 90
    assert len(shown(found)[1].table) == 4  # two rows a seed


def test_the_flips_are_those_of_a_loop(found):
    _, tests, disagreements = shown(found)
    runs = [found.of(*CELL)[system] for system in (FULL, "ecapa-tdnn")]
    files, expected = [scored(run) for run in runs], set()
    for place, label in enumerate(LABELS[number] for number in files[0][0]):
        answers = [LABELS[p[place].argmax()] for _, p, _ in files]
        if answers[0] != answers[1]:
            alone = ["run_a", "run_b"][answers.index(label)] if label in answers else "neither"
            seed, row = divmod(place, 90)
            expected.add((seed, f"r{row:03d}", label, *answers, alone))
    columns = ["seed", "recording", "label", "run_a", "run_b", "right"]
    assert set(disagreements.data[columns].itertuples(index=False, name=None)) == expected
    count = disagreements.table["right"].value_counts()
    assert count["A"] == tests.data["only_a_right"].sum()
    assert count["B"] == tests.data["only_b_right"].sum()
    assert disagreements.note.startswith(f"{len(expected)} of 180 ")


def test_one_seed_is_counted_in_recordings(found):
    _, tests, disagreements = shown(found, OTHER)
    assert disagreements.note.startswith(f"{len(disagreements.table)} of 90 ")
    assert "seed" not in tests.table
    assert "seed" not in disagreements.table


def test_the_line_has_the_numbers_of_the_chosen_metric(found):
    exhibit = shown(found, metric="macro_auc")[0]
    row = exhibit.data.set_index("metric").loc["macro_auc"].iloc[0]
    line = exhibit.note.splitlines()[0]
    assert f"{100 * row['a_minus_b']:+.1f} points [{100 * row['low']:+.1f}, " in line
    assert "90 recordings" in line


def test_only_the_seeds_of_both_are_compared(tmp_path):
    write_run(tmp_path, FULL, seeds=(0, 1))
    write_run(tmp_path, "ecapa-tdnn", seeds=(1, 2))
    write_run(tmp_path, "resnet18", seeds=(5,))
    found = find_runs(tmp_path)
    _, tests, disagreements = shown(found)
    assert list(tests.data["seed"]) == [1]
    assert set(disagreements.data["seed"]) == {1}
    with pytest.raises(ComparisonError, match="not both seed"):
        shown(found, b="resnet18")


def test_what_cannot_be_compared_is_said(found, tmp_path):
    with pytest.raises(ComparisonError, match="Both models are the Improved ECAPA-TDNN"):
        shown(found, b=FULL)
    write_run(tmp_path, FULL)
    folder = write_run(tmp_path, "ecapa-tdnn")
    runs = find_runs(tmp_path)
    table = runs.of(*CELL)["ecapa-tdnn"].predictions
    table.assign(fold=(table["fold"] + 1) % 3).to_csv(folder / "predictions.csv", index=False)
    with pytest.raises(ComparisonError, match="same folds"):
        shown(find_runs(tmp_path))
    (folder / "predictions.csv").write_text("nothing\n")
    with pytest.raises(ResultsError, match="has no column"):
        shown(find_runs(tmp_path))


def test_a_cell_with_one_system_is_left_out(found):
    assert set(COMPARE.cells(found)) == {CELL, OTHER}
    assert COMPARE.cells(NO_RUNS) == ()


def test_the_committed_results_are_compared():
    found = find_runs(ROOT / "assets" / "results")
    cells = COMPARE.cells(found)
    assert cells
    for cell in cells:
        one, other = list(found.of(*cell).values())[:2]
        exhibits = shown(found, cell, one.system, other.system)
        data = exhibits[0].data
        data = data[data["seed"].isna()].set_index("metric")
        seeds = set(one.seeds) & set(other.seeds)
        for metric in METRICS:
            expected = score(one, metric, seeds) - score(other, metric, seeds)
            assert data.loc[metric, "a_minus_b"] == pytest.approx(expected)
        test = mcnemar_of(answers(one, other, one.seeds[0]), one.seeds[0])
        assert len(exhibits[2].table) >= test.only_one + test.only_other
