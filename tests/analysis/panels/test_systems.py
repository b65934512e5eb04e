"""Check the Models panel against the files that it is drawn from."""

import json
from dataclasses import replace

import numpy as np
import pytest

from analysis.panels.base import CellKey
from analysis.panels.systems import systems
from analysis.stats.paper import FULL, NO_MCA
from analysis.stats.runs import METRIC_TITLES, RESULTS, FoundRuns, find_runs
from analysis.stats.side_results import BENCHMARK
from cry_model.checkpoint import PAPER_REFERENCE
from cry_model.networks.registry import MEBI
from tests.analysis.synthetic_runs import BABY
from tests.plain import score

STATED = json.loads(PAPER_REFERENCE.read_text(encoding="utf-8"))["systems"]
TIMES = json.loads(BENCHMARK.read_text(encoding="utf-8"))
PARAMETERS = {FULL: 1_500_000, NO_MCA: 900_000, "resnet18": 11_700_000}
PRUNED = CellKey("esc10", "recording")


@pytest.fixture(scope="module")
def three(found):
    """Return three runs, ResNet18 the largest; ECAPA-TDNN, in the paper's Table 2, is missing."""
    runs = [run for name, run in found.of(*BABY).items() if name in PARAMETERS]
    sized = (replace(r, parameters=PARAMETERS[r.system], multiply_adds=3 * 10**8) for r in runs)
    return FoundRuns(tuple(sized), ())


def row_of(exhibit, system):
    return exhibit.table.set_index("model").loc[system]


@pytest.mark.parametrize("metric", ["macro_auc", "expected_calibration_error"])
def test_scores_match_scikit_learn_and_note_names_the_best(three, metric):
    table, scatter = systems(three, BABY, metric, "parameters")
    ours = table.data[table.data["source"] == "measured"].set_index("system")
    assert len(scatter.figure.data) == len(PARAMETERS)  # the paper only has accuracies
    for system, run in three.of(*BABY).items():
        row, interval = ours.loc[system], run.evaluation.metrics[metric]
        assert row["value"] == pytest.approx(score(run, metric))
        assert row["accuracy"] == pytest.approx(score(run, "accuracy"))
        assert (row["low"], row["high"]) == (interval.low, interval.high)
        point = next(t for t in scatter.figure.data if t.x[0] == PARAMETERS[system] / 1e6)
        assert point.y[0] == pytest.approx(100 * row["value"])
        assert point.y[0] + point.error_y.array[0] == pytest.approx(100 * interval.high)
    shown, values = row_of(table, "Improved ECAPA-TDNN")[METRIC_TITLES[metric]], ours["value"]
    assert shown.startswith(f"{100 * values[FULL]:.1f} [")
    best = values.min() if metric == "expected_calibration_error" else values.max()
    assert f"{100 * best:.1f}% [" in table.note.splitlines()[0]


def test_papers_numbers_are_shown_beside_ours(three):
    table, scatter = systems(three, BABY, "accuracy", "multiply_adds")
    assert list(table.table["model"]) == ["Improved ECAPA-TDNN", "ECAPA-TDNN", "ResNet18"]
    missing, ours = row_of(table, "ECAPA-TDNN"), row_of(table, "ResNet18")
    assert missing["accuracy"] == "not run"
    assert missing["accuracy, paper"] > 0
    assert ours["Param (MB)"] == round(11_700_000 / MEBI, 2)
    assert ours["multiply-adds (G)"] == 0.3
    (cost,) = (c for c in TIMES["costs"] if c["system"] == "resnet18" and c["threads"] == 1)
    assert ours["ms per clip"] == round(cost["total"], 1)
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
    assert points["ResNet18"].marker.color != points["without MCA"].marker.color


@pytest.mark.parametrize("content", [None, json.dumps({**TIMES, "costs": [{"total": 3}]})])
def test_missing_times_are_reported_and_the_rest_is_shown(three, tmp_path, content):
    path = tmp_path / "benchmark.json"
    if content is not None:
        path.write_text(content)
    table, scatter = systems(three, BABY, "accuracy", "parameters", benchmark=path)
    assert not [name for name in table.table.columns if "ms" in name]
    sentence = "There is no benchmark.json" if content is None else "benchmark.json is not as"
    assert f"No times: {sentence}" in table.note
    assert str(tmp_path) not in table.note
    assert scatter.figure.data
    assert len(systems(three, BABY, "accuracy", "milliseconds", benchmark=path)) == 1


@pytest.mark.parametrize(
    ("metric", "cost", "unit"),
    [("accuracy", "multiply_adds", 1e9), ("balanced_accuracy", "parameters", 1e6)],
)
def test_pruned_models_match_their_measurements(metric, cost, unit):
    found = find_runs(RESULTS)
    runs = found.of(*PRUNED)
    variants = json.loads((runs[FULL].folder / "pruning.json").read_text())["variants"]
    exhibit = systems(found, PRUNED, metric, cost)[2]
    lines = {trace.name: trace for trace in exhibit.figure.data}
    for precision, moved in (("float32", 1), ("int8", 1.04)):
        own = [one for one in variants if one["precision"] == precision]
        scores = [one["scores"][metric] for one in own]
        line = lines[f"Improved ECAPA-TDNN, {precision}"]
        assert line.x == pytest.approx([moved * one[cost] / unit for one in own])
        assert line.y == pytest.approx([100 * s["value"] for s in scores])
        assert line.y + line.error_y.array == pytest.approx([100 * s["high"] for s in scores])
    assert lines["ResNet18"].y == pytest.approx([100 * score(runs["resnet18"], metric)])
    # The note names int8 and the first with at most half of the multiply-adds; the table has all.
    half = next(v for v in variants if 2 * v["multiply_adds"] <= variants[0]["multiply_adds"])
    share = f" with {half['multiply_adds'] / variants[0]['multiply_adds']:.0%} of the multiply-adds"
    for one, how in ((variants[1], " in int8"), (half, share)):
        value, low, high = (100 * one["difference"][metric][e] for e in ("value", "low", "high"))
        assert f"by {value:+.1f} points [{low:+.1f}, {high:+.1f}]{how}" in exhibit.note
        name = f"Improved ECAPA-TDNN, {one['channels']} channels, {one['precision']}"
        assert row_of(exhibit, name)["difference"] == f"{value:+.1f} [{low:+.1f}, {high:+.1f}]"
    other = systems(found, PRUNED, "macro_auc", cost)[-1]  # not measured for pruned models
    assert set(other.data["metric"]) == {"balanced_accuracy"}
