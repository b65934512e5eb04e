"""Runs one small fit again and again, each time killed, until it is done: ``ROOT OUT SEED``.

A process of its own, so that it can fork: torch is loaded once, and each attempt is a child that
dies of SIGKILL at a random moment, or in the middle of writing its state.
"""

import os
import random
import signal
import sys
import time
from pathlib import Path

from tests.train.small_fit import words
from train.__main__ import main


def arguments(root, out):
    # Mixup, balanced drawing and averaged weights are those of the best preset.
    more = ("--epochs", "10", "--set", "batch=8", "validation=0.34", "patience=4")
    return words(Path(root), Path(out), *more)


def die_while_writing(nth):
    """From now on, the nth state is written half, and the process is gone."""
    whole, count = Path.write_bytes, 0

    def write_bytes(self, data):
        nonlocal count
        if not self.name.endswith(".pt.part"):
            return whole(self, data)
        count += 1
        if count == nth:
            whole(self, data[: len(data) // 2])
            os.kill(os.getpid(), signal.SIGKILL)
        return whole(self, data)

    Path.write_bytes = write_bytes


def attempt(root, out, seconds=None, nth=None):
    """The exit status of a child that runs the fit, or minus the signal that ended it."""
    if not (child := os.fork()):
        if nth is not None:
            die_while_writing(nth)
        os._exit(main(arguments(root, out)))
    if seconds is not None:
        time.sleep(seconds)
        os.kill(child, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


if __name__ == "__main__":
    root, out, seed = sys.argv[1:]
    dice = random.Random(int(seed))
    for _ in range(2):  # two epochs further each time, of 30 in all
        assert attempt(root, out, nth=dice.randint(2, 3)) == -signal.SIGKILL
        print("killed while writing", sorted(p.name for p in Path(out).rglob("*.pt*")))
    for _ in range(3):
        status = attempt(root, out, seconds=dice.uniform(0.2, 1.2))
        print("status", status, sorted(p.name for p in Path(out).rglob("*.pt*")))
    assert attempt(root, out) == 0
