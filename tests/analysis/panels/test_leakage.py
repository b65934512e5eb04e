"""The Leakage panel: what a split lets through, the numbers a second way."""

import numpy as np
import pytest

from analysis.figures.splits import APART
from analysis.panels.base import CellKey, short_title
from analysis.panels.leakage import BASELINE_CAPTIONS, CORPUS_CAPTION, LEAKAGE
from analysis.stats.comparison import pair
from analysis.stats.paper import FULL, NO_MCA
from analysis.stats.runs import SPLITS, ResultsError, chance_level, find_runs
from analysis.stats.side_results import baselines_of
from cry_model.metrics import SCORES
from tests.analysis.synthetic_runs import change_record, write_run
from tests.plain import difference_bounds, plain, rows_of, score

SKILLS = {"clip": 2.5, "recording": 1.0, "baby": 0.0}


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    root = tmp_path_factory.mktemp("results")
    for number, (protocol, skill) in enumerate(SKILLS.items()):
        write_run(root, FULL, skill, seeds=(0, 1), protocol=protocol, noise=number)
        if protocol != "recording":
            write_run(root, "ecapa-tdnn", skill, protocol=protocol, noise=10 + number)
    write_run(root, NO_MCA, 2.0, protocol="clip")
    write_run(root, FULL, 2.0, dataset="esc10", protocol="recording")
    return find_runs(root)


def shown(found, metric="balanced_accuracy", dataset="donateacry"):
    cell = next(cell for cell in LEAKAGE.cells(found) if cell.dataset == dataset)
    return LEAKAGE.exhibits(found, cell, {"metric": metric})


@pytest.mark.parametrize("metric", SCORES)
def test_scores_and_losses_are_those_of_the_files(found, metric):
    scores, lost = shown(found, metric)
    data = scores.data[scores.data["mark"] == "system"].set_index(["name", "protocol"])
    runs = {(r.system, r.protocol): r for r in found.runs if r.dataset == "donateacry"}
    assert set(data.index) == set(runs)
    for key, run in runs.items():
        assert data.loc[key, metric] == pytest.approx(score(run, metric))
    for row in lost.data.itertuples():
        assert (row.loose, row.strict, row.recordings) == ("clip", "baby", 90)
        loose, strict = runs[row.system, row.loose], runs[row.system, row.strict]
        assert row.lost == pytest.approx(score(loose, metric) - score(strict, metric))
        assert row.low < row.lost < row.high
    both = pair(loose, strict, draws=20).difference(metric)
    assert (both.low, both.high) == pytest.approx(difference_bounds(loose, strict, metric, 20))


def test_the_figure_and_the_table_show_what_the_data_has(found):
    scores, lost = shown(found)
    figure, data = scores.figure, scores.data
    lines = [trace for trace in figure.data if "lines" in trace.mode]
    for line in lines:
        own = data[data["name"].map(short_title) == line.name]
        assert np.round(line.x).tolist() == [list(SPLITS).index(p) for p in own["protocol"]]
        np.testing.assert_allclose(line.y, own["balanced_accuracy"])
        np.testing.assert_allclose(line.y + np.array(line.error_y.array), own["high"])
        np.testing.assert_allclose(line.y - np.array(line.error_y.arrayminus), own["low"])
    (level,) = figure.layout.shapes
    assert level.y0 == level.y1 == data.set_index("name").loc["chance", "balanced_accuracy"]
    level, *labels = figure.layout.annotations
    assert level.text == "chance 0.333"
    assert {label.text.replace("<br>", " ") for label in labels} == {line.name for line in lines}
    heights = sorted(label.y for label in labels)
    assert min(np.diff(heights)) >= APART * figure.layout.yaxis.range[1] - 1e-9
    np.testing.assert_allclose(lost.figure.data[0].x, 100 * lost.data["lost"])
    table = scores.table.set_index("balanced accuracy")
    assert list(table.columns) == ["random segments", "new recordings", "unseen babies"]
    assert list(table.loc["without MCA"])[1:] == ["not run", "not run"]
    estimate = found.of("donateacry", "baby")["ecapa-tdnn"].evaluation.metrics["balanced_accuracy"]
    assert table.loc["ECAPA-TDNN", "unseen babies"] == str(estimate)
    assert list(table.loc["chance"]) == ["0.333"] * 3
    assert list(lost.data["system"]) == [FULL, "ecapa-tdnn"]
    assert LEAKAGE.cells(found) == (CellKey("donateacry", "clip"),)  # ESC-10 has one split


def test_what_chance_scores_is_that_of_the_constant_answer(found):
    run = found.runs[0]
    _, truth, _ = rows_of(run)
    constant = np.eye(len(run.labels))[np.full(len(truth), np.bincount(truth).argmax())]
    for metric in SCORES:
        value = chance_level(run.evaluation, metric).value
        assert value == pytest.approx(plain(metric, truth, constant))
    assert chance_level(run.evaluation, "accuracy").name == "always “hungry”"


def test_baselines_stand_beside_the_systems(tmp_path):
    dataset = "challenge6-features"
    for protocol in ("clip", "recording"):
        folder = write_run(tmp_path, "feature-mlp", dataset=dataset, protocol=protocol)
        rate = {"balanced_accuracy": {"value": 0.4, "low": 0.3, "high": 0.5}, "other": 1}
        change_record(folder, baselines={"sample_rate": rate})
    found = find_runs(tmp_path)
    exhibit = shown(found, dataset=dataset)[0]
    rows = exhibit.data[exhibit.data["name"] == "sample_rate"]
    assert list(rows["protocol"]) == ["clip", "recording"]
    assert list(rows["balanced_accuracy"]) == [0.4, 0.4]
    line = next(t for t in exhibit.figure.data if t.name == "the sample rate alone")
    assert list(line.y) == [0.4, 0.4]
    assert BASELINE_CAPTIONS["sample_rate"] in exhibit.note
    assert CORPUS_CAPTION in exhibit.note
    assert "sample_rate" not in set(shown(found, "macro_auc", dataset)[0].data["name"])
    change_record(folder, baselines={"sample_rate": {"balanced_accuracy": 0.4}})
    with pytest.raises(ResultsError, match=r"run\.json is not as train fit writes it"):
        baselines_of(found.of(dataset, "recording")["feature-mlp"], "balanced_accuracy")
