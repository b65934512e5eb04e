"""Runs one small fit again and again, each time killed in a write, until it is done: ``ROOT OUT``.

A process of its own, so that it can fork: torch is loaded once, and each attempt is a child. A kill
between two writes leaves on the disk what one at the beginning of the second leaves.
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
"""In which write of such a file each attempt ends."""


def arguments(root, out):
    # Mixup, balanced drawing and averaged weights are those of the best preset.
    more = ("--epochs", "10", "--set", "batch=8", "validation=0.34", "patience=4")
    return words(Path(root), Path(out), *more)


def attempt(root, out, name, nth):
    """The exit status of a child that fits and dies in the nth write, or minus its signal."""
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
