"""What a split lets through: the numbers a second way, the sentences in every direction."""

import json
from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score

from analysis.figures.leakage import leakage_figure
from analysis.panels.base import CellKey
from analysis.panels.leakage import LEAKAGE, finding, loss_finding
from analysis.split_words import kept_apart, on_what
from analysis.stats.comparison import Leak, leak, under_two_splits
from analysis.stats.paired import ComparisonError
from analysis.stats.paper import FULL, NO_MCA
from analysis.stats.recordings import SCORES, ResultsError, guess
from analysis.stats.runs import NO_RUNS, find_runs
from analysis.stats.side_results import yardsticks
from cry_model.records import Estimate
from tests.analysis.made_up_runs import write_run
from tests.analysis.plain_scores import difference_bounds, score, scored
from tests.conftest import ROOT

COMMITTED = ROOT / "assets" / "results"
SKILLS = {"clip": 2.5, "recording": 1.0, "baby": 0.0}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("results")
    for number, (protocol, skill) in enumerate(SKILLS.items()):
        write_run(root, FULL, skill, seeds=(0, 1), protocol=protocol, noise=number)
        if protocol != "recording":
            write_run(root, "ecapa-tdnn", skill, protocol=protocol, noise=10 + number)
    write_run(root, NO_MCA, 2.0, protocol="clip")
    write_run(root, FULL, 2.0, dataset="esc10", protocol="recording")
    return root


@pytest.fixture(scope="module")
def found(root):
    return find_runs(root)


def shown(found, metric="balanced_accuracy", dataset="donateacry"):
    cell = next(cell for cell in LEAKAGE.cells(found) if cell.dataset == dataset)
    return LEAKAGE.exhibits(found, cell, {"metric": metric})


@pytest.mark.parametrize("metric", SCORES)
def test_scores_are_those_of_the_files(found, metric):
    scores, lost = shown(found, metric)
    data = scores.data.set_index(["name", "protocol"])
    runs = {(r.system, r.protocol): r for r in found.runs if r.dataset == "donateacry"}
    for key, run in runs.items():
        assert data.loc[key, metric] == pytest.approx(score(run, metric))
    assert (scores.data["mark"] == "system").sum() == len(runs)
    losses = lost.data.set_index("system")
    assert list(losses.index) == [FULL, "ecapa-tdnn"]
    for system, row in losses.iterrows():
        expected = score(runs[system, "clip"], metric) - score(runs[system, "baby"], metric)
        assert row["lost"] == pytest.approx(expected)
        assert (row["lax"], row["strict"], row["recordings"]) == ("clip", "baby", 90)


@pytest.mark.parametrize("metric", SCORES)
def test_the_interval_of_a_loss_is_that_of_a_plain_loop(found, metric):
    pair = under_two_splits([r for r in found.runs if r.dataset == "donateacry"])[FULL]
    lost = leak(*pair, metric, draws=60).lost
    assert (lost.low, lost.high) == pytest.approx(tuple(difference_bounds(*pair, metric, 60)))


def test_the_table_has_every_split_and_says_what_was_not_run(found):
    table = shown(found)[0].table.set_index("balanced accuracy")
    assert list(table.columns) == ["clip", "recording", "baby"]
    assert list(table.loc["Improved ECAPA-TDNN without MCA"])[1:] == ["not run", "not run"]
    run = found.of("donateacry", "baby")["ecapa-tdnn"]
    assert table.loc["ECAPA-TDNN", "baby"] == str(run.evaluation.metrics["balanced_accuracy"])
    assert list(table.loc["guessing"]) == ["0.333"] * 3


def test_the_figure_shows_what_the_data_has(found):
    scores, lost = shown(found)
    figure, data = scores.figure, scores.data
    for line in figure.data:
        own = data[data["name"] == line.legendgroup]
        assert (list(line.x), list(line.y)) == (
            list(own["protocol"]),
            pytest.approx(list(own["balanced_accuracy"])),
        )
        np.testing.assert_allclose(line.y + np.array(line.error_y.array), own["high"])
        np.testing.assert_allclose(line.y - np.array(line.error_y.arrayminus), own["low"])
    (level,) = figure.layout.shapes
    assert level.y0 == level.y1 == data.set_index("name").loc["guessing", "balanced_accuracy"]
    assert [note.text for note in figure.layout.annotations] == ["guessing 0.333"]  # no dataset
    np.testing.assert_allclose(lost.figure.data[0].x, 100 * lost.data["lost"])


