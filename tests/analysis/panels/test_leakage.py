"""Check the Leakage panel against scores recomputed from the prediction files."""

import numpy as np
import pytest

from analysis.panels.base import short_title
from analysis.panels.leakage import BASELINE_CAPTIONS, CORPUS_CAPTION, LEAKAGE
from analysis.stats.comparison import pair
from analysis.stats.paper import FULL
from analysis.stats.runs import SPLITS, chance_level, find_runs
from cry_model.metrics import SCORES
from tests.analysis.synthetic_runs import BABY, change_record, write_run
from tests.plain import difference_bounds, plain, rows_of, score


@pytest.mark.parametrize("metric", SCORES)
def test_scores_and_drops_match_the_prediction_files(found, metric):
    scores, lost = LEAKAGE.exhibits(found, BABY, {"metric": metric})
    data = scores.data[scores.data["mark"] == "system"].set_index(["name", "protocol"])
    runs = {(r.system, r.protocol): r for r in found.runs if r.dataset == "donateacry"}
    assert set(data.index) == set(runs)
    for key, run in runs.items():
        assert data.loc[key, metric] == pytest.approx(score(run, metric))
    for row in lost.data.itertuples():
        assert (row.loose, row.strict, row.recordings) == ("clip", "baby", 90)
        loose, strict = runs[row.system, row.loose], runs[row.system, row.strict]
        values = [score(run, metric, [0]) for run in (loose, strict)]  # the only common seed
        assert row.lost == pytest.approx(values[0] - values[1])
        assert row.low < row.lost < row.high
    both = pair(loose, strict, draws=20).difference(metric)
    assert (both.low, both.high) == pytest.approx(difference_bounds(loose, strict, metric, 20))


def test_figure_and_table_match_the_data(found):
    assert LEAKAGE.cells(found) == (BABY,)  # ESC-10 has one split
    scores, lost = LEAKAGE.exhibits(found, BABY)
    figure, data = scores.figure, scores.data
    lines = [trace for trace in figure.data if "lines" in trace.mode]
    for line in lines:
        own = data[data["name"].map(short_title) == line.name]
        assert np.round(line.x).tolist() == [list(SPLITS).index(p) for p in own["protocol"]]
        np.testing.assert_allclose(line.y, own["balanced_accuracy"])
        np.testing.assert_allclose(line.y + np.array(line.error_y.array), own["high"])
        np.testing.assert_allclose(line.y - np.array(line.error_y.arrayminus), own["low"])
    (chance,) = figure.layout.annotations
    assert chance.text == "chance 0.333"
    assert all(line.showlegend for line in lines)
    np.testing.assert_allclose(lost.figure.data[0].x, 100 * lost.data["lost"])
    table = scores.table.set_index("balanced accuracy")
    assert list(table.columns) == ["random segments", "new recordings", "unseen babies"]
    assert list(table.loc["without MCA"])[:2] == ["not run", "not run"]
    estimate = found.of(*BABY)["ecapa-tdnn"].evaluation.metrics["balanced_accuracy"]
    assert table.loc["ECAPA-TDNN", "unseen babies"] == str(estimate)
    assert list(table.loc["chance"]) == ["0.333"] * 3
    assert list(lost.data["system"]) == [FULL, "ecapa-tdnn"]


@pytest.mark.parametrize("metric", SCORES)
def test_chance_level_matches_a_constant_answer(found, metric):
    run = found.runs[0]
    _, truth, _ = rows_of(run)
    constant = np.eye(len(run.labels))[np.full(len(truth), np.bincount(truth).argmax())]
    value = chance_level(run.evaluation, metric).value
    assert value == pytest.approx(plain(metric, truth, constant))


def test_baselines_are_shown_beside_the_systems(tmp_path):
    """Damaged records are tested in tests/cry_model/test_results.py."""
    for protocol in ("clip", "recording"):
        dataset = "challenge6-features"
        folder = write_run(tmp_path, "feature-mlp", dataset=dataset, protocol=protocol)
        rate = {"balanced_accuracy": {"value": 0.4, "low": 0.3, "high": 0.5}, "other": 1}
        change_record(folder, baselines={"sample_rate": rate})
    found = find_runs(tmp_path)
    (cell,) = LEAKAGE.cells(found)
    exhibit = LEAKAGE.exhibits(found, cell)[0]
    rows = exhibit.data[exhibit.data["name"] == "sample_rate"]
    assert list(rows["protocol"]) == ["clip", "recording"]
    assert list(rows["balanced_accuracy"]) == [0.4, 0.4]
    line = next(t for t in exhibit.figure.data if t.name == "the sample rate alone")
    assert list(line.y) == [0.4, 0.4]
    assert BASELINE_CAPTIONS["sample_rate"] in exhibit.note
    assert CORPUS_CAPTION in exhibit.note
    other = LEAKAGE.exhibits(found, cell, {"metric": "macro_auc"})[0]
    assert "sample_rate" not in set(other.data["name"])
