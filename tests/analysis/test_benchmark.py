"""``python -m analysis benchmark``, with one run of each part and without processes of its own."""

import json
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from analysis import benchmark
from analysis.__main__ import main
from analysis.stats.side_results import read_costs


def test_the_benchmark_writes_what_the_page_reads(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(benchmark, "ProcessPoolExecutor", ThreadPoolExecutor)
    monkeypatch.setattr(benchmark, "WARM_UP", 0)
    monkeypatch.setattr(benchmark, "RUNS", 1)
    out, before = tmp_path / "benchmark.json", torch.get_num_threads()
    try:
        assert main(["benchmark", "--system", "ecapa-tdnn", "--out", str(out)]) == 0
    finally:
        torch.set_num_threads(before)
    costs = read_costs(out)
    assert costs.threads == tuple(sorted({1, json.loads(out.read_text())["cpus"]}))
    for cost in costs.measured:
        assert min(cost.load, cost.decode, cost.features, cost.forward, cost.figures) > 0
        assert cost.total == pytest.approx(cost.real_time_factor * 5000)
        assert cost.peak_memory > 50
    assert "ecapa-tdnn" in capsys.readouterr().out


def test_an_unknown_model_is_refused(tmp_path, capsys):
    out = tmp_path / "benchmark.json"
    assert main(["benchmark", "--system", "nonesuch", "--out", str(out)]) == 2
    assert "'nonesuch' is none of" in capsys.readouterr().err
    assert not out.exists()
