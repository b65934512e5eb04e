"""Restart one small fit, killed in a write each time, until it finishes: ``ROOT OUT``.

Runs as a separate process so that it can fork: torch loads once, and each attempt is a child. A
kill between two writes leaves the same files as one at the beginning of the second.
"""

import os
import signal
import sys
from itertools import count
from pathlib import Path

from tests.train.small_fit import words
from train.__main__ import main

DEATHS = {
    "fold0.pt": 3,
    "predictions.csv": 1,
    "fold1.pt": 3,
    "run.json": 2,
    "all.pt": 3,
    "model.safetensors": 1,
    "config.json": 1,
}
"""File name -> the number of the write to it in which an attempt is killed."""


def arguments(root, out):
    # The best preset also uses mixup, balanced sampling and weight averaging.
    more = ("--epochs", "10", "--set", "batch=8", "validation=0.34", "patience=4")
    return words(Path(root), Path(out), *more)


def attempt(root, out, name, nth):
    """Fit in a child that dies in the nth write; return its exit status, or minus its signal."""
    whole, number = Path.write_bytes, count(1)

    def write_bytes(self, data):
        if self.name.endswith(f"{name}.part") and next(number) == nth:
            whole(self, data[: len(data) // 2])
            os.kill(os.getpid(), signal.SIGKILL)
        return whole(self, data)

    if not (child := os.fork()):
        Path.write_bytes = write_bytes
        os._exit(main(arguments(root, out)))
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


if __name__ == "__main__":
    for name, nth in DEATHS.items():
        assert attempt(*sys.argv[1:], name, nth) == -signal.SIGKILL, name
    assert attempt(*sys.argv[1:], "nothing", 1) == 0