def test_several_datasets_have_a_panel_and_a_line_of_guessing_each(found):
    figure = leakage_figure(found.runs)
    texts = [note.text for note in figure.layout.annotations]
    assert texts == ["Donate-a-Cry", "ESC-10", "guessing 0.333", "guessing 0.333"]
    assert {shape.xref for shape in figure.layout.shapes} == {"x domain", "x2 domain"}
    assert sum(line.showlegend for line in figure.data if line.legendgroup == FULL) == 1


def test_what_guessing_scores_is_that_of_the_constant_answer(found):
    run = found.runs[0]
    truth, _, _ = scored(run)
    constant = np.full(len(truth), np.bincount(truth).argmax())
    for metric, plain in (
        ("accuracy", accuracy_score(truth, constant)),
        ("balanced_accuracy", balanced_accuracy_score(truth, constant)),
        ("macro_f1", f1_score(truth, constant, average="macro")),
        ("macro_auc", 0.5),
    ):
        assert guess(run.evaluation, metric).value == pytest.approx(plain)
    assert guess(run.evaluation, "accuracy").who == "always answering “hungry”"


def sentence(found, lax, strict, lost=(0.1, 0.3), metric="balanced_accuracy"):
    """The finding for two intervals around their middles; guessing scores 1/3, "hungry" 0.5."""
    runs = []
    for protocol, (low, high) in (("clip", lax), ("baby", strict)):
        run = found.of("donateacry", protocol)[FULL]
        estimate = Estimate((low + high) / 2, low, high)
        metrics = {**run.evaluation.metrics, metric: estimate}
        evaluation = replace(run.evaluation, metrics=metrics, majority_accuracy=0.5)
        runs.append(replace(run, evaluation=evaluation))
    return finding(*runs, metric, Estimate(sum(lost) / 2, *lost))


def test_what_is_left_is_said_only_as_far_as_the_intervals_go(found):
    start = (
        "Of the Improved ECAPA-TDNN’s 27 points of balanced accuracy above guessing on pieces of "
        "known recordings, "
    )
    for strict, lost, end in (
        ((0.30, 0.37), (0.1, 0.3), "none can be shown for babies never heard before (0; 95 % "
         "interval −3 to 4)"),
        ((0.20, 0.30), (0.1, 0.3), "none are left for babies never heard before: there it scores "
         "below guessing (95 % interval −13 to −3)"),
        ((0.40, 0.50), (0.1, 0.3), "12 are left for babies never heard before (95 % interval 7 to "
         "17)"),
        ((0.50, 0.60), (-0.1, 0.2), "no loss can be shown for babies never heard before (22; 95 % "
         "interval 17 to 27)"),
    ):  # fmt: skip
        assert sentence(found, (0.5, 0.7), strict, lost) == start + end


def test_where_there_is_nothing_to_lose_that_is_said(found):
    below = sentence(found, (0.2, 0.4), (0.1, 0.3), metric="accuracy")
    assert below == (
        "Even on pieces of known recordings the Improved ECAPA-TDNN scores below always answering "
        "“hungry” (accuracy 0.300 against 0.500)"
    )
    alike = sentence(found, (0.3, 0.4), (0.3, 0.4))
    assert alike.startswith("Even on pieces of known recordings")
    assert alike.endswith("cannot be told from guessing")


def made(system, low, high, strict="baby"):
    lost = Estimate((low + high) / 2, low, high)
    return Leak(system, "clip", strict, lost, recordings=90, groups=30, seeds=(0,))


def test_losses_are_counted_where_the_interval_excludes_zero():
    fell, rose = made(FULL, 0.1, 0.3), made("ecapa-tdnn", -0.1, 0.1)
    also = made("resnet18", 0.2, 0.4)
    for leaks, said in (
        ([fell], "Between clip and baby the Improved ECAPA-TDNN loses 20 points of accuracy (95 % "
         "interval 10 to 30)"),
        ([rose], "Between clip and baby no loss of accuracy can be shown for the ECAPA-TDNN (0 "
         "points; 95 % interval −10 to 10)"),
        ([fell, rose], "Between clip and baby 1 of 2 systems loses accuracy, 20 points"),
        ([fell, also], "Between clip and baby both systems lose accuracy, 20 to 30 points"),
        ([fell, also, also], "Between clip and baby all 3 systems lose accuracy, 20 to 30 points"),
        ([rose, rose], "Between clip and baby no loss of accuracy can be shown for any of 2 "
         "systems"),
        ([fell, made("resnet18", 0.2, 0.4, "recording")], "Between the laxest and the strictest "
         "split both systems lose accuracy, 20 to 30 points"),
    ):  # fmt: skip
        assert loss_finding(leaks, "accuracy") == said


