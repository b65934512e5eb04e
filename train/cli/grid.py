"""``python -m train grid``."""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import Collection, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass, field
from pathlib import Path
from threading import Event

from accelerate import Accelerator

from cry_model.checkpoint import CheckpointError
from cry_model.registry import ON_SPECTROGRAMS, list_models
from train.cli.fit import add_how, add_where
from train.cli.options import HelpFormatter, add_cache, add_data_root, at_least
from train.cli.planning import accelerator_of, names_of, plan, recordings, settle, systems_of
from train.data.cache import preparation, with_folds
from train.data.corpus import DataError
from train.data.datasets import DATASETS
from train.data.feature_tables import TABLES
from train.data.splits import FOLDS, PROTOCOLS, has_test_part
from train.scoring.calibration import PROMISED
from train.studies.grid import Cell, Outcome, Place, alike, cells, score, state

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


DESCRIPTION = """Cross-validate many systems on many corpora under many protocols, one seed after
the other, several at once if the machine is large enough. What is already in --out is not fitted
again, and what fails does not stop the rest."""


def add(commands: argparse._SubParsersAction) -> None:
    """The command's options."""
    grid = commands.add_parser(
        "grid",
        help="cross-validate many systems on many corpora",
        description=DESCRIPTION,
        formatter_class=HelpFormatter,
    )
    what = grid.add_argument_group("what")
    what.add_argument(
        "--datasets",
        required=True,
        nargs="+",
        metavar="DATASET",
        help=f"of {', '.join((*DATASETS, *TABLES))}; or files that 'prepare' wrote",
    )
    what.add_argument(
        "--protocols",
        nargs="+",
        choices=list(PROTOCOLS),
        default=list(PROTOCOLS),
        help="what stays together in a fold; those that split a corpus alike are fitted once",
    )
    what.add_argument(
        "--system",
        nargs="+",
        choices=["all", *list_models()],
        default=list(ON_SPECTROGRAMS),
        metavar="SYSTEM",
        help=f"one or more of {', '.join(list_models())}; or all",
    )
    add_data_root(what)
    add_cache(what)
    what.add_argument("--folds", type=at_least(2), default=FOLDS, help="of the cross-validation")
    what.add_argument(
        "--seeds", type=at_least(0), nargs="+", default=[0], help="each fits every fold once"
    )
    add_how(grid.add_argument_group("how"))
    where = grid.add_argument_group("where")
    add_where(where)
    where.add_argument(
        "--jobs",
        type=at_least(1, 4 * cores()),
        default=1,
        help="fits at once: they share the GPU, or each takes its part of the cores",
    )
    where.add_argument(
        "--dry-run", action="store_true", help="list the fits and which are done, and fit nothing"
    )
    # What 'fit' has besides: a grid learns from labels, and reports on its folds.
    grid.set_defaults(
        run=run,
        checkpoint=False,
        coverage=PROMISED,
        within=None,
        shuffle_labels=None,
        teacher=None,
        unlabelled=None,
    )


def run(args: argparse.Namespace) -> None:
    """Fits what was asked for, or lists it.

    Raises:
        DataError: if a corpus or an option cannot be used, or, at the end, if a fit failed.
    """
    accelerator = accelerator_of(args)
    if accelerator.num_processes > 1:
        raise DataError("A grid has its own processes: use --jobs, without accelerate launch.")
    args.seeds = list(dict.fromkeys(args.seeds))
    corpora = [find(args, name, accelerator) for name in dict.fromkeys(args.datasets)]
    todo = cells((place for corpus in corpora for place in corpus.places), args.seeds)
    if args.dry_run:
        show(args, todo, corpora)
        return
    outcomes = fit_all(args, todo, corpora, accelerator)
    if failed := [outcome for outcome in outcomes if outcome.state == "failed"]:
        lines = [f"{len(failed)} of {len(todo)} fits failed; the same command tries them again:"]
        raise DataError("\n".join([*lines, *(f"{one.cell}: {one.sentence}" for one in failed)]))


@dataclass(frozen=True)
class Asked:
    """A dataset of the grid: the names of its results, and what is fitted on it."""

    dataset: str
    names: tuple[str, ...]
    places: tuple[Place, ...]


