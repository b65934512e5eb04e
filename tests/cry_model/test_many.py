"""A table of many recordings: nothing lost, nothing twice, whatever is killed in the middle."""

import csv
import json
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import psutil
import pytest

from cry_model import __main__ as command
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
def test_a_table_says_what_was_kept(tmp_path, ending):
    if ending == "parquet":
        pytest.importorskip("pyarrow")
    table = tmp_path / "new" / f"table.{ending}"
    assert keep(table, [ROWS[1], ROWS[0], ROWS[0]]).finish() == (2, 1)
    assert [path.name for path in table.parent.iterdir()] == [table.name]
    found = pd.read_csv(table) if ending == "csv" else pd.read_parquet(table)
    first, second = found.astype(object).where(found.notna(), None).to_dict("records")
    shares = {f"p_{label}": share for label, share in ROWS[0]["probabilities"].items()}
    for name, value in {**ROWS[0], **shares, "error": None}.items():
        if name != "probabilities":
            assert (first[name] or None) == (value or None), name
    assert (second["file"], second["error"]) == ("b\\udcff.wav", ROWS[1]["error"])
    assert all(second[name] is None for name in shares)
    with pytest.raises(TableError, match="already"):
        Journal(table, WHO)


@pytest.mark.parametrize("torn", [b'{"file": "c.wav"}', b"\0\0\0\n{}\n", b""])
def test_a_torn_line_is_answered_again(tmp_path, torn):
    table = tmp_path / "table.csv"
    journal = keep(table, ROWS[:1])
    with journal.path.open("ab") as file:
        file.write(torn)
    with Journal(table, WHO) as again:
        assert again.done == {"a.wav"}
        again.add({"file": "c.wav", "error": "x"})
    assert again.finish() == (2, 1)


def test_a_journal_is_that_of_its_command(tmp_path):
    table = tmp_path / "table.csv"
    kept = keep(table, ROWS).path.read_bytes()
    with pytest.raises(TableError, match="other options"):
        Journal(table, {**WHO, "detector": True})
    assert keep(table, ()).path.read_bytes() == kept
    table.write_text("killed before the journal was deleted")
    assert keep(table, ()).finish() == (2, 1)
    assert "a.wav" in table.read_text()


def test_a_table_is_written_by_one_command_at_a_time(tmp_path):
    table = tmp_path / "table.csv"
    with Journal(table, WHO) as first:
        first.add(ROWS[0])
        with pytest.raises(TableError, match="Another command"):
            Journal(table, WHO)
        first.add(ROWS[1])
    with Journal(table, WHO), pytest.raises(TableError, match="Another command"):
        first.finish()
    assert first.finish() == (2, 1)


def test_a_file_that_kills_its_process_is_the_only_one_passed_over():
    files = [f"{number}.wav" for number in range(9)]
    files[3:3] = ["kill.wav", "bad.wav"]
    rows = {row["file"]: row["error"] for row in in_processes(files, Nobody(), 2)}
    assert rows.keys() == set(files)
    assert rows["kill.wav"] == DIED
    assert rows["bad.wav"].startswith("not a sound")
    assert all("LookupError" in rows[f"{number}.wav"] for number in range(9))


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--out", "table.csv", "--json"], "--json"),
        (["--ray"], "--ray needs --out"),
        (["--out", "out", "--ray"], "--ray needs --out"),
    ],
)
def test_options_that_do_not_go_together_are_refused(options, told, capsys):
    with pytest.raises(SystemExit):
        command.main(["predict", "cry.wav", *options])
    assert told in capsys.readouterr().err


@pytest.fixture
def folder(tmp_path):
    """Sounds, and a file that is none."""
    root = tmp_path / "in"
    root.mkdir()
    noise = np.random.default_rng(0)
    for number in range(12):
        sound = scene(2, 3) if number % 2 else hum(3, RATE)
        write(root / f"{number:02d}.wav", sound + 0.001 * noise.standard_normal(len(sound)))
    (root / "bad.wav").write_bytes(b"no sound")
    return root


@pytest.mark.slow
def test_a_killed_command_goes_on(folder, tmp_path):
    table, out = tmp_path / "table.csv", tmp_path / "out"
    line = [sys.executable, "-m", "cry_model", "predict", str(folder)]
    line += ["--no-detector", "--model", "six-class", "--out"]
    journal = table.with_name("table.csv.partial")
    running = subprocess.Popen([*line, str(table)], cwd=ROOT)
    while not journal.exists() or journal.read_bytes().count(b"\n") < 4:
        assert running.poll() is None
        time.sleep(0.02)
    others = psutil.Process(running.pid).children(recursive=True)
    running.kill()
    running.wait()
    kept = [
        json.loads(x)["file"] for x in journal.read_bytes().splitlines(True)[1:] if x[-1:] == b"\n"
    ]
    assert 3 <= len(kept) < 13
    assert not psutil.wait_procs(others, timeout=30)[1]
    ended = subprocess.run([*line, str(table)], cwd=ROOT, capture_output=True, text=True)
    assert ended.returncode == 2
    subprocess.run([*line, str(out)], cwd=ROOT, capture_output=True)
    with table.open() as one, (out / "answers.csv").open() as other:
        rows, expected = list(csv.DictReader(one)), list(csv.DictReader(other))
    assert [row["file"] for row in rows] == sorted(map(str, folder.iterdir()))
    assert [row["file"] for row in rows if row["error"]] == [str(folder / "bad.wav")]
    for row, told in zip(rows, expected, strict=True):
        shares = dict(item.split("=") for item in told.pop("probabilities").split(";") if item)
        assert {name: row[name] for name in told} == told
        assert {f"p_{name}": float(share) for name, share in shares.items()} == pytest.approx(
            {name: float(row[name]) for name in row if name[:2] == "p_" and row[name]}, abs=1e-3
        )


@pytest.mark.slow
def test_two_interrupts_end_it_as_one_does(folder, tmp_path):
    table = tmp_path / "table.csv"
    line = [sys.executable, "-m", "cry_model", "predict", str(folder), "--no-detector", "--out"]
    journal = table.with_name("table.csv.partial")
    running = subprocess.Popen([*line, str(table)], cwd=ROOT, stderr=subprocess.PIPE, text=True)
    while not journal.exists() or journal.read_bytes().count(b"\n") < 2:
        assert running.poll() is None
        time.sleep(0.02)
    others = psutil.Process(running.pid).children(recursive=True)
    for _ in range(3):
        running.send_signal(signal.SIGINT)
        time.sleep(0.01)
    _, told = running.communicate(timeout=60)
    assert (running.returncode, "Traceback" in told) == (130, False), told
    assert not psutil.wait_procs(others, timeout=30)[1]
    assert journal.exists()


def pids(node):
    """Of the processes that a node of Ray started itself."""
    return {info.process.pid for infos in node.all_processes.values() for info in infos}


@pytest.mark.slow
def test_a_cluster_that_loses_a_worker_answers_all(monkeypatch):
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
            if len(found) == 40:  # kill the machine of this answer
                killed = psutil.Process(int(row["error"].split()[-1])).ppid()
                (node,) = (w for w in workers if killed in pids(w))
                cluster.remove_node(node, allow_graceful=False)
        assert not psutil.pid_exists(killed)
        assert sorted(found) == sorted(files)
    finally:
        ray.shutdown()
        cluster.shutdown()
