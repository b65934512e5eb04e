"""What a fold costs is written beside its results; nothing that was not measured is."""

import csv
import json
import math
import sys
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
import torch

from tests.conftest import ROOT
from train.__main__ import main
from train.energy import Counter, Energy, counters_of, gpu_counters, package_counters

SYSTEM = "improved-ecapa-tdnn-no-mca"
BATCH, EPOCHS = 8, 2


def fit(root, out, *more):
    words = ["fit", "--system", SYSTEM, "--dataset", "donateacry", "--data-root", str(root)]
    words += ["--cache", str(root / "cache"), "--out", str(out), "--folds", "2", "--epochs"]
    small = [str(EPOCHS), "--device", "cpu", "--no-checkpoint"]
    return main([*words, *small, "--set", "channels=8", "stages=1", f"batch={BATCH}", *more])


def folder(out):
    return out / "results" / "donateacry" / "baby" / SYSTEM


def record(out):
    return json.loads((folder(out) / "run.json").read_text())


@pytest.fixture(scope="module")
def fitted(made_up_root, tmp_path_factory):
    """A run on a machine without energy counters."""
    out = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("train.energy.POWERCAP", out / "none")
        assert fit(made_up_root, out) == 0
    return out


def test_a_fold_has_its_seconds_and_its_pieces(fitted):
    costs, wall = record(fitted)["cost"], record(fitted)["wall_seconds"]
    table = pd.read_csv(folder(fitted) / "predictions.csv")
    assert list(costs) == list(wall) == ["seed 0, fold 0", "seed 0, fold 1"]
    for fold, (name, cost) in enumerate(costs.items()):
        learnt = 30 - table[table["fold"] == fold]["recording"].nunique()
        pieces = EPOCHS * round(learnt / BATCH) * BATCH
        assert cost["pieces_per_second"] * cost["fit_seconds"] == pytest.approx(pieces, rel=0.01)
        assert cost["test_seconds"] > 0
        assert cost["fit_seconds"] + cost["test_seconds"] <= wall[name] + 0.1
        assert (cost["resumed"], cost["jobs"]) == (False, 1)
        assert cost["peak_gpu_bytes"] is None
        assert cost["fit_joules"] is None


def test_a_fit_that_was_cut_off_says_so_and_has_no_throughput(made_up_root, tmp_path, monkeypatch):
    def stop(epoch):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("train.fitting.curves", stop)  # after the first epoch is kept
        assert fit(made_up_root, tmp_path) == 130
    assert fit(made_up_root, tmp_path) == 0
    first, second = record(tmp_path)["cost"].values()
    assert (first["resumed"], first["pieces_per_second"]) == (True, None)
    assert second["resumed"] is False
    assert second["pieces_per_second"] > 0
    assert main(["costs", str(tmp_path)]) == 0


def test_a_run_from_before_costs_were_written_goes_on(fitted, made_up_root, tmp_path):
    old = record(fitted)
    old.pop("cost")
    folder(tmp_path).mkdir(parents=True)
    (folder(tmp_path) / "run.json").write_text(json.dumps(old))
    table = pd.read_csv(folder(fitted) / "predictions.csv")
    table[table["fold"] == 0].to_csv(folder(tmp_path) / "predictions.csv", index=False)
    assert fit(made_up_root, tmp_path) == 0
    assert list(record(tmp_path)["cost"]) == ["seed 0, fold 1"]
    assert len(record(tmp_path)["wall_seconds"]) == 2


def zone(root, number, name, energy, span=262_143_328_850):
    folder = root / f"intel-rapl:{number}"
    folder.mkdir(exist_ok=True)
    (folder / "name").write_text(f"{name}\n")
    (folder / "energy_uj").write_text(f"{energy}\n")
    (folder / "max_energy_range_uj").write_text(f"{span}\n")