def test_a_dataset_under_one_split_is_left_out(found):
    assert LEAKAGE.cells(found) == (CellKey("donateacry", "clip"),)
    assert LEAKAGE.cells(NO_RUNS) == ()


def test_other_recordings_are_not_compared(tmp_path):
    write_run(tmp_path, FULL, protocol="clip")
    folder = write_run(tmp_path, FULL, protocol="baby")
    path = folder / "predictions.csv"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(line for line in lines if "r007#" not in line))
    record = json.loads((folder / "run.json").read_text())
    record["metrics"]["recording"]["recordings"] -= 1
    (folder / "run.json").write_text(json.dumps(record))
    with pytest.raises(ComparisonError, match="not tested on the same recordings"):
        shown(find_runs(tmp_path))
    path.write_text("nothing\n")
    with pytest.raises(ResultsError, match="has no column"):
        shown(find_runs(tmp_path))


def test_only_the_seeds_of_both_are_compared(tmp_path):
    write_run(tmp_path, FULL, 2.0, seeds=(0, 1), protocol="clip")
    write_run(tmp_path, FULL, 0.0, seeds=(1, 2), protocol="baby")
    pair = under_two_splits(find_runs(tmp_path).runs)[FULL]
    found = leak(*pair, "accuracy", draws=10)
    assert found.seeds == (1,)
    values = [
        np.mean(p.argmax(1)[90 * k : 90 * k + 90] == truth[90 * k : 90 * k + 90])
        for (truth, p, _), k in zip(map(scored, pair), (1, 0), strict=True)
    ]
    assert found.lost.value == pytest.approx(values[0] - values[1])


def test_yardsticks_stand_beside_the_systems(tmp_path):
    for protocol in ("clip", "recording"):
        folder = write_run(
            tmp_path, "feature-mlp", dataset="challenge6-features", protocol=protocol
        )
        record = json.loads((folder / "run.json").read_text())
        rate = {"balanced_accuracy": {"value": 0.4, "low": 0.3, "high": 0.5}, "other": 1}
        record["beside"] = {"sample_rate": rate}
        (folder / "run.json").write_text(json.dumps(record))
    found = find_runs(tmp_path)
    exhibit = shown(found, dataset="challenge6-features")[0]
    rows = exhibit.data[exhibit.data["name"] == "sample_rate"]
    assert list(rows["protocol"]) == ["clip", "recording"]
    assert list(rows["balanced_accuracy"]) == [0.4, 0.4]
    line = next(t for t in exhibit.figure.data if t.name == "the sample rate alone")
    assert list(line.y) == [0.4, 0.4]
    assert "goes with the label" in exhibit.note
    assert "halves of longer ones" in exhibit.note
    without = shown(found, "macro_auc", "challenge6-features")[0]
    assert "sample_rate" not in set(without.data["name"])
    record["beside"] = {"sample_rate": {"balanced_accuracy": 0.4}}
    (folder / "run.json").write_text(json.dumps(record))
    with pytest.raises(ResultsError, match=r"run\.json is not as train fit writes it"):
        yardsticks(found.of("challenge6-features", "recording")["feature-mlp"], "balanced_accuracy")


def test_splits_in_words():
    assert kept_apart("donateacry", "baby") == "babies"
    assert kept_apart("esc10", "recording") == "recordings"
    assert kept_apart("challenge6-features", "baby") == "groups of recordings"
    assert on_what("esc10", "baby") == "sources never heard before"


@pytest.mark.parametrize("metric", SCORES)
def test_the_committed_results_are_drawn(metric):
    found = find_runs(COMMITTED)
    for cell in LEAKAGE.cells(found):
        scores, lost = LEAKAGE.exhibits(found, cell, {"metric": metric})
        data = scores.data[scores.data["mark"] == "system"].set_index(["name", "protocol"])
        runs = {(r.system, r.protocol): r for r in found.runs if r.dataset == cell.dataset}
        for row in lost.data.itertuples():
            lax, strict = runs[row.system, row.lax], runs[row.system, row.strict]
            assert data.loc[(row.system, row.lax), metric] == pytest.approx(score(lax, metric))
            seeds = set(lax.seeds) & set(strict.seeds)
            expected = score(lax, metric, seeds) - score(strict, metric, seeds)
            assert row.lost == pytest.approx(expected)
            assert row.low < row.lost < row.high
