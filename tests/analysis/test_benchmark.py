"""Check ``python -m analysis benchmark``, with one run per part, and threads for processes."""

import json
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from analysis import benchmark
from analysis.__main__ import main
from analysis.stats.side_results import BENCHMARK, read_costs
from cry_model.networks.registry import list_models


def test_benchmark_writes_what_the_page_reads(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(benchmark, "ProcessPoolExecutor", ThreadPoolExecutor)
    for name, count in (("WARM_UP", 0), ("RUNS", 1), ("RUNTIME_RUNS", 1)):
        monkeypatch.setattr(benchmark, name, count)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    out, before = tmp_path / "benchmark.json", torch.get_num_threads()
    try:
        systems = ("--system", "ecapa-tdnn", "--system", "feature-mlp")  # one of each kind
        assert main(["benchmark", *systems, "--out", str(out)]) == 0
    finally:
        torch.set_num_threads(before)
    record = json.loads(out.read_text())
    for cost in record["costs"]:
        assert min(cost[part] for part in ("load", "decode", "features", "forward", "figures")) > 0
        assert cost["total"] == pytest.approx(cost["real_time_factor"] * 5000)
        assert cost["peak_memory"] > 50
        times = read_costs(out).milliseconds
        assert cost["total"] == times.loc[cost["system"], cost["threads"]]
    rows = record["runtimes"]
    named = {(row["model"], row["runtime"], row["input"]) for row in rows}
    assert {("ecapa-tdnn", kind, "sound") for kind in ("torch", "onnxruntime int8")} < named
    assert all(row["milliseconds"] is None or row["milliseconds"] > 0 for row in rows)
    assert list(read_costs(out).milliseconds) == sorted({1, record["cpus"]})
    assert "ecapa-tdnn" in capsys.readouterr().out


def test_committed_benchmark_covers_all_models():
    times, record = read_costs().milliseconds, json.loads(BENCHMARK.read_text(encoding="utf-8"))
    assert set(times.index) == set(list_models())
    assert times.stack().to_dict() == {
        (cost["system"], cost["threads"]): cost["total"] for cost in record["costs"]
    }


def test_unknown_model_is_refused(tmp_path, capsys):
    out = tmp_path / "benchmark.json"
    assert main(["benchmark", "--system", "nonesuch", "--out", str(out)]) == 2
    assert "'nonesuch' is none of" in capsys.readouterr().err
    assert not out.exists()