def test_packages_are_added_up_and_may_begin_anew(tmp_path):
    zone(tmp_path, "0", "package-0", 5_000_000)
    zone(tmp_path, "0:0", "core", 1_000_000)  # a part of the package
    zone(tmp_path, "1", "package-1", 90_000_000, span=100_000_000)
    zone(tmp_path, "2", "psys", 7_000_000)  # all of the machine
    energy = Energy(package_counters(tmp_path))
    assert energy.look() == 0
    zone(tmp_path, "0", "package-0", 8_500_000)
    zone(tmp_path, "0:0", "core", 3_000_000)
    zone(tmp_path, "1", "package-1", 30_000_000, span=100_000_000)
    assert energy.look() == pytest.approx(3.5 + 40)
    zone(tmp_path, "1", "package-1", 20_000_000, span=100_000_000)
    assert energy.look() == pytest.approx(3.5 + 40 + 90)


def test_what_may_not_be_read_is_none(tmp_path, monkeypatch):
    assert package_counters(tmp_path) == ()
    assert Energy(()).look() is None
    zone(tmp_path, "0", "package-0", 5_000_000)
    energy = Energy(package_counters(tmp_path))
    read = Path.read_text

    def refuse(path, *rest):
        if path.name == "energy_uj":
            raise PermissionError(13, "Permission denied")
        return read(path, *rest)

    monkeypatch.setattr(Path, "read_text", refuse)
    assert Energy(package_counters(tmp_path)).look() is None
    assert energy.look() is None
    monkeypatch.undo()
    assert energy.look() is None  # a part of it is missing


def test_a_counter_of_this_machine_only_rises():
    energy = Energy(counters_of(torch.device("cpu")))
    if (before := energy.look()) is None:
        pytest.skip("there is no counter here that may be read")
    assert energy.look() >= before >= 0


class NVMLError(Exception):
    """As the package has it."""


def nvml(monkeypatch, millijoules):
    """A stand-in for the package and for one GPU."""

    def energy(handle):
        assert handle == "handle of GPU-abc"
        value = next(millijoules)
        if value is None:
            raise NVMLError("Not Supported")
        return value

    module = SimpleNamespace(
        NVMLError=NVMLError,
        nvmlInit=lambda: None,
        nvmlDeviceGetHandleByUUID=lambda name: f"handle of {name}",
        nvmlDeviceGetTotalEnergyConsumption=energy,
    )
    monkeypatch.setitem(sys.modules, "pynvml", module)
    properties = SimpleNamespace(uuid="abc")
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: properties)


def test_a_gpu_is_asked_by_its_own_name(monkeypatch):
    nvml(monkeypatch, iter([1_000, 3_500, None]))
    energy = Energy(gpu_counters(torch.device("cuda")))
    assert energy.look() == 2.5
    assert energy.look() is None


def test_a_gpu_without_a_counter_or_the_package_has_none(monkeypatch):
    nvml(monkeypatch, iter([None]))
    assert Energy(gpu_counters(torch.device("cuda"))).look() is None
    monkeypatch.setitem(sys.modules, "pynvml", None)  # import raises
    assert gpu_counters(torch.device("cuda")) == ()


def test_a_counter_without_a_span_never_begins_anew():
    values = iter([10.0, 12.0])
    assert Energy((Counter(lambda: next(values)),)).look() == 2.0


def cost(seconds, joules, **changes):
    return {
        "fit_seconds": seconds,
        "test_seconds": 0.5,
        "resumed": False,
        "pieces_per_second": 1000 / seconds,
        "peak_gpu_bytes": 10**9,
        "fit_joules": joules,
        "jobs": 2,
        **changes,
    }


def write(out, system, costs, wall, draws=0, **changes):
    place = out / "results" / "esc10" / "baby" / system
    place.mkdir(parents=True)
    asked = {"dataset": "esc10", "protocol": "baby", "system": system, "folds": 3}
    run = {
        "configuration": {**asked, "precision": "bf16", "preset": {"epochs": 7, "draws": draws}},
        "environment": {"device": "cuda", "device_name": "A GPU", "processes": 1},
        "seeds": [0, 1],
        "parameters": 1234,
        "wall_seconds": {f"fold {i}": seconds for i, seconds in enumerate(wall)},
        "cost": {f"fold {i}": one for i, one in enumerate(costs)},
        **changes,
    }
    (place / "run.json").write_text(json.dumps(run))


