"""The Ablation panel against scikit-learn on the same files."""

import numpy as np
import pytest

from analysis.panels.ablation import ABLATION, ablation
from analysis.panels.base import CellKey
from analysis.stats.comparison import holm, pair
from analysis.stats.paper import FULL, MODULES, NO_MCA, NO_RSE
from analysis.stats.runs import chance_level, find_runs
from tests.analysis.synthetic_runs import write_run
from tests.plain import score

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


def marks(exhibit, mark):
    return exhibit.data[exhibit.data["mark"] == mark]


def measured(drops):
    return drops.data[drops.data["source"] == "measured"].set_index("without")


def trace(exhibit, begin):
    return next(t for t in exhibit.figure.data if t.name.startswith(begin))


@pytest.mark.parametrize("metric", ["accuracy", "expected_calibration_error"])
def test_scores_of_all_and_of_each_seed_are_those_of_scikit_learn(found, metric):
    levels, _ = ablation(found, CELL, metric)
    runs, own, seeds = found.of(*CELL), marks(levels, "measured"), marks(levels, "seed")
    for row in own.itertuples():
        e = runs[row.system].evaluation.metrics[metric]
        assert row.value == pytest.approx(score(runs[row.system], metric))
        assert (row.low, row.high) == (e.low, e.high)
    drawn = trace(levels, "all folds")
    np.testing.assert_allclose(drawn.x, 100 * own["value"])
    np.testing.assert_allclose(np.add(drawn.x, drawn.error_x.array), 100 * own["high"])
    np.testing.assert_allclose(np.subtract(drawn.x, drawn.error_x.arrayminus), 100 * own["low"])
    assert len(seeds) == len(SKILLS) * 2
    for row in seeds.itertuples():
        assert row.value == pytest.approx(score(runs[row.system], metric, [row.seed]))
    np.testing.assert_allclose(trace(levels, "one seed").x, 100 * seeds["value"])
    level = chance_level(runs[FULL].evaluation, metric)
    values = [] if level is None else [level.value]
    assert [line.x0 / 100 for line in levels.figure.layout.shapes] == pytest.approx(values)
    assert list(marks(levels, "chance")["value"]) == values


def test_the_papers_values_stand_beside_accuracy_alone(found):
    levels, drops = ablation(found, CELL, "accuracy")
    stated = marks(levels, "paper").set_index("system")["value"]
    assert stated.to_dict() == {FULL: 0.8220, NO_MCA: 0.7837, NO_RSE: 0.7854}
    assert trace(levels, "the paper").marker.symbol == "diamond-open"
    assert drops.data[drops.data["source"] == "paper"]["difference"].max() == pytest.approx(0.0383)
    levels, drops = ablation(found, CELL, "macro_auc")
    assert marks(levels, "paper").empty
    assert set(drops.data["source"]) == {"measured"}


@pytest.mark.parametrize("metric", ["accuracy", "expected_calibration_error"])
def test_what_is_lost_is_told_drawn_and_named(found, metric):
    """Improved minus ablation is below zero where the ablation has the greater error."""
    levels, drops = ablation(found, CELL, metric)
    runs, lower = found.of(*CELL), metric == "expected_calibration_error"
    others = {MODULES[name]: runs[name] for name in (NO_MCA, NO_RSE)}
    pairs = {module: pair(runs[FULL], run).compare(metric) for module, run in others.items()}
    data, shown = measured(drops), drops.table.set_index("model")
    lost = "difference (points)" if lower else "lost (points)"
    for module, one in pairs.items():
        row, d = data.loc[module], one.difference
        assert tuple(row[["difference", "low", "high"]]) == (d.value, d.low, d.high)
        assert (row["all_modules"], row["left_out"]) == (one.value_one, one.value_other)
        assert shown.loc[f"without {module}", lost] == round(100 * d.value, 1)
        bar = trace(drops, f"without {module}")
        assert bar.y[-1] == pytest.approx(100 * d.value)
        assert bar.y[-1] + bar.error_y.array[-1] == pytest.approx(100 * d.high)
        assert bar.y[-1] - bar.error_y.arrayminus[-1] == pytest.approx(100 * d.low)
    assert data["p_holm"].tolist() == holm([one.p_value for one in pairs.values()])
    places = [x.split("<br>")[0] for x in bar.x]
    assert places == ["the paper"] * (metric == "accuracy") + ["Donate-a-Cry"]
    module = data["difference"].agg("idxmin" if lower else "idxmax")
    largest = f"without {module}, {100 * data['difference'][module]:+.1f} points ["
    assert largest in drops.note.splitlines()[0]
    assert f"{100 * score(runs[FULL], metric):.1f}% [" in levels.note.splitlines()[0]


def test_only_cells_with_something_left_out_are_shown(tmp_path):
    found_of(tmp_path, {FULL: 1.0, "ecapa-tdnn": 1.0})
    write_run(tmp_path, NO_MCA, protocol="clip")
    assert ABLATION.cells(find_runs(tmp_path)) == ()
    write_run(tmp_path, NO_RSE, seeds=(0, 1))
    assert ABLATION.cells(find_runs(tmp_path)) == (CELL,)


def test_only_common_seeds_are_compared_and_the_rest_is_named(tmp_path):
    write_run(tmp_path, FULL, 2.0, seeds=(0, 1))
    write_run(tmp_path, NO_MCA, 1.0, seeds=(7,))
    assert len(ablation(find_runs(tmp_path), CELL, "accuracy")) == 1
    write_run(tmp_path, NO_RSE, 1.0, seeds=(1,))
    levels, drops = ablation(find_runs(tmp_path), CELL, "accuracy")
    assert "have no seed in common" in levels.note
    assert "seeds 0, 1 or 1 or 7" in levels.note
    assert list(measured(drops).index) == ["RSE"]
    assert list(measured(drops)["seeds"]) == ["1"]
    assert np.isnan(drops.table.set_index("model").loc["without MCA (1 seed)", "lost (points)"])
