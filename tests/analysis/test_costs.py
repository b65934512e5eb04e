"""What is read of the benchmark."""

import json

import pytest

from analysis.stats.recordings import ResultsError
from analysis.stats.side_results import BENCHMARK, read_costs
from cry_model.registry import list_models


def test_the_committed_times_are_read():
    costs = read_costs()
    record = json.loads(BENCHMARK.read_text(encoding="utf-8"))
    assert {cost.system for cost in costs.measured} == set(list_models())
    assert costs.threads == (1, record["cpus"])
    for written in record["costs"]:
        cost = costs.of(written["system"], written["threads"])
        assert vars(cost) == written
    assert costs.of("resnet18", 99) is None


def test_unknown_fields_are_refused(tmp_path):
    record = json.loads(BENCHMARK.read_text(encoding="utf-8"))
    record["costs"][0]["colour"] = "blue"
    path = tmp_path / "b.json"
    path.write_text(json.dumps(record))
    with pytest.raises(ResultsError, match=r"b\.json is not as .*colour"):
        read_costs(path)
