"""The Ablation panel against scikit-learn on the same files."""

import json

import numpy as np
import pandas as pd
import pytest

from analysis.panels.ablation import ABLATION, DRAWS, ablation
from analysis.panels.base import CellKey
from analysis.stats.comparison import fold_scores
from analysis.stats.paper import FULL, NO_DIFFERENTIAL, NO_MCA, NO_RSE, WITHOUT
from analysis.stats.recordings import ResultsError, chance_level
from analysis.stats.runs import NO_RUNS, RESULTS, find_runs, read_run
from cry_model.metrics import METRICS
from tests.analysis.plain_metrics import plain, rows_of, score_of
from tests.analysis.synthetic_runs import LABELS, write_run

CELL = CellKey("donateacry", "baby")
SKILLS = {FULL: 3.0, NO_MCA: 0.2, NO_RSE: 2.2}


def found_of(root, skills, seeds=(0, 1)):
    for system, skill in skills.items():
        write_run(root, system, skill, seeds=seeds)
    return find_runs(root)


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """Every module helps; differential attention was never left out."""
    return found_of(tmp_path_factory.mktemp("helps"), SKILLS)


@pytest.fixture(scope="module")
def reverse(tmp_path_factory):
    """The system is better without each."""
    skills = {FULL: 0.2, NO_MCA: 3.0, NO_RSE: 2.2, NO_DIFFERENTIAL: 1.6}
    return found_of(tmp_path_factory.mktemp("reverse"), skills)


def runs_of(found):
    return found.of(*CELL)


def marks(exhibit, mark):
    return exhibit.data[exhibit.data["mark"] == mark]


@pytest.mark.parametrize("metric", METRICS)
def test_scores_are_those_of_scikit_learn_with_the_intervals_of_the_runs(found, metric):
    levels, _ = ablation(found, CELL, metric)
    for row in marks(levels, "measured").itertuples():
        folder = runs_of(found)[row.system].folder
        assert row.value == pytest.approx(score_of(folder, LABELS, metric))
        record = json.loads((folder / "run.json").read_text())["metrics"]["recording"]["metrics"]
        assert (row.low, row.high) == (record[metric]["low"], record[metric]["high"])
    trace = next(t for t in levels.figure.data if t.name.startswith("all folds"))
    own = marks(levels, "measured")
    np.testing.assert_allclose(trace.x, 100 * own["value"])
    np.testing.assert_allclose(np.add(trace.x, trace.error_x.array), 100 * own["high"])
    np.testing.assert_allclose(np.subtract(trace.x, trace.error_x.arrayminus), 100 * own["low"])


@pytest.mark.parametrize("metric", METRICS)
def test_every_fold_of_every_seed_is_a_point(found, metric):
    levels, _ = ablation(found, CELL, metric)
    folds = marks(levels, "fold")
    assert len(folds) == len(SKILLS) * 2 * 3
    for row in folds.itertuples():
        keys, truth, p = rows_of(runs_of(found)[row.system].folder, LABELS, by=("seed", "fold"))
        own = ((keys["seed"] == row.seed) & (keys["fold"] == row.fold)).to_numpy()
        assert row.value == pytest.approx(plain(metric, truth[own], p[own]))
    trace = next(t for t in levels.figure.data if t.name.startswith("one fold"))
    np.testing.assert_allclose(trace.x, 100 * folds["value"])


def test_under_clip_a_fold_has_the_pieces_that_were_tested_in_it():
    run = read_run(RESULTS / "donateacry" / "clip" / FULL)
    keys, truth, p = rows_of(run.folder, list(run.labels), by=("seed", "fold"))
    scores = fold_scores(run, "accuracy")
    assert sum(score.recordings for score in scores) == len(keys) > len(run.recordings)
    for score in scores:
        own = ((keys["seed"] == score.seed) & (keys["fold"] == score.fold)).to_numpy()
        assert score.value == pytest.approx(plain("accuracy", truth[own], p[own]))


