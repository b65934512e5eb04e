"""The Models panel against the files that it is drawn from."""

import json
from dataclasses import asdict, replace

import numpy as np
import pytest

from analysis.panels.base import CellKey
from analysis.panels.systems import systems
from analysis.stats.paper import FULL, NO_MCA
from analysis.stats.runs import METRIC_TITLES, FoundRuns, find_runs
from analysis.stats.side_results import BENCHMARK
from cry_model.checkpoint import PAPER_REFERENCE
from cry_model.networks.registry import MEBI
from tests.analysis.synthetic_runs import pruning_effect, write_run
from tests.plain import score

CELL = CellKey("donateacry", "baby")
STATED = json.loads(PAPER_REFERENCE.read_text(encoding="utf-8"))["systems"]
TIMES = json.loads(BENCHMARK.read_text(encoding="utf-8"))
SKILLS = {FULL: 3.0, NO_MCA: 1.5, "resnet18": 0.0}
PARAMETERS = {FULL: 1_500_000, NO_MCA: 900_000, "resnet18": 11_700_000}


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """ResNet18 is the dearest and the worst."""
    root = tmp_path_factory.mktemp("worse")
    for system, skill in SKILLS.items():
        write_run(root, system, skill, seeds=(0, 1))
    runs = find_runs(root).runs
    sized = (replace(r, parameters=PARAMETERS[r.system], multiply_adds=3 * 10**8) for r in runs)
    return FoundRuns(tuple(sized), ())


def row_of(exhibit, system):
    return exhibit.table.set_index("model").loc[system]


def ours(exhibit):
    return exhibit.data[exhibit.data["source"] == "measured"].set_index("system")


@pytest.mark.parametrize("metric", ["macro_auc", "expected_calibration_error"])
def test_scores_are_those_of_scikit_learn_and_the_line_names_the_best(found, metric):
    table, scatter = systems(found, CELL, metric, "parameters")
    for system, run in found.of(*CELL).items():
        row, interval = ours(table).loc[system], run.evaluation.metrics[metric]
        assert row["value"] == pytest.approx(score(run, metric))
        assert row["accuracy"] == pytest.approx(score(run, "accuracy"))
        assert (row["low"], row["high"]) == (interval.low, interval.high)
        point = next(t for t in scatter.figure.data if t.x[0] == PARAMETERS[system] / 1e6)
        assert point.y[0] == pytest.approx(100 * row["value"])
        assert point.y[0] + point.error_y.array[0] == pytest.approx(100 * interval.high)
    shown, value = row_of(table, "Improved ECAPA-TDNN")[METRIC_TITLES[metric]], ours(table)["value"]
    assert shown.startswith(f"{100 * value[FULL]:.1f} [")
    assert row_of(table, "ECAPA-TDNN")[METRIC_TITLES[metric]] == "not run"
    values = ours(table)["value"]
    best = values.min() if metric == "expected_calibration_error" else values.max()
    assert f"{100 * best:.1f}% [" in table.note.splitlines()[0]


def test_sizes_and_costs_are_those_of_the_files(found):
    row = row_of(systems(found, CELL, "accuracy", "parameters")[0], "ResNet18")
    assert row["Param (MB)"] == round(11_700_000 / MEBI, 2)
    assert row["multiply-adds (G)"] == 0.3
    (own,) = (c for c in TIMES["costs"] if c["system"] == "resnet18" and c["threads"] == 1)
    assert row["ms per clip"] == round(own["total"], 1)


