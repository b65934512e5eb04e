"""Fit one cell of ``python -m train grid``: ``python -m train fit`` in a process of its own."""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event

from accelerate import Accelerator

from cry_model.checkpoint import CheckpointError
from train.commands.planning import plan
from train.corpus import DataError
from train.grid import Cell, Outcome, score, state

BUSY = 75
"""Exit status of a fit whose folder another command writes to (EX_TEMPFAIL)."""
PATIENCE = 10.0  # seconds for fits that are asked to end, before they are made to
WHAT = ("dataset", "protocol", "system", "seeds", "data_root", "cache", "folds")
HOW = ("preset", "start_from", "epochs", "set", "precision", "device", "out")
SWITCHES = ("deterministic", "keep_folds", "track")
PAIRS = ("resume", "checkpoint")  # on or off, each with a word


def options_of(args: argparse.Namespace, cell: Cell) -> argparse.Namespace:
    """Return the options of ``fit`` for one cell.

    A checkpoint is fitted with the first seed and carries the numbers of all: it comes with the
    last, to which the others are there already.
    """
    last = args.checkpoint and cell.seed == args.seeds[-1]
    changes = {
        "dataset": cell.dataset,
        "protocol": cell.protocol,
        "system": [cell.system],
        "seeds": args.seeds if last else [cell.seed],
        "checkpoint": last,
    }
    return argparse.Namespace(**{**vars(args), **changes})


def words_of(options: argparse.Namespace) -> list[str]:
    """Return the command line of ``fit`` that has these options."""
    words = ["fit"]
    for name in (*WHAT, *HOW):
        value = getattr(options, name)
        if value not in (None, []):
            values = value if isinstance(value, list) else [value]
            words += [f"--{name.replace('_', '-')}", *map(str, values)]
    words += [f"--{name.replace('_', '-')}" for name in SWITCHES if getattr(options, name)]
    return words + [f"--{'' if getattr(options, name) else 'no-'}{name}" for name in PAIRS]


def was_there(args: argparse.Namespace, cell: Cell, accelerator: Accelerator) -> Outcome | None:
    """Return the outcome of a cell that needs no fit; None if it does, or cannot be told."""
    options = options_of(args, cell)
    if options.checkpoint:
        return None
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            for run in plan(options, cell.system, accelerator):
                folder, asked = run.results_folder, run.configuration()
                if state(folder, cell.seed, run.folds, asked) != "done":
                    return None
        return Outcome(cell, "there", score=score(folder, cell.seed))
    except (CheckpointError, DataError, OSError):  # the fit says what is wrong
        return None


@dataclass(frozen=True)
class Child:
    """Hold the fit of a cell in its process.

    Attributes:
        cell: which.
        folder: where its results go.
        process: with a pipe from its standard error.
        silent: set when nobody needs to read any more what it says.
        started: when, by ``time.perf_counter``.
    """

    cell: Cell
    folder: Path
    process: subprocess.Popen[bytes]
    silent: Event = field(default_factory=Event)
    started: float = field(default_factory=time.perf_counter)

    def follow(self) -> Outcome:
        """Pass on what the fit says until it ends; return what became of it."""
        said = b""
        while chunk := self.process.stderr.read1():
            said += chunk
            if not self.silent.is_set():
                sys.stderr.write(chunk.decode(errors="replace"))
                sys.stderr.flush()
        status, seconds = self.process.wait(), time.perf_counter() - self.started
        if status == 0:
            try:
                return Outcome(self.cell, "fitted", seconds, score(self.folder, self.cell.seed))
            except (DataError, OSError) as error:
                return Outcome(self.cell, "failed", seconds, sentence=str(error))
        if status == BUSY:
            return Outcome(self.cell, "busy", seconds)
        *_, sentence = ["", *filter(str.strip, said.decode(errors="replace").splitlines())]
        if status < 0:
            sentence = f"Its process was ended by signal {-status}; the memory may be too small."
        return Outcome(self.cell, "failed", seconds, sentence=sentence)


def start(args: argparse.Namespace, cell: Cell, folder: Path, threads: int | None) -> Child:
    """Begin the fit of a cell.

    Args:
        args: of the grid.
        cell: which.
        folder: where its results go.
        threads: that it may compute with, beside other fits and without a progress bar; None for
            all, with one.
    """
    env = dict(os.environ)
    if threads is not None:
        env |= {"OMP_NUM_THREADS": f"{threads}", "MKL_NUM_THREADS": f"{threads}"}
        env |= {"TQDM_DISABLE": "1"}
    process = subprocess.Popen(
        [sys.executable, "-m", "train", *words_of(options_of(args, cell))],
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,  # what 'fit' says there is in run.json, too
        stderr=subprocess.PIPE,
        start_new_session=True,  # Ctrl-C is the grid's matter, which stops it once
    )
    return Child(cell, folder, process)


def stop(children: Collection[Child]) -> None:
    """End fits as Ctrl-C does, and by force those that do not heed it."""
    for child in children:
        child.silent.set()
        child.process.send_signal(signal.SIGINT)
    until = time.monotonic() + PATIENCE
    for child in children:
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.process.wait(max(0.0, until - time.monotonic()))
        child.process.kill()  # does nothing if it is gone
