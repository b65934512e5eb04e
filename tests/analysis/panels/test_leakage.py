"""What a split lets through: the numbers a second way, the sentences in every direction."""

import json

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score

from analysis.panels.base import CellKey, system_title
from analysis.panels.leakage import BASELINE_CAPTIONS, CORPUS_CAPTION, LEAKAGE
from analysis.stats.comparison import leak, under_two_splits
from analysis.stats.paired import ComparisonError
from analysis.stats.paper import FULL, NO_MCA
from analysis.stats.recordings import SCORES, ResultsError, chance_level
from analysis.stats.runs import NO_RUNS, SPLITS, find_runs
from analysis.stats.side_results import baselines_of
from tests.analysis.plain_scores import difference_bounds, score, scored
from tests.analysis.synthetic_runs import write_run
from tests.conftest import ROOT

COMMITTED = ROOT / "assets" / "results"
NAMES = ["random segments", "by recording", "unseen babies"]
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
    assert list(table.columns) == NAMES
    assert list(table.loc["Improved ECAPA-TDNN without MCA"])[1:] == ["not run", "not run"]
    run = found.of("donateacry", "baby")["ecapa-tdnn"]
    assert table.loc["ECAPA-TDNN", "unseen babies"] == str(
        run.evaluation.metrics["balanced_accuracy"]
    )
    assert list(table.loc["chance"]) == ["0.333"] * 3


def test_the_figure_shows_what_the_data_has(found):
    scores, lost = shown(found)
    figure, data = scores.figure, scores.data
    for line in figure.data:
        own = data[data["name"].map(system_title) == line.name]
        assert (list(line.x), list(line.y)) == (
            list(own["protocol"].map(SPLITS)),
            pytest.approx(list(own["balanced_accuracy"])),
        )
        np.testing.assert_allclose(line.y + np.array(line.error_y.array), own["high"])
        np.testing.assert_allclose(line.y - np.array(line.error_y.arrayminus), own["low"])
    (level,) = figure.layout.shapes
    assert level.y0 == level.y1 == data.set_index("name").loc["chance", "balanced_accuracy"]
    assert [note.text for note in figure.layout.annotations] == ["chance 0.333"]  # no dataset
    np.testing.assert_allclose(lost.figure.data[0].x, 100 * lost.data["lost"])


def test_what_chance_scores_is_that_of_the_constant_answer(found):
    run = found.runs[0]
    truth, _, _ = scored(run)
    constant = np.full(len(truth), np.bincount(truth).argmax())
    for metric, plain in (
        ("accuracy", accuracy_score(truth, constant)),
        ("balanced_accuracy", balanced_accuracy_score(truth, constant)),
        ("macro_f1", f1_score(truth, constant, average="macro")),
        ("macro_auc", 0.5),
    ):
        assert chance_level(run.evaluation, metric).value == pytest.approx(plain)
    assert chance_level(run.evaluation, "accuracy").name == "always “hungry”"


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


def test_baselines_stand_beside_the_systems(tmp_path):
    for protocol in ("clip", "recording"):
        folder = write_run(
            tmp_path, "feature-mlp", dataset="challenge6-features", protocol=protocol
        )
        record = json.loads((folder / "run.json").read_text())
        rate = {"balanced_accuracy": {"value": 0.4, "low": 0.3, "high": 0.5}, "other": 1}
        record["baselines"] = {"sample_rate": rate}
        (folder / "run.json").write_text(json.dumps(record))
    found = find_runs(tmp_path)
    exhibit = shown(found, dataset="challenge6-features")[0]
    rows = exhibit.data[exhibit.data["name"] == "sample_rate"]
    assert list(rows["protocol"]) == ["clip", "recording"]
    assert list(rows["balanced_accuracy"]) == [0.4, 0.4]
    line = next(t for t in exhibit.figure.data if t.name == "the sample rate alone")
    assert list(line.y) == [0.4, 0.4]
    assert BASELINE_CAPTIONS["sample_rate"] in exhibit.note
    assert CORPUS_CAPTION in exhibit.note
    without = shown(found, "macro_auc", "challenge6-features")[0]
    assert "sample_rate" not in set(without.data["name"])
    record["baselines"] = {"sample_rate": {"balanced_accuracy": 0.4}}
    (folder / "run.json").write_text(json.dumps(record))
    with pytest.raises(ResultsError, match=r"run\.json is not as train fit writes it"):
        baselines_of(
            found.of("challenge6-features", "recording")["feature-mlp"], "balanced_accuracy"
        )


@pytest.mark.parametrize("metric", SCORES)
def test_the_committed_results_are_drawn(metric):
    found = find_runs(COMMITTED)
    for cell in LEAKAGE.cells(found):
        scores, lost = LEAKAGE.exhibits(found, cell, {"metric": metric})
        data = scores.data[scores.data["mark"] == "system"].set_index(["name", "protocol"])
        runs = {(r.system, r.protocol): r for r in found.runs if r.dataset == cell.dataset}
        for row in lost.data.itertuples():
            loose, strict = runs[row.system, row.loose], runs[row.system, row.strict]
            assert data.loc[(row.system, row.loose), metric] == pytest.approx(score(loose, metric))
            seeds = set(loose.seeds) & set(strict.seeds)
            expected = score(loose, metric, seeds) - score(strict, metric, seeds)
            assert row.lost == pytest.approx(expected)
            assert row.low < row.lost < row.high
