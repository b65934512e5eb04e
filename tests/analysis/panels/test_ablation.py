"""Check the Ablation panel against scikit-learn on the same prediction files."""

import numpy as np
import pytest

from analysis.panels.ablation import ABLATION, ablation
from analysis.stats.comparison import holm, pair
from analysis.stats.paper import FULL, MODULES, NO_MCA, NO_RSE
from analysis.stats.runs import chance_level, find_runs
from tests.analysis.synthetic_runs import BABY, write_run
from tests.plain import score


def marks(exhibit, mark):
    return exhibit.data[exhibit.data["mark"] == mark]


def measured(drops):
    return drops.data[drops.data["source"] == "measured"].set_index("without")


def trace(exhibit, begin):
    return next(t for t in exhibit.figure.data if t.name.startswith(begin))


@pytest.mark.parametrize("metric", ["accuracy", "expected_calibration_error"])
def test_pooled_and_per_seed_scores_match_scikit_learn(found, metric):
    levels, _ = ablation(found, BABY, metric)
    runs, own, seeds = found.of(*BABY), marks(levels, "measured"), marks(levels, "seed")
    for row in own.itertuples():
        e = runs[row.system].evaluation.metrics[metric]
        assert row.value == pytest.approx(score(runs[row.system], metric))
        assert (row.low, row.high) == (e.low, e.high)
    drawn = trace(levels, "all folds")
    np.testing.assert_allclose(drawn.x, 100 * own["value"])
    np.testing.assert_allclose(np.add(drawn.x, drawn.error_x.array), 100 * own["high"])
    np.testing.assert_allclose(np.subtract(drawn.x, drawn.error_x.arrayminus), 100 * own["low"])
    assert len(seeds) == 2 * len(own) == 2 * 3
    for row in seeds.itertuples():
        assert row.value == pytest.approx(score(runs[row.system], metric, [row.seed]))
    np.testing.assert_allclose(trace(levels, "one seed").x, 100 * seeds["value"])
    level = chance_level(runs[FULL].evaluation, metric)
    values = [] if level is None else [level.value]
    assert [line.x0 / 100 for line in levels.figure.layout.shapes] == pytest.approx(values)
    assert f"{100 * score(runs[FULL], metric):.1f}% [" in levels.note.splitlines()[0]


def test_papers_values_are_shown_for_accuracy_only(found):
    levels, drops = ablation(found, BABY, "accuracy")
    stated = marks(levels, "paper").set_index("system")["value"]
    assert stated.to_dict() == {FULL: 0.8220, NO_MCA: 0.7837, NO_RSE: 0.7854}
    assert drops.data[drops.data["source"] == "paper"]["difference"].max() == pytest.approx(0.0383)
    levels, drops = ablation(found, BABY, "macro_auc")
    assert marks(levels, "paper").empty
    assert set(drops.data["source"]) == {"measured"}


@pytest.mark.parametrize("metric", ["accuracy", "expected_calibration_error"])
def test_drops_match_paired_comparisons_in_text_table_and_figure(found, metric):
    """Expect improved minus ablation, so below zero if the ablation has the greater error."""
    drops = ablation(found, BABY, metric)[1]
    runs, lower = found.of(*BABY), metric == "expected_calibration_error"
    data, shown = measured(drops), drops.table.set_index("model")
    pairs = {name: pair(runs[FULL], runs[name]).compare(metric) for name in (NO_MCA, NO_RSE)}
    for name, one in pairs.items():
        row, d, title = data.loc[MODULES[name]], one.difference, f"without {MODULES[name]}"
        assert tuple(row[["difference", "low", "high"]]) == (d.value, d.low, d.high)
        assert (row["all_modules"], row["left_out"]) == (one.value_one, one.value_other)
        column = "difference (points)" if lower else "lost (points)"
        assert shown.loc[title, column] == round(100 * d.value, 1)
        bar = trace(drops, title)
        assert bar.y[-1] == pytest.approx(100 * d.value)
        assert bar.y[-1] + bar.error_y.array[-1] == pytest.approx(100 * d.high)
        assert bar.y[-1] - bar.error_y.arrayminus[-1] == pytest.approx(100 * d.low)
        places = [x.split("<br>")[0] for x in bar.x]
        assert places == ["the paper"] * (metric == "accuracy") + ["Donate-a-Cry"]
    assert data["p_holm"].tolist() == holm([one.p_value for one in pairs.values()])
    module = data["difference"].agg("idxmin" if lower else "idxmax")
    largest = f"without {module}, {100 * data['difference'][module]:+.1f} points ["
    assert largest in drops.note.splitlines()[0]


def test_only_common_seeds_are_compared_and_others_are_reported(tmp_path):
    write_run(tmp_path, FULL, 2.0, seeds=(0, 1))
    assert ABLATION.cells(find_runs(tmp_path)) == ()  # no ablation was run
    write_run(tmp_path, NO_MCA, 1.0, seeds=(7,))
    assert ABLATION.cells(find_runs(tmp_path)) == (BABY,)
    assert len(ablation(find_runs(tmp_path), BABY, "accuracy")) == 1
    write_run(tmp_path, NO_RSE, 1.0, seeds=(1,))
    levels, drops = ablation(find_runs(tmp_path), BABY, "accuracy")
    assert "have no seed in common" in levels.note
    assert list(measured(drops).index) == ["RSE"]
    assert list(measured(drops)["seeds"]) == ["1"]
    assert np.isnan(drops.table.set_index("model").loc["without MCA (1 seed)", "lost (points)"])