def test_the_papers_values_stand_beside_accuracy_alone(found):
    levels, drops = ablation(found, CELL, "accuracy")
    stated = marks(levels, "paper").set_index("system")["value"]
    assert stated.to_dict() == {FULL: 0.8220, NO_MCA: 0.7837, NO_RSE: 0.7854}
    trace = next(t for t in levels.figure.data if t.name.startswith("the paper"))
    assert trace.marker.symbol == "diamond-open"
    printed = drops.table.set_index("model")["paper, lost (points)"]
    assert printed["without MCA"] == pytest.approx(3.83)
    assert drops.data[drops.data["source"] == "paper"]["difference"].max() == pytest.approx(0.0383)
    for metric in ("macro_auc", "macro_f1"):
        levels, drops = ablation(found, CELL, metric)
        assert marks(levels, "paper").empty
        assert set(drops.data["source"]) == {"measured"}


def test_drops_their_intervals_and_holm_by_hand(found):
    _, drops = ablation(found, CELL, "accuracy")
    measured = drops.data[drops.data["source"] == "measured"].set_index("without")
    keys, truth, p = rows_of(runs_of(found)[FULL].folder, LABELS)
    right = p.argmax(1) == truth
    groups, member = np.unique(keys["group"], return_inverse=True)
    size = np.bincount(member)
    drawn = np.random.default_rng(0).integers(len(groups), size=(DRAWS, len(groups)))
    for system, module in ((NO_MCA, "MCA"), (NO_RSE, "RSE")):
        _, _, other = rows_of(runs_of(found)[system].folder, LABELS)
        more = right.astype(float) - (other.argmax(1) == truth)
        gain = np.bincount(member, more)
        spread = gain[drawn].sum(1) / size[drawn].sum(1)
        row = measured.loc[module]
        assert row["difference"] == pytest.approx(more.mean())
        assert (row["low"], row["high"]) == pytest.approx(tuple(np.percentile(spread, [2.5, 97.5])))
        shown = drops.table.set_index("model").loc[f"without {module}"]
        assert shown["lost (points)"] == round(100 * more.mean(), 1)
    low, high = sorted(measured["p_value"])
    least = min(1.0, 2 * low)
    assert sorted(measured["p_holm"]) == pytest.approx([least, max(least, high)])
    bar = next(b for b in drops.figure.data if b.name == "without RSE")
    assert [x.split("<br>")[0] for x in bar.x] == ["the paper", "Donate-a-Cry"]
    row = 100 * measured.loc["RSE", ["difference", "low", "high"]].astype(float)
    assert bar.y[1] == pytest.approx(row["difference"])
    assert bar.y[1] + bar.error_y.array[1] == pytest.approx(row["high"])
    assert bar.y[1] - bar.error_y.arrayminus[1] == pytest.approx(row["low"])


@pytest.mark.parametrize("metric", METRICS)
def test_the_difference_is_that_of_the_scores(reverse, metric):
    _, drops = ablation(reverse, CELL, metric)
    full = score_of(runs_of(reverse)[FULL].folder, LABELS, metric)
    for row in drops.data[drops.data["source"] == "measured"].itertuples():
        system = next(name for name, said in WITHOUT.items() if said == f"without {row.without}")
        other = score_of(runs_of(reverse)[system].folder, LABELS, metric)
        assert row.difference == pytest.approx(full - other)
        assert (row.all_modules, row.left_out) == pytest.approx((full, other))


