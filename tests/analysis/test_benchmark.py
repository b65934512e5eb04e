"""``python -m analysis benchmark``."""

import json

import pytest

from analysis.benchmark import run_benchmark


@pytest.mark.slow
def test_the_benchmark_measures_and_saves(tmp_path, capsys):
    out = tmp_path / "benchmark.json"
    costs = run_benchmark(out, ["improved-ecapa-tdnn"])
    record = json.loads(out.read_text())
    assert record["costs"][0]["threads"] == 1
    for cost in costs:
        assert cost.forward > 0
        assert cost.total > 0
        assert cost.total == pytest.approx(cost.real_time_factor * 5000)
        assert cost.peak_memory > 50
    assert "Improved ECAPA-TDNN" in capsys.readouterr().out
