"""What is read of the benchmark, and how large the shipped checkpoints are."""

import json
from dataclasses import replace

import pytest

from analysis.shipped import shipped_checkpoint
from analysis.stats.recordings import ResultsError
from analysis.stats.runs import RESULTS, read_run
from analysis.stats.side_results import BENCHMARK, read_costs
from cry_model.checkpoint import ASSETS
from cry_model.registry import list_models


def test_the_committed_times_are_read():
    costs = read_costs()
    record = json.loads(BENCHMARK.read_text(encoding="utf-8"))
    assert {cost.system for cost in costs.measured} == set(list_models())
    assert costs.threads == (1, record["cpus"])
    for written in record["costs"]:
        cost = costs.of(written["system"], written["threads"])
        assert vars(cost) == written
        assert cost.clips_per_second * cost.total == pytest.approx(1000)
    assert costs.of("resnet18", 99) is None


def test_unknown_fields_are_refused(tmp_path):
    record = json.loads(BENCHMARK.read_text(encoding="utf-8"))
    record["costs"][0]["colour"] = "blue"
    path = tmp_path / "b.json"
    path.write_text(json.dumps(record))
    with pytest.raises(ResultsError, match=r"b\.json is not as .*colour"):
        read_costs(path)


def test_a_shipped_checkpoint_is_measured_and_must_be_that_of_the_run(tmp_path):
    run = read_run(RESULTS / "donateacry" / "baby" / "improved-ecapa-tdnn")
    shipped = shipped_checkpoint(run)
    folder = ASSETS / "donateacry-improved-ecapa-tdnn"
    size = (folder / "model.safetensors").stat().st_size
    assert (shipped.name, shipped.mebibytes * 2**20) == (folder.name, size)
    stored = json.loads((folder / "config.json").read_text())["training"]["stored_as"]
    assert shipped.stored_as == stored
    assert size / run.parameters == pytest.approx({"float16": 2, "float32": 4}[stored], rel=0.05)
    assert shipped_checkpoint(replace(run, settings={})) is None
    assert shipped_checkpoint(replace(run, system="resnet18")) is None
    assert shipped_checkpoint(run, tmp_path) is None
    damaged = tmp_path / folder.name
    damaged.mkdir()
    (damaged / "config.json").write_text("{")
    (damaged / "model.safetensors").write_bytes(b"")
    assert shipped_checkpoint(run, tmp_path) is None