def test_the_line_names_the_largest_loss(found, reverse):
    """Improved minus ablation is below zero where the ablation has the greater error."""
    for runs, metric, pick in (
        (found, "accuracy", "idxmax"),
        (reverse, "accuracy", "idxmax"),
        (found, "expected_calibration_error", "idxmin"),
    ):
        levels, drops = ablation(runs, CELL, metric)
        measured = drops.data[drops.data["source"] == "measured"].set_index("without")
        module = getattr(measured["difference"], pick)()
        line = drops.note.splitlines()[0]
        assert f"without {module}, {100 * measured.loc[module, 'difference']:+.1f} points [" in line
        full = 100 * score_of(runs_of(runs)[FULL].folder, LABELS, metric)
        assert f"{full:.1f}% [" in levels.note.splitlines()[0]
    assert "difference (points)" in drops.table
    assert "lost" not in drops.figure.layout.yaxis.title.text


def test_the_chance_level_is_drawn_and_in_the_data(found):
    for metric in METRICS:
        levels, _ = ablation(found, CELL, metric)
        level = chance_level(runs_of(found)[FULL].evaluation, metric)
        lines = levels.figure.layout.shapes
        values = [] if level is None else [level.value]
        assert [line.x0 / 100 for line in lines] == pytest.approx(values)
        assert list(marks(levels, "chance")["value"]) == values


def test_only_cells_with_something_left_out_are_shown(tmp_path):
    assert ABLATION.cells(NO_RUNS) == ()
    found = found_of(tmp_path, {FULL: 1.0, "ecapa-tdnn": 1.0})
    write_run(tmp_path, NO_MCA, protocol="clip")
    assert ABLATION.cells(found) == ABLATION.cells(find_runs(tmp_path)) == ()
    write_run(tmp_path, NO_RSE, seeds=(0, 1))
    assert ABLATION.cells(find_runs(tmp_path)) == (CELL,)


def test_a_run_that_cannot_be_compared_is_named_and_the_rest_is_shown(tmp_path):
    found_of(tmp_path, {FULL: 2.0, NO_RSE: 1.0}, seeds=(0,))
    write_run(tmp_path, NO_MCA, 1.0, seeds=(7,))
    levels, drops = ablation(find_runs(tmp_path), CELL, "accuracy")
    assert "have not both seed (none)" in levels.note
    assert "seeds 0 or 7" in levels.note
    assert list(drops.data[drops.data["source"] == "measured"]["without"]) == ["RSE"]
    assert np.isnan(drops.table.set_index("model").loc["without MCA", "lost (points)"])
    alone = found_of(tmp_path / "alone", {FULL: 2.0}, seeds=(0,))
    write_run(tmp_path / "alone", NO_MCA, 1.0, seeds=(7,))
    assert alone.runs
    assert len(ablation(find_runs(tmp_path / "alone"), CELL, "accuracy")) == 1


def test_only_common_seeds_are_compared(tmp_path):
    write_run(tmp_path, FULL, 2.0, seeds=(0, 1))
    write_run(tmp_path, NO_MCA, 1.0, seeds=(1,))
    _, drops = ablation(find_runs(tmp_path), CELL, "accuracy")
    assert drops.data["seeds"].iloc[0] == "1"


def test_damaged_predictions_are_named(tmp_path):
    found_of(tmp_path, {FULL: 1.0, NO_MCA: 1.0})
    path = tmp_path / "donateacry" / "baby" / NO_MCA / "predictions.csv"
    pd.read_csv(path).drop(columns="p_tired").to_csv(path, index=False)
    with pytest.raises(ResultsError, match="no column p_tired"):
        ablation(find_runs(tmp_path), CELL, "accuracy")


def test_every_committed_cell_is_drawn():
    found = find_runs(RESULTS)
    cells = ABLATION.cells(found)
    assert CellKey("donateacry", "clip") in cells
    for cell in cells:
        levels, drops = ABLATION.exhibits(found, cell)
        for row in marks(levels, "measured").itertuples():
            run = found.of(*cell)[row.system]
            expected = score_of(run.folder, list(run.labels), "accuracy")
            assert row.value == pytest.approx(expected)
        assert len(drops.table) == len(marks(levels, "measured"))
        assert drops.csv.count("\n") == len(drops.data) + 1
