"""Tasks for the processes of tests/train/test_pool.py: light, since each process imports them.

As a program it starts two endless tasks, says the numbers of their processes, and waits.
"""

import os
import signal
import sys
import time
from functools import partial
from operator import itemgetter
from pathlib import Path

from train.pool import Work, run_all


def start(folder):
    """Tasks are (name, key, what)."""

    def work(task):
        name, key, what = task
        if what == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        other = folder / f"{key}.running"
        alone = not other.exists()
        other.touch()
        if what == "forever":
            (folder / f"{os.getpid()}.pid").touch()
            time.sleep(600)
        time.sleep(0.05)
        other.unlink()
        return name, alone, int(os.environ["OMP_NUM_THREADS"])

    return work


def plan(folder, begun=lambda task: None, ended=lambda result: None):
    """What :func:`start` does, as the pool wants it."""
    return Work(partial(start, folder), itemgetter(1), begun, lambda t, s: (t[0], s, 0), ended)


if __name__ == "__main__":
    tasks = [("a", 1, "forever"), ("b", 2, "forever")]
    run_all(tasks, 2, 1, plan(Path(sys.argv[1])))
