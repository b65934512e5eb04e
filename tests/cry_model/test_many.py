"""Test tables of many recordings: no row is lost or duplicated, whatever is killed midway."""

import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import psutil
import pytest

from cry_model.many.answering import DIED, in_processes, on_ray
from cry_model.many.table import Journal, TableError
from tests.conftest import ROOT
from tests.cry_model.nobody import Nobody
from tests.stand_ins import RATE, hum, scene, write

WHO = {"names": ("six-class",), "detector": False}
ROWS = (
    {
        "file": "a.wav", "model": "six-class", "answer": "set", "labels": "hug;hungry",
        "reason": "", "cry_probability": 0.97, "cries": 2, "cry_seconds": 3.5,
        "duration_seconds": 7.0, "remembered": False, "cautions": "",
        "probabilities": {"hungry": 0.6, "hug": 0.4},
    },
    {"file": "b\udcff.wav", "error": "no sound, sorry"},
)  # fmt: skip


def keep(table, rows, who=WHO):
    with Journal(table, who) as journal:
        for row in rows:
            journal.add(row)
    return journal


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_a_table_has_the_rows_of_its_journal(tmp_path, ending):
    if ending == "parquet":
        pytest.importorskip("pyarrow")
    table = tmp_path / "new" / f"table.{ending}"
    assert keep(table, [ROWS[1], ROWS[0], ROWS[0]]).finish() == (2, 1)
    assert [path.name for path in table.parent.iterdir()] == [table.name]
    found = pd.read_csv(table) if ending == "csv" else pd.read_parquet(table)
    expected = {"error": None, **ROWS[0]}
    shares = expected.pop("probabilities")
    expected |= {f"p_{label}": share for label, share in shares.items()}
    first, second = (
        found.astype(object).where(found.notna() & (found != ""), None).to_dict("records")
    )
    assert first == {name: None if value == "" else value for name, value in expected.items()}
    assert second == {**dict.fromkeys(expected), "file": "b\\udcff.wav", "error": ROWS[1]["error"]}
    with pytest.raises(TableError, match="already"):
        Journal(table, WHO)


@pytest.mark.parametrize("torn", [b'{"file": "c.wav"}', b"\0\0\0\n{}\n", b""])
def test_a_torn_journal_line_is_computed_again(tmp_path, torn):
    table = tmp_path / "table.csv"
    journal = keep(table, ROWS[:1])
    with journal.path.open("ab") as file:
        file.write(torn)
    with Journal(table, WHO) as again:
        assert again.done == {"a.wav"}
        again.add({"file": "c.wav", "error": "x"})
    assert again.finish() == (2, 1)


def test_a_journal_belongs_to_one_command_at_a_time(tmp_path):
    table = tmp_path / "table.csv"
    with Journal(table, WHO) as first:
        first.add(ROWS[0])
        with pytest.raises(TableError, match="Another command"):
            Journal(table, WHO)
        first.add(ROWS[1])
    kept = first.path.read_bytes()
    with pytest.raises(TableError, match="other options"):
        Journal(table, {**WHO, "detector": True})
    with Journal(table, WHO), pytest.raises(TableError, match="Another command"):
        first.finish()
    assert first.path.read_bytes() == kept
    table.write_text("killed before the journal was deleted")
    assert keep(table, ()).finish() == (2, 1)
    assert "a.wav" in table.read_text()


def test_only_the_file_that_kills_its_process_is_skipped():
    files = [f"{number}.wav" for number in range(9)]
    files[3:3] = ["kill.wav", "bad.wav"]
    rows = {row["file"]: row["error"] for row in in_processes(files, Nobody(), 2)}
    assert rows.keys() == set(files)
    assert rows["kill.wav"] == DIED
    assert rows["bad.wav"].startswith("not a sound")
    assert all("LookupError" in rows[f"{number}.wav"] for number in range(9))


@pytest.fixture
def folder(tmp_path):
    """Return a folder of 12 sounds and one undecodable file."""
    root = tmp_path / "in"
    root.mkdir()
    for number in range(12):
        sound = scene(2, 3) if number % 2 else hum(3, RATE)
        noise = np.random.default_rng(number).standard_normal(len(sound))
        write(root / f"{number:02d}.wav", sound + 0.001 * noise)
    (root / "bad.wav").write_bytes(b"no sound")
    return root


def command(folder, table):
    line = [sys.executable, "-m", "cry_model", "predict", str(folder)]
    return [*line, "--no-detector", "--model", "six-class", "--out", str(table)]


def begun(folder, table, lines):
    """Start the command and await ``lines`` in its journal; return both and its child processes."""
    pipe = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
    running = subprocess.Popen(command(folder, table), cwd=ROOT, **pipe)
    journal = table.with_name(f"{table.name}.partial")
    while not journal.exists() or journal.read_bytes().count(b"\n") < lines:
        assert running.poll() is None
        time.sleep(0.02)
    return running, psutil.Process(running.pid).children(recursive=True), journal


@pytest.mark.slow
def test_a_killed_command_resumes(folder, tmp_path):
    table, whole = tmp_path / "table.csv", tmp_path / "whole.csv"
    running, others, journal = begun(folder, table, 4)
    running.kill()
    running.communicate()
    assert 3 <= journal.read_bytes().count(b"\n") - 1 < 13
    assert not psutil.wait_procs(others, timeout=30)[1]
    for each in (table, whole):  # resumes the first table, and computes the second from scratch
        ended = subprocess.run(command(folder, each), cwd=ROOT, capture_output=True)
        assert ended.returncode == 2
    assert table.read_bytes() == whole.read_bytes()
    rows = pd.read_csv(table)
    assert rows["file"].tolist() == sorted(map(str, folder.iterdir()))
    assert rows["file"][rows["error"].notna()].tolist() == [str(folder / "bad.wav")]


@pytest.mark.slow
def test_repeated_interrupts_end_the_command_cleanly(folder, tmp_path):
    running, others, journal = begun(folder, tmp_path / "table.csv", 2)
    for _ in range(3):
        running.send_signal(signal.SIGINT)
        time.sleep(0.01)
    _, told = running.communicate(timeout=60)
    assert (running.returncode, "Traceback" in told) == (130, False), told
    assert not psutil.wait_procs(others, timeout=30)[1]
    assert journal.exists()


def pids(node):
    """Return the IDs of the processes that a Ray node started itself."""
    return {info.process.pid for infos in node.all_processes.values() for info in infos}


@pytest.mark.slow
def test_a_cluster_that_loses_a_worker_completes(monkeypatch):
    reason = "Ray is not here; pip install '.[ray]'"
    pytest.importorskip("ray.data", reason=reason)
    import ray
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    try:
        workers = [cluster.add_node(num_cpus=1) for _ in range(2)]
        cluster.wait_for_nodes()
        ray.init(address=cluster.address, log_to_driver=False)
        assert ray.cluster_resources()["CPU"] == 2
        files, found = [f"bad {number}.wav" for number in range(160)], []
        for row in on_ray(files, Nobody(seconds=0.05)):
            found.append(row["file"])
            if len(found) == 40:  # kill the node that gave this answer
                killed = psutil.Process(int(row["error"].split()[-1])).ppid()
                (node,) = (w for w in workers if killed in pids(w))
                cluster.remove_node(node, allow_graceful=False)
        assert not psutil.pid_exists(killed)
        assert sorted(found) == sorted(files)
    finally:
        ray.shutdown()
        cluster.shutdown()
