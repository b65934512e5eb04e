"""Processes that work through a list: what one of them does is no matter of the others."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.train.pool_tasks import plan
from train.pool import run_all

ROOT = Path(__file__).parents[2]


def wait_for(condition, seconds=60):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.05)


def gone(number):
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return True
    state = Path(f"/proc/{number}/stat")  # one that nobody has asked about yet is gone, too
    return state.exists() and state.read_text().rpartition(")")[2].split()[0] == "Z"


def test_tasks_begin_in_order_and_those_with_one_key_never_run_at_once(tmp_path):
    tasks = [(f"{n}", n // 2, "") for n in range(8)]
    begun, before = [], os.environ.get("OMP_NUM_THREADS")
    found = run_all(tasks, 2, 3, plan(tmp_path, begun=begun.append))
    assert sorted(name for name, _, _ in found) == [name for name, _, _ in tasks]
    assert {threads for _, _, threads in found} == {3}
    assert all(alone for _, alone, _ in found)
    assert begun[:2] == [tasks[0], tasks[2]]  # the second has to wait for the first
    assert os.environ.get("OMP_NUM_THREADS") == before


def test_a_process_that_is_killed_loses_its_own_task_alone(tmp_path):
    tasks = [("a", 1, "die"), ("b", 2, ""), ("c", 3, "die"), ("d", 4, "")]
    found = run_all(tasks, 2, 1, plan(tmp_path))
    assert sorted(found) == [("a", -9, 0), ("b", True, 1), ("c", -9, 0), ("d", True, 1)]


def test_ctrl_c_ends_every_process(tmp_path):
    def stop(result):
        wait_for(lambda: list(tmp_path.glob("*.pid")))
        raise KeyboardInterrupt

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        run_all([("a", 1, "forever"), ("b", 2, "")], 2, 1, plan(tmp_path, ended=stop))
    (running,) = (int(path.stem) for path in tmp_path.glob("*.pid"))
    assert gone(running)
    assert signal.getsignal(signal.SIGINT) is before


def test_no_process_outlives_a_parent_that_is_killed(tmp_path):
    words = [sys.executable, "-m", "tests.train.pool_tasks", tmp_path]
    with subprocess.Popen(words, cwd=ROOT) as parent:
        wait_for(lambda: len(list(tmp_path.glob("*.pid"))) == 2)
        parent.kill()
    for path in tmp_path.glob("*.pid"):
        wait_for(lambda number=int(path.stem): gone(number))
