"""The Models panel against the files that it is drawn from."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from analysis.panels.base import CellKey
from analysis.panels.systems import SYSTEMS, systems
from analysis.stats.paper import FULL, NO_MCA
from analysis.stats.runs import NO_RUNS, RESULTS, FoundRuns, find_runs
from analysis.stats.side_results import BENCHMARK
from cry_model.metrics import METRICS
from cry_model.registry import MEBI, PAPER_REFERENCE
from tests.analysis.plain_metrics import score_of
from tests.analysis.synthetic_runs import LABELS, write_run

CELL = CellKey("donateacry", "baby")
STATED = json.loads(PAPER_REFERENCE.read_text(encoding="utf-8"))["systems"]
TIMES = json.loads(BENCHMARK.read_text(encoding="utf-8"))["costs"]
PARAMETERS = {FULL: 1_500_000, NO_MCA: 900_000, "resnet18": 11_700_000}


def found_of(root, skills):
    for system, skill in skills.items():
        write_run(root, system, skill, seeds=(0, 1))
    runs = find_runs(root).runs
    sized = (replace(r, parameters=PARAMETERS[r.system], multiply_adds=3 * 10**8) for r in runs)
    return FoundRuns(tuple(sized), ())


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """ResNet18 is the dearest and the worst."""
    root = tmp_path_factory.mktemp("worse")
    return found_of(root, {FULL: 3.0, NO_MCA: 1.5, "resnet18": 0.0})


@pytest.fixture(scope="module")
def reverse(tmp_path_factory):
    """And the best."""
    return found_of(tmp_path_factory.mktemp("better"), {FULL: 0.5, "resnet18": 3.0})


def row_of(exhibit, system):
    return exhibit.table.set_index("model").loc[system]


@pytest.mark.parametrize("metric", METRICS)
def test_scores_are_those_of_scikit_learn(found, metric):
    table, scatter = systems(found, CELL, metric, "parameters")
    for system, run in found.of(*CELL).items():
        own = table.data[(table.data["system"] == system) & (table.data["source"] == "measured")]
        assert own["value"].item() == pytest.approx(score_of(run.folder, LABELS, metric))
        assert own["accuracy"].item() == pytest.approx(score_of(run.folder, LABELS, "accuracy"))
        record = json.loads((run.folder / "run.json").read_text())["metrics"]["recording"]
        interval = record["metrics"][metric]
        assert (own["low"].item(), own["high"].item()) == (interval["low"], interval["high"])
        size = PARAMETERS[system] / 1e6
        point = next(t for t in scatter.figure.data if t.x[0] == size)
        assert point.y[0] == pytest.approx(100 * own["value"].item())
        assert point.y[0] + point.error_y.array[0] == pytest.approx(100 * interval["high"])


def test_sizes_and_costs_are_those_of_the_files(found):
    table, _ = systems(found, CELL, "accuracy", "parameters")
    row = row_of(table, "ResNet18")
    assert row["parameters (M)"] == 11.7
    assert row["Param (MB)"] == round(11_700_000 / MEBI, 2)
    assert row["on disk (MiB)"] == round(4 * 11_700_000 / 2**20, 2)
    assert row["multiply-adds (G)"] == 0.3
    for cost in TIMES:
        if cost["system"] == "resnet18":
            which = f"{cost['threads']} thread{'s' * (cost['threads'] > 1)}"
            assert row[f"ms per clip, {which}"] == round(cost["total"], 1)
            assert row[f"clips/s, {which}"] == round(1000 / cost["total"], 1)


def test_the_papers_rows_stand_below_ours_with_its_numbers(found):
    table, scatter = systems(found, CELL, "accuracy", "multiply_adds")
    assert list(table.table["model"]) == [
        "Improved ECAPA-TDNN",
        "Improved ECAPA-TDNN (paper)",
        "without MCA",
        "without MCA (paper)",
        "ECAPA-TDNN (paper)",  # in its Table 2, and not run here
        "ResNet18",
        "ResNet18 (paper)",
    ]
    for title, system in (("Improved ECAPA-TDNN", FULL), ("ResNet18", "resnet18")):
        row, stated = row_of(table, f"{title} (paper)"), STATED[system]
        assert row["accuracy (%)"] == pytest.approx(100 * stated["accuracy"])
        assert row["Param (MB)"] == stated["parameters_mebi"]
        assert row["parameters (M)"] == round(stated["parameters_mebi"] * MEBI / 1e6, 2)
        assert row["multiply-adds (G)"] == stated["flops_giga"]
        assert math.isnan(row["on disk (MiB)"])
        point = next(t for t in scatter.figure.data if t.name == f"{title} (paper)")
        assert point.x[0] == pytest.approx(stated["flops_giga"])
        assert np.isnan(point.error_y.array[0])
        assert point.marker.symbol.endswith("-open")
    assert math.isnan(row_of(table, "without MCA (paper)")["Param (MB)"])
    _, scatter = systems(found, CELL, "macro_f1", "parameters")
    assert not any("paper" in trace.name for trace in scatter.figure.data)
    _, scatter = systems(found, CELL, "accuracy", "milliseconds")
    assert not any("paper" in trace.name for trace in scatter.figure.data)


def test_another_metric_has_a_column_of_its_own(found):
    table, _ = systems(found, CELL, "macro_auc", "parameters")
    run = found.of(*CELL)[FULL]
    expected = round(100 * score_of(run.folder, LABELS, "macro_auc"), 1)
    assert row_of(table, "Improved ECAPA-TDNN")["macro AUC (%)"] == expected
    assert math.isnan(row_of(table, "ResNet18 (paper)")["macro AUC (%)"])
    numeric = table.table.drop(columns=["model", "95% interval"]).dtypes
    assert all(kind.kind == "f" for kind in numeric)  # sorted as numbers


@pytest.mark.parametrize("metric", METRICS)
def test_the_line_names_the_best(found, reverse, metric):
    for runs in (found, reverse):
        table, _ = systems(runs, CELL, metric, "parameters")
        ours = table.data[table.data["source"] == "measured"]["value"]
        best = ours.min() if metric == "expected_calibration_error" else ours.max()
        assert f"{100 * best:.1f}% [" in table.note.splitlines()[0]


def test_a_single_model_is_drawn(tmp_path):
    write_run(tmp_path, "feature-mlp", 2.0)
    _, scatter = systems(find_runs(tmp_path), CELL, "macro_f1", "parameters")
    assert len(scatter.figure.data) == 1


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "There is no benchmark.json"),
        ("{", "is not as"),
        ("[]", "is not as"),
        ('{"costs": []}', "is not as"),
        (json.dumps({"clip": "", "machine": "", "torch": "", "costs": [{"total": 3}]}), "is not"),
        (json.dumps({"clip": "", "machine": "", "torch": "", "costs": [{**TIMES[0], "total": 0}]}),
         "is not as"),
    ],
)  # fmt: skip
def test_without_times_the_rest_is_shown(found, tmp_path, content, sentence):
    path = tmp_path / "benchmark.json"
    if content is not None:
        path.write_text(content)
    table, scatter = systems(found, CELL, "accuracy", "parameters", benchmark=path)
    assert not [name for name in table.table.columns if "ms" in name or "clips" in name]
    assert f"No times: {'' if content is None else 'benchmark.json '}{sentence}" in table.note
    assert str(tmp_path) not in table.note
    assert scatter.figure.data
    assert len(systems(found, CELL, "accuracy", "milliseconds", benchmark=path)) == 1


def test_a_system_without_times_has_gaps(found, tmp_path):
    path = tmp_path / "benchmark.json"
    record = json.loads(BENCHMARK.read_text(encoding="utf-8"))
    record["costs"] = [cost for cost in record["costs"] if cost["system"] != "resnet18"]
    path.write_text(json.dumps(record))
    table, scatter = systems(found, CELL, "accuracy", "milliseconds", benchmark=path)
    assert math.isnan(row_of(table, "ResNet18")["ms per clip, 1 thread"])
    assert row_of(table, "Improved ECAPA-TDNN")["ms per clip, 1 thread"] > 0
    assert len(scatter.figure.data) == 2


def test_each_point_has_its_name_and_a_model_its_colour(found):
    _, scatter = systems(found, CELL, "accuracy", "parameters")
    assert scatter.figure.layout.xaxis.type == "log"
    assert [trace.name for trace in scatter.figure.data] == [
        "Improved ECAPA-TDNN",
        "Improved ECAPA-TDNN (paper)",
        "without MCA",  # the paper gives no size of it
        "ECAPA-TDNN (paper)",
        "ResNet18",
        "ResNet18 (paper)",
    ]
    colours = {trace.name: trace.marker.color for trace in scatter.figure.data}
    assert colours["ResNet18"] == colours["ResNet18 (paper)"] != colours["without MCA"]


def test_every_committed_cell_is_drawn_with_each_cost():
    found = find_runs(RESULTS)
    assert SYSTEMS.cells(NO_RUNS) == ()
    assert len(SYSTEMS.cells(found)) == len(found.cells)
    for cell in SYSTEMS.cells(found):
        table, scatter = SYSTEMS.exhibits(found, cell, {"cost": "milliseconds"})
        ours = table.data[table.data["source"] == "measured"]
        for row in ours.itertuples():
            run = found.of(*cell)[row.system]
            record = json.loads((run.folder / "run.json").read_text())
            assert (row.parameters, row.multiply_adds_5s) == (
                record["parameters"],
                record["multiply_adds_5s"],
            )
            expected = score_of(run.folder, list(run.labels), "accuracy")
            assert row.value == pytest.approx(expected)
        assert len(ours) == len(scatter.figure.data)
