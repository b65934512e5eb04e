"""The Systems panel against the files that it is drawn from, and its sentences both ways round."""

import json
import math
from dataclasses import replace

import pytest

from analysis.panels.base import CellKey
from analysis.panels.systems import SYSTEMS, systems
from analysis.panels.systems_rows import COST_AXES, system_rows
from analysis.panels.systems_scatter import HEIGHT, plotted
from analysis.stats.paper import FULL, NO_MCA, read_paper
from analysis.stats.runs import NO_RUNS, RESULTS, FoundRuns, find_runs
from analysis.stats.side_results import BENCHMARK
from cry_model.metrics import METRICS
from cry_model.records import Estimate
from cry_model.registry import MEBI, PAPER_REFERENCE
from tests.analysis.made_up_runs import LABELS, write_run
from tests.analysis.plain_metrics import score_of

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
    return exhibit.table.set_index("system").loc[system]


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
        point = next(t for t in scatter.figure.data if t.x == (size,))
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
    assert list(table.table["system"]) == [
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
        assert (point.x, point.marker.symbol) == ((stated["flops_giga"],), "diamond-open")
        assert point.error_y.visible is False
    assert "FLOPs for inputs that it does not state" in table.note
    assert math.isnan(row_of(table, "without MCA (paper)")["Param (MB)"])
    _, scatter = systems(found, CELL, "macro_f1", "parameters")
    assert {trace.marker.symbol for trace in scatter.figure.data} == {"circle"}
    _, scatter = systems(found, CELL, "accuracy", "milliseconds")
    assert {trace.marker.symbol for trace in scatter.figure.data} == {"circle"}


def test_another_metric_has_a_column_of_its_own(found):
    table, _ = systems(found, CELL, "macro_auc", "parameters")
    run = found.of(*CELL)[FULL]
    expected = round(100 * score_of(run.folder, LABELS, "macro_auc"), 1)
    assert row_of(table, "Improved ECAPA-TDNN")["macro AUC (%)"] == expected
    assert math.isnan(row_of(table, "ResNet18 (paper)")["macro AUC (%)"])
    numeric = table.table.drop(columns=["system", "95 % interval"]).dtypes
    assert all(kind.kind == "f" for kind in numeric)  # sorted as numbers


@pytest.mark.parametrize("name", ["worse", "better"])
def test_the_titles_say_what_was_found(found, reverse, name):
    runs = found if name == "worse" else reverse
    table, scatter = systems(runs, CELL, "accuracy", "parameters")
    folders = {system: run.folder for system, run in runs.of(*CELL).items()}
    scores = {s: 100 * score_of(folder, LABELS, "accuracy") for s, folder in folders.items()}
    gap = abs(scores["resnet18"] - scores[FULL])
    word = "lower" if name == "worse" else "higher"
    assert scatter.title.startswith(
        "ResNet18 costs 7.8 times the parameters of Improved ECAPA-TDNN; its accuracy is "
        f"{gap:.1f} points {word} (95 % interval "
    )
    low, high = map(float, scatter.title.split("interval ")[1].rstrip(")").split(" to "))
    assert low <= gap <= high
    best, title = (FULL, "Improved ECAPA-TDNN") if name == "worse" else ("resnet18", "ResNet18")
    assert table.title.startswith(f"{title}: {scores[best]:.1f} % accuracy, the highest of ")
    assert table.title.endswith("; the paper has Improved ECAPA-TDNN first, 82.2 %")
    assert "always answering hungry scores " in table.title


def test_the_dearer_one_is_named_first_and_close_costs_in_hundredths(found):
    cheap = [
        replace(run, parameters=1_450_000) if run.system == "resnet18" else run
        for run in found.runs
        if run.system != NO_MCA
    ]
    _, scatter = systems(FoundRuns(tuple(cheap), ()), CELL, "accuracy", "parameters")
    start = "Improved ECAPA-TDNN costs 1.03 times the parameters of ResNet18; its accuracy is "
    assert scatter.title.startswith(start)
    assert "points higher" in scatter.title


def test_the_lowest_calibration_error_is_the_best(found):
    table, _ = systems(found, CELL, "expected_calibration_error", "parameters")
    ours = table.data[table.data["source"] == "measured"]
    least = 100 * ours["value"].min()
    assert f"{least:.1f} % expected calibration error, the lowest of 3 systems" in table.title


def test_runs_on_other_folds_have_no_interval(tmp_path):
    write_run(tmp_path, FULL, 2.0)
    folder = write_run(tmp_path, "resnet18", 1.0)
    run = next(r for r in find_runs(tmp_path).runs if r.system == "resnet18")
    moved = run.predictions.assign(fold=(run.predictions["fold"] + 1) % 3)
    moved.to_csv(folder / "predictions.csv", index=False)
    _, scatter = systems(find_runs(tmp_path), CELL, "accuracy", "parameters")
    assert scatter.title.endswith("(not tested on the same folds)")


def test_a_single_system_is_called_that(tmp_path):
    write_run(tmp_path, "feature-mlp", 2.0)
    table, scatter = systems(find_runs(tmp_path), CELL, "macro_f1", "parameters")
    assert "macro F1, the only system run here" in table.title
    assert scatter.title.endswith("% macro F1 for 0.001 million parameters")
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
    assert scatter.title.startswith("Improved ECAPA-TDNN costs 1.4 times the time per clip of")


def test_points_lie_inside_the_figure_and_each_has_a_name(found):
    for cost in COST_AXES:
        _, scatter = systems(found, CELL, "accuracy", cost)
        layout = scatter.figure.layout
        assert len(layout.annotations) == len(scatter.figure.data)
        for trace, name in zip(scatter.figure.data, layout.annotations, strict=True):
            assert (math.log10(trace.x[0]), trace.y[0]) == pytest.approx((name.x, name.y))
            assert layout.xaxis.range[0] < name.x < layout.xaxis.range[1]
            assert layout.yaxis.range[0] < name.y < layout.yaxis.range[1]
            assert (name.ax, name.ay) != (0, 0)
        assert len(layout.xaxis.tickvals) >= 2
        assert layout.height == HEIGHT


def test_what_has_no_score_or_no_cost_is_not_plotted(found):
    rows = system_rows(found.of(*CELL), "accuracy", read_paper(), None)
    assert [row.stated for row in plotted(rows, COST_AXES["milliseconds"])] == []
    shown = plotted(rows, COST_AXES["parameters"])
    assert [row.title for row in shown if row.stated] == [
        "Improved ECAPA-TDNN (paper)",
        "ECAPA-TDNN (paper)",
        "ResNet18 (paper)",
    ]
    assert isinstance(shown[0].score, Estimate)


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
    table, _ = SYSTEMS.exhibits(found, CELL)
    assert "`donateacry-improved-ecapa-tdnn` is a file of " in table.note