def test_the_papers_numbers_stand_beside_ours(found):
    table, scatter = systems(found, CELL, "accuracy", "multiply_adds")
    assert list(table.table["model"]) == ["Improved ECAPA-TDNN", "ECAPA-TDNN", "ResNet18"]
    missing = row_of(table, "ECAPA-TDNN")  # in the paper's Table 2, and not run here
    assert missing["accuracy"] == "not run"
    assert missing["accuracy, paper"] > 0
    points = {trace.name: trace for trace in scatter.figure.data}
    for title, system in (("Improved ECAPA-TDNN", FULL), ("ResNet18", "resnet18")):
        row, stated = row_of(table, title), STATED[system]
        assert row["accuracy, paper"] == pytest.approx(100 * stated["accuracy"])
        assert row["Param (MB), paper"] == stated["parameters_mebi"]
        assert row["FLOPs (G), paper"] == stated["flops_giga"]
        point = points[f"{title} (paper)"]
        assert point.x[0] == pytest.approx(stated["flops_giga"])
        assert np.isnan(point.error_y.array[0])
        assert point.marker.symbol.endswith("-open")
        assert point.marker.color == points[title].marker.color
    assert scatter.figure.layout.xaxis.type == "log"
    assert points["ResNet18"].marker.color != points["without MCA"].marker.color
    for metric, cost in (("macro_f1", "parameters"), ("accuracy", "milliseconds")):
        _, scatter = systems(found, CELL, metric, cost)
        assert len(scatter.figure.data) == len(SKILLS)
        assert not any("paper" in trace.name for trace in scatter.figure.data)


@pytest.mark.parametrize("content", [None, json.dumps({**TIMES, "costs": [{"total": 3}]})])
def test_without_times_the_rest_is_shown(found, tmp_path, content):
    path = tmp_path / "benchmark.json"
    if content is not None:
        path.write_text(content)
    table, scatter = systems(found, CELL, "accuracy", "parameters", benchmark=path)
    assert not [name for name in table.table.columns if "ms" in name or "clips" in name]
    sentence = "There is no benchmark.json" if content is None else "benchmark.json is not as"
    assert f"No times: {sentence}" in table.note
    assert str(tmp_path) not in table.note
    assert scatter.figure.data
    assert len(systems(found, CELL, "accuracy", "milliseconds", benchmark=path)) == 1


def with_pruning(found, tmp_path, text):
    """The runs, that of the whole system in a folder of its own with a pruning.json."""
    (tmp_path / "pruning.json").write_text(text)
    runs = (replace(r, folder=tmp_path) if r.system == FULL else r for r in found.runs)
    return FoundRuns(tuple(runs), ())


@pytest.mark.parametrize("cost", ["multiply_adds", "parameters"])
def test_pruned_models_stand_beside_the_others_where_they_were_measured(found, tmp_path, cost):
    assert len(systems(found, CELL, "accuracy", cost)) == 2
    effect = pruning_effect()
    pruned = with_pruning(found, tmp_path, json.dumps(asdict(effect)))
    exhibit = systems(pruned, CELL, "accuracy", cost)[2]
    lines = {trace.name: trace for trace in exhibit.figure.data}
    unit = 1e6 if cost == "parameters" else 1e9
    for precision, moved in (("float32", 1), ("int8", 1.04)):
        own = [one for one in effect.variants if one.precision == precision]
        line = lines[f"Improved ECAPA-TDNN, {precision}"]
        assert line.x == pytest.approx([moved * getattr(one, cost) / unit for one in own])
        assert line.y == pytest.approx([100 * one.scores["accuracy"].value for one in own])
        assert line.error_y.array == pytest.approx([10] * 3)
    assert lines["ResNet18"].y == pytest.approx(
        [100 * score(found.of(*CELL)["resnet18"], "accuracy")]
    )
    first = exhibit.note.splitlines()[0]
    assert "by -1.0 points [-6.0, +4.0] in int8" in first
    assert "by -3.0 points [-8.0, +2.0] with 49% of the multiply-adds" in first
    rows = exhibit.table.set_index("model")
    assert rows.loc["Improved ECAPA-TDNN, 64 channels, int8", "difference"] == "-6.0 [-11.0, -1.0]"
    assert rows.loc["ResNet18", "difference"] == "–"


def test_pruning_is_shown_as_balanced_accuracy_where_a_score_was_not_measured_of_it(
    found, tmp_path
):
    pruned = with_pruning(found, tmp_path, json.dumps(asdict(pruning_effect())))
    exhibit = systems(pruned, CELL, "macro_auc", "milliseconds")[-1]
    assert set(exhibit.data["metric"]) == {"balanced_accuracy"}
