"""The command ``fit`` in its smallest form: two folds and one epoch of a system of 8 channels."""

from pathlib import Path

from train.__main__ import main

SYSTEM = "improved-ecapa-tdnn-no-mca"
RESULTS = Path("results", "donateacry", "baby", SYSTEM)
CHECKPOINT = Path("checkpoints", f"donateacry-{SYSTEM}")
SMALL = ("--folds", "2", "--epochs", "1", "--device", "cpu", "--set", "channels=8", "stages=1")


def words(root, out, *more, system=SYSTEM):
    """The command on the corpus in ``root``; what is given last counts."""
    where = ["--data-root", root, "--cache", root / "cache", "--out", out]
    given = ["fit", "--system", *system.split(), "--dataset", "donateacry", *where, *SMALL, *more]
    return [str(word) for word in given]


def fit(root, out, *more, system=SYSTEM):
    """Run it; return its exit status."""
    return main(words(root, out, *more, system=system))
