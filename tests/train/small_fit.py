"""Run the command ``fit`` at minimal size: two folds, one epoch, a system of 8 channels.

As a program, ``ROOT OUT``, it restarts one fit, killed in a write each time, until it finishes. It
forks, so that torch loads once. A kill between two writes leaves the same files as one at the
beginning of the second.
"""

import contextlib
import os
import signal
import subprocess
import sys
from itertools import count
from pathlib import Path

from tests.conftest import ROOT
from train.__main__ import main

SYSTEM = "improved-ecapa-tdnn-no-mca"
SYSTEMS = (SYSTEM, "improved-ecapa-tdnn-no-rse")
RESULTS = Path("results", "donateacry", "baby", SYSTEM)
CHECKPOINT = Path("checkpoints", f"donateacry-{SYSTEM}")
MORE = ("--seeds", "1", "0", "--save-folds", "--checkpoint")
SMALL = ("--folds", "2", "--epochs", "1", "--device", "cpu", "--set")


def command(name, root, out, *more):
    """Run another command on the corpus in ``root``; return its exit status."""
    where = ("--data-root", root, "--cache", root / "cache", "--out", out)
    return main([str(word) for word in (name, *where, *more)])


def words(root, out, *more, system=SYSTEM):
    """Return the command line for the corpus in ``root``; later options override earlier ones."""
    where = ["--data-root", root, "--cache", root / "cache", "--out", out]
    size = ("members=2", "hidden=8") if system == "feature-mlp" else ("channels=8", "stages=1")
    given = ["fit", "--system", *system.split(), "--dataset", "donateacry", *where, *SMALL, *size]
    return [str(word) for word in (*given, *more)]


def fit(root, out, *more, system=SYSTEM):
    """Run the small fit; return its exit status."""
    return main(words(root, out, *more, system=system))


def python(*given, **variables):
    """Run Python in a process of its own; return what it printed."""
    done = subprocess.run(
        [sys.executable, *map(str, given)], cwd=ROOT, timeout=600, capture_output=True, text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", **variables},
    )  # fmt: skip
    assert done.returncode == 0, f"{given}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@contextlib.contextmanager
def started(*words):
    """Start ``python -m train`` with Ctrl-C enabled; kill it and its children at the end.

    Background processes of a shell ignore Ctrl-C, and their children inherit that.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", "train", *words], cwd=ROOT, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"}, start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


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
    """Return the command line of a fit of ten epochs that can stop early."""
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