def table(out, capsys):
    """Rows by system, of the file; the printed one has the same fields."""
    assert main(["costs", str(out / "results"), "--csv", str(out / "costs.csv")]) == 0
    head, _, *lines = capsys.readouterr().out.splitlines()
    rows = list(csv.DictReader((out / "costs.csv").open()))
    assert [cell.strip().replace(" ", "_") for cell in head.strip("|").split("|")] == list(rows[0])
    for row, line in zip(rows, lines, strict=True):
        shown = [cell.strip() for cell in line[1:-1].split("|")]
        assert [not cell for cell in shown] == [not value for value in row.values()]
    return {row["system"]: row for row in rows}


def test_the_table_follows_from_the_records(tmp_path, capsys):
    costs = [cost(10, 300.0), cost(20, 500.0), cost(40, 700.0)]
    write(tmp_path, "a", costs, [11, 21, 42])
    resumed = {"resumed": True, "pieces_per_second": None}
    write(tmp_path, "b", [*costs[:2], cost(4, 70.0, **resumed)], [11, 21, 5])
    write(tmp_path, "c", [cost(10, None)], [11], environment={"device": "cpu"})
    write(tmp_path, "d", [], [11.1, 21.2, 42.8], cost={}, seeds=[0], draws=384)
    write(tmp_path, "e", [], [], environment={})
    rows = table(tmp_path, capsys)
    a, b, c, d, e = rows.values()
    assert (a["seeds"], a["folds"], a["epochs"], a["parameters"]) == ("0 1", "3", "7", "1234")
    assert (a["device"], a["precision"], a["jobs"]) == ("A GPU", "bfloat16", "2")
    assert float(a["seconds_per_fold"]) == 21
    assert float(a["pieces_per_second"]) == 50
    assert float(a["joules"]) == 750  # two shared the GPU
    assert (float(a["total_seconds"]), float(a["gpu_seconds"])) == (74, 37)
    assert (b["resumed"], b["seconds_per_fold"], b["pieces_per_second"]) == ("1", "16.0", "75.0")
    assert b["joules"] == b["total_seconds"] == b["gpu_seconds"] == ""
    assert (c["total_seconds"], c["gpu_seconds"], c["joules"]) == ("11.0", "", "")
    assert (d["total_seconds"], d["pieces_per_second"], d["joules"]) == ("75.1", "", "")
    assert (a["draws"], d["draws"]) == ("0", "384")
    assert e["total_seconds"] == e["seconds_per_fold"] == e["device"] == ""


def test_a_folder_without_runs_is_one_sentence(tmp_path, capsys):
    assert main(["costs", str(tmp_path)]) == 2
    assert "There is no run.json below" in capsys.readouterr().err
    (tmp_path / "run.json").write_text("{}")
    assert main(["costs", str(tmp_path)]) == 2
    assert f"{tmp_path / 'run.json'} is damaged" in capsys.readouterr().err


def test_a_real_run_has_a_row(fitted, capsys):
    row = table(fitted, capsys)[SYSTEM]
    assert float(row["total_seconds"]) == math.fsum(record(fitted)["wall_seconds"].values())
    assert (row["epochs"], row["folds"], row["seeds"]) == (str(EPOCHS), "2", "0")
    assert row["joules"] == row["gpu_seconds"] == ""


def test_the_table_of_the_committed_runs_is_theirs(tmp_path):
    results, out = ROOT / "assets" / "results", tmp_path / "costs.csv"
    assert main(["costs", str(results), "--csv", str(out)]) == 0
    assert out.read_text() == (results / "costs.csv").read_text()
