"""The Ablation panel against scikit-learn on the same files, and its sentences both ways round."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from analysis.figures.intervals import WITHOUT
from analysis.panels.ablation import (
    ABLATION,
    DRAWS,
    Drop,
    ablation,
    drop_title,
    drops_of,
    holm_line,
)
from analysis.panels.base import CellKey
from analysis.stats.comparison import fold_scores
from analysis.stats.paper import FULL, NO_DIFFERENTIAL, NO_MCA, NO_RSE
from analysis.stats.recordings import ResultsError
from analysis.stats.runs import NO_RUNS, RESULTS, find_runs, read_run
from cry_model.metrics import METRICS
from cry_model.records import Estimate
from tests.analysis.made_up_runs import LABELS, write_run
from tests.analysis.plain_metrics import plain, rows_of, score_of

CELL = CellKey("donateacry", "baby")
NONE_MISSED = "No module is missed: without each,"
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
    printed = drops.table.set_index("system")["paper, lost"]
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
        shown = drops.table.set_index("system").loc[f"without {module}"]
        assert shown["lost (points)"] == round(100 * more.mean(), 1)
    low, high = sorted(measured["p_value"])
    least = min(1.0, 2 * low)
    assert sorted(measured["p_holm"]) == pytest.approx([least, max(least, high)])
    bar = next(b for b in drops.figure.data if b.name == "without RSE" and "paper" not in b.x[0])
    row = 100 * measured.loc["RSE", ["difference", "low", "high"]].astype(float)
    assert bar.y[0] == pytest.approx(row["difference"])
    assert bar.y[0] + bar.error_y.array[0] == pytest.approx(row["high"])
    assert bar.y[0] - bar.error_y.arrayminus[0] == pytest.approx(row["low"])


@pytest.mark.parametrize("metric", METRICS)
def test_the_difference_is_that_of_the_scores(reverse, metric):
    _, drops = ablation(reverse, CELL, metric)
    full = score_of(runs_of(reverse)[FULL].folder, LABELS, metric)
    for row in drops.data[drops.data["source"] == "measured"].itertuples():
        system = next(name for name, said in WITHOUT.items() if said == f"without {row.without}")
        other = score_of(runs_of(reverse)[system].folder, LABELS, metric)
        assert row.difference == pytest.approx(full - other)
        assert (row.all_modules, row.left_out) == pytest.approx((full, other))


def test_the_titles_say_what_was_found(found, reverse):
    levels, drops = ablation(found, CELL, "accuracy")
    accuracy = 100 * score_of(runs_of(found)[FULL].folder, LABELS, "accuracy")
    start = f"With all modules accuracy is {accuracy:.1f} %, the highest of 3; "
    assert levels.title.startswith(start + "always answering hungry scores ")
    assert drops.title.startswith("Leaving out MCA costs most: accuracy falls by ")
    assert "; without MCA" in drops.title
    assert "it is worse, and the interval" in drops.title
    assert "Not run: without differential attention." in levels.note
    levels, drops = ablation(reverse, CELL, "accuracy")
    assert "; the highest, " in levels.title
    assert "is without MCA; always answering" in levels.title
    assert drops.title == (
        f"{NONE_MISSED} accuracy is as good or better; without MCA, RSE and differential attention "
        "it is better, and the intervals exclude zero"
    )
    assert "Not run" not in levels.note


def a_drop(found, system, value, low, high, corrected):
    """One whose numbers are given."""
    runs = runs_of(found)
    real = drops_of({FULL: runs[FULL], NO_MCA: runs[NO_MCA]}, "accuracy", draws=5).found[0]
    estimate = Estimate(value, low, high)
    return Drop(replace(real.comparison, other=system, difference=estimate), corrected)


def test_sentences_of_intervals_and_of_the_correction(found):
    inside = a_drop(found, NO_MCA, 0.022, -0.01, 0.054, 0.5)
    outside = a_drop(found, NO_RSE, 0.015, 0.004, 0.03, 0.09)
    clear = replace(outside, corrected=0.01)
    better = a_drop(found, NO_DIFFERENTIAL, -0.02, -0.03, -0.01, 0.02)
    fall = "accuracy falls by 2.2 points (95 % interval -1.0 to 5.4)"
    assert drop_title([inside], "accuracy") == f"Without MCA {fall}; the interval includes zero"
    assert drop_title([better], "accuracy") == (
        "Without differential attention accuracy rises by 2.0 points (95 % interval 1.0 to 3.0); "
        "the interval excludes zero"
    )
    most = f"Leaving out MCA costs most: {fall}"
    assert drop_title([inside, inside], "accuracy") == f"{most}; no interval excludes zero"
    one = f"{most}; without RSE it is worse, and the interval excludes zero"
    assert drop_title([inside, clear], "accuracy") == one
    assert drop_title([inside, outside], "accuracy") == (
        f"{one}; after Holm's correction nothing is beyond chance"
    )
    both = drop_title([inside, clear, better], "accuracy")
    assert both == (
        f"{one}; without differential attention it is better, and the interval excludes zero"
    )
    assert drop_title([better, better], "accuracy").startswith(f"{NONE_MISSED} accuracy is as")
    assert holm_line([inside]) == ""
    assert "no difference is beyond chance" in holm_line([inside, outside])
    assert "only the difference without RSE is" in holm_line([inside, clear])
    assert "for 2 comparisons each difference is" in holm_line([clear, better])


def test_a_rising_calibration_error_is_a_cost(found):
    """Improved minus ablation is below zero where the ablation has the greater error."""
    worse = a_drop(found, NO_MCA, -0.05, -0.08, -0.02, 0.01)
    small = a_drop(found, NO_RSE, 0.01, -0.01, 0.03, 0.6)
    title = drop_title([worse, small], "expected_calibration_error")
    assert title == (
        "Leaving out MCA costs most: expected calibration error rises by 5.0 points (95 % interval "
        "2.0 to 8.0); without MCA it is worse, and the interval excludes zero"
    )
    levels, drops = ablation(found, CELL, "expected_calibration_error")
    values = marks(levels, "measured")["value"]
    assert ("the lowest of 3" in levels.title) == (values.iloc[0] == values.min())
    assert "difference (points)" in drops.table.columns
    assert "lost" not in drops.figure.layout.yaxis.title.text


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
    assert "Not all systems have the same seeds: 0 or 7." in levels.note
    assert list(drops.data[drops.data["source"] == "measured"]["without"]) == ["RSE"]
    assert np.isnan(drops.table.set_index("system").loc["without MCA", "lost (points)"])
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
        seeds = {run.seeds for run in found.of(*cell).values()}
        each = [", ".join(map(str, own)) for own in seeds]
        said = (
            f"Pooled over seeds {each[0]}." if len(each) == 1 else "Not all systems have the same"
        )
        assert said in levels.note
        assert "another corpus" in levels.note
        for row in marks(levels, "measured").itertuples():
            run = found.of(*cell)[row.system]
            expected = score_of(run.folder, list(run.labels), "accuracy")
            assert row.value == pytest.approx(expected)
        assert len(drops.table) == len(marks(levels, "measured"))
        assert drops.csv.count("\n") == len(drops.data) + 1
