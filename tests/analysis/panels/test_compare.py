"""Two runs of a cell: differences, McNemar's test and flips, each counted a second way."""

from dataclasses import asdict

import numpy as np
import pytest
from scipy.stats import binom

from analysis.panels import PANELS
from analysis.panels import compare as two_runs
from analysis.panels.base import LOWER_IS_BETTER, CellKey
from analysis.panels.compare import COMPARE
from analysis.stats.comparison import ComparisonError, pair
from analysis.stats.paper import FULL, NO_MCA
from analysis.stats.runs import NO_RUNS, RESULTS, ResultsError, find_runs
from cry_model.metrics import METRICS
from tests.analysis.synthetic_runs import LABELS, change_table, write_run
from tests.plain import rows_of

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


def both(found):
    return [found.of(*CELL)[system] for system in (FULL, "ecapa-tdnn")]


@pytest.mark.parametrize("metric", ["balanced_accuracy", *LOWER_IS_BETTER])
def test_the_difference_is_told_and_drawn(found, metric):
    """Its numbers: test_comparison.py."""
    exhibit, (one, other) = shown(found, metric=metric)[0], both(found)
    data = exhibit.data[exhibit.data["metric"] == metric]
    row, compared = data[data["seed"].isna()].iloc[0], pair(one, other, draws=DRAWS).compare(metric)
    values = (compared.value_one, compared.value_other, *asdict(compared.difference).values())
    assert row[["run_a", "run_b", "a_minus_b", "low", "high"]].tolist() == list(values)
    line = exhibit.note.splitlines()[0]
    assert f"{100 * row['a_minus_b']:+.1f} points [{100 * row['low']:+.1f}, " in line
    assert "90 recordings" in line
    if metric in LOWER_IS_BETTER:  # which is never drawn as a lead
        return
    dots, open_dots = exhibit.figure.data
    assert list(open_dots.y) == ["seed 0", "seed 1"]
    np.testing.assert_allclose(open_dots.x, 100 * np.array(list(compared.by_seed.values())))
    assert len(dots.y) == len(METRICS) - len(LOWER_IS_BETTER)
    (chosen,) = (place for place, name in enumerate(dots.y) if "<b>" in name)
    assert dots.x[chosen] == pytest.approx(100 * row["a_minus_b"])


def test_mcnemar_and_the_flips_are_counted_one_by_one(found):
    difference, tests, flips = shown(found)
    files, expected = [rows_of(run) for run in both(found)], set()
    truth, answers = files[0][1], np.stack([p.argmax(1) for _, _, p in files])
    right = answers == truth
    for row in files[0][0].itertuples():
        labels = [LABELS[answer] for answer in answers[:, row.Index]]
        if labels[0] != labels[1]:
            alone = (
                ["run_a", "run_b"][labels.index(row.label)] if row.label in labels else "neither"
            )
            expected.add((row.seed, row.recording, row.label, *labels, alone))
    columns = ["seed", "recording", "label", "run_a", "run_b", "right"]
    assert set(flips.data[columns].itertuples(index=False, name=None)) == expected
    assert flips.note.startswith(f"{len(expected)} of 180 ")
    count = flips.table["right"].value_counts()
    assert count["A"] == tests.data["only_a_right"].sum()
    assert count["B"] == tests.data["only_b_right"].sum()
    for row in tests.data.itertuples():
        first, second = right[:, (files[0][0]["seed"] == row.seed).to_numpy()]
        only_a, only_b = (first & ~second).sum(), (~first & second).sum()
        assert (row.only_a_right, row.only_b_right) == (only_a, only_b)
        assert (row.both_right, row.neither_right) == (
            (first & second).sum(),
            (~(first | second)).sum(),
        )
        p = min(1, 2 * binom.cdf(min(only_a, only_b), only_a + only_b, 0.5))
        assert row.p_mcnemar == pytest.approx(p)
    assert len(tests.table) == 4  # two rows a seed
    assert "seeds of the same sign" in difference.table
    assert set(COMPARE.cells(found)) == {CELL, OTHER}  # ESC-10 has one model


def test_of_one_seed_the_tables_have_no_column_of_seeds(found):
    difference, tests, flips = shown(found, OTHER)
    assert len(difference.figure.data) == 1
    assert "seeds of the same sign" not in difference.table
    assert flips.note.startswith(f"{len(flips.table)} of 90 ")
    assert "seed" not in tests.table
    assert "seed" not in flips.table
    assert tests.table[["B right", "B wrong"]].to_numpy().sum() == 90


def test_only_the_seeds_of_both_are_compared(tmp_path):
    write_run(tmp_path, FULL, seeds=(0, 1))
    write_run(tmp_path, "ecapa-tdnn", seeds=(1, 2))
    write_run(tmp_path, "resnet18", seeds=(5,))
    found = find_runs(tmp_path)
    _, tests, flips = shown(found)
    assert list(tests.data["seed"]) == [1]
    assert set(flips.data["seed"]) == {1}
    with pytest.raises(ComparisonError, match="no seed in common"):
        shown(found, b="resnet18")
    with pytest.raises(ComparisonError, match="Both models are the Improved ECAPA-TDNN"):
        shown(found, b=FULL)


# What every panel does: with nothing to show, with damaged files, with runs that do not fit


FOUND = find_runs(RESULTS)
BABY = CellKey("donateacry", "baby")


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel.name)
def test_committed_cells_are_drawn(panel):
    assert panel.cells(NO_RUNS) == ()
    cells = panel.cells(FOUND)
    for cell in {cells[0], cells[-1]}:  # all others: the report of them, in test_report.py
        exhibits = panel.exhibits(FOUND, cell)
        assert exhibits is panel.exhibits(FOUND, cell, panel.settle(FOUND, cell))  # kept
        for exhibit in exhibits:
            assert exhibit.figure is not None or exhibit.table is not None
            assert exhibit.csv.count("\n") == len(exhibit.data) + 1
            assert len(exhibit.csv) < 300_000
            assert exhibit.note


def test_damaged_predictions_are_named(tmp_path):
    for protocol in ("clip", "baby"):
        write_run(tmp_path, NO_MCA, protocol=protocol)
        folder = write_run(tmp_path, FULL, protocol=protocol)
    (folder / "predictions.csv").write_text("nothing that can be read\n")
    for panel in PANELS:
        if panel.name != "systems":  # which shows what run.json has
            with pytest.raises(ResultsError, match="has no column"):
                panel.exhibits(find_runs(tmp_path), BABY)


def test_runs_on_other_recordings_are_not_compared(tmp_path):
    write_run(tmp_path, NO_MCA)
    write_run(tmp_path, FULL, protocol="clip")
    renamed = {"recording": {"r007": "x007"}}
    change_table(write_run(tmp_path, FULL), lambda table: table.replace(renamed))
    for panel in (panel for panel in PANELS if panel.name in ("compare", "leakage")):
        with pytest.raises(ComparisonError, match="not tested on the same recordings"):
            panel.exhibits(find_runs(tmp_path), BABY)