def find(args: argparse.Namespace, dataset: str, accelerator: Accelerator) -> Asked:
    """Reads a corpus for every front end that will hear it, so that no fit has to decode it.

    Raises:
        DataError: if there is no such corpus, or the options do not suit a system.
    """
    args = argparse.Namespace(**{**vars(args), "dataset": dataset})
    systems = systems_of(args)
    presets = {str(preparation(p.front_end)): p for p in (settle(args, s)[0] for s in systems)}
    read = [recordings(args, dataset, preset, accelerator)[0] for preset in presets.values()]
    if has_test_part(read[0].clips.items):
        print(f"{dataset}: cross-validated over everything; 'fit' can take its own test part.")
    data, _ = with_folds(read[0], "baby", args.folds)
    items = data.clips.labelled().items
    protocols = tuple(dict.fromkeys(args.protocols))
    same = alike(items, protocols, args.folds, args.seeds)
    for protocol, first in same.items():
        print(f"{dataset}: {protocol} splits it as {first} does; it is fitted as {first} alone.")
    kept = [protocol for protocol in protocols if protocol not in same]
    names = names_of(dataset)
    return Asked(
        dataset,
        names if len(names) > 1 else (read[0].corpus.name,),
        tuple((dataset, protocol, system) for protocol in kept for system in systems),
    )


def show(args: argparse.Namespace, todo: Sequence[Cell], corpora: Sequence[Asked]) -> None:
    """A line for each cell, with how far it has come by the files alone."""
    done = 0
    for cell in todo:
        states = states_of(args, cell, corpora)
        done += states == {"done"}
        print(f"{cell}: {', '.join(sorted(states))}")
    print(f"{len(todo)} fits of {args.folds} folds, {done} of them done.")


def folders_of(args: argparse.Namespace, cell: Cell, corpora: Sequence[Asked]) -> list[Path]:
    """Where the results of a cell go; the last one is that of what is shipped."""
    names = next(corpus.names for corpus in corpora if corpus.dataset == cell.dataset)
    return [args.out / "results" / name / cell.protocol / cell.system for name in names]


def states_of(args: argparse.Namespace, cell: Cell, corpora: Sequence[Asked]) -> set[str]:
    """How far a cell has come in each of its folders, by the files alone."""
    preset, settings = settle(options_of(args, cell), cell.system)
    asked = {"folds": args.folds, "settings": dict(settings), "preset": asdict(preset)}
    folders = folders_of(args, cell, corpora)
    try:
        return {state(folder, cell.seed, args.folds, asked) for folder in folders}
    except DataError as error:  # the other cells may be well
        return {str(error)}


def fit_all(
    args: argparse.Namespace,
    todo: Sequence[Cell],
    corpora: Sequence[Asked],
    accelerator: Accelerator,
) -> list[Outcome]:
    """Fits the cells, each in a process; says when each begins and how it ended.

    They begin in their order, as far as none runs that shares a results folder.
    """
    number = {cell: f"[{i}/{len(todo)}]" for i, cell in enumerate(todo, 1)}
    threads = max(1, cores() // args.jobs) if args.jobs > 1 else None
    waiting, outcomes = list(todo), []
    running: dict[Future[Outcome], Child] = {}

    def ended(outcome: Outcome) -> None:
        print(f"{number[outcome.cell]} {outcome}", flush=True)
        outcomes.append(outcome)

    with ThreadPoolExecutor(args.jobs) as pool:
        try:
            while waiting or running:
                while len(running) < args.jobs and (cell := next_of(waiting, running.values())):
                    waiting.remove(cell)
                    done = states_of(args, cell, corpora) == {"done"}
                    if done and (outcome := was_there(args, cell, accelerator)) is not None:
                        ended(outcome)
                        continue
                    print(f"{number[cell]} {cell} ...", flush=True)
                    child = start(args, cell, folders_of(args, cell, corpora)[-1], threads)
                    running[pool.submit(child.follow)] = child
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    ended(future.result())
                    del running[future]
        finally:
            stop(running.values())
    return outcomes


def next_of(waiting: Iterable[Cell], running: Iterable[Child]) -> Cell | None:
    """The first cell whose results folder no running fit writes to."""
    taken = {child.cell.place for child in running}
    return next((cell for cell in waiting if cell.place not in taken), None)


def cores() -> int:
    """That this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
