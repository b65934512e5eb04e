"""``python -m train grid``."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from threading import Event
from typing import Annotated

from accelerate import Accelerator

from cry_model.checkpoint import CheckpointError
from cry_model.registry import ON_SPECTROGRAMS
from train.cli.fit import check, make_device, names_of, plan, recordings, resolve, systems_of
from train.cli.options import (
    WITH_TABLES,
    Checkpoint,
    FitOptions,
    FittingOptions,
    Protocols,
    Seeds,
    Systems,
    one_of,
    spelling,
    what,
    where_to,
    whole_number,
)
from train.data.cache import with_folds
from train.data.clips import preparation
from train.data.corpus import DataError
from train.data.datasets import DATASETS
from train.data.feature_tables import TABLES
from train.data.splits import FOLDS, PROTOCOLS, has_test_part
from train.studies.grid import Cell, Outcome, Place, alike, cells, score, state

BUSY = 75
"""Exit status of a fit whose folder another command writes to (EX_TEMPFAIL)."""
PATIENCE = 30.0  # seconds for fits that are asked to end, before they are made to


def cores() -> int:
    """Count the cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@dataclass(frozen=True, kw_only=True)
class GridOptions(FittingOptions):
    """Cross-validate many systems on many corpora under many protocols, one seed after the other.

    Several fits run at once if the machine is large enough. What is already in --out is not fitted
    again, and what fails does not stop the rest.
    """

    datasets: Annotated[
        list[str],
        what(
            f"of {WITH_TABLES}; or files that 'prepare' wrote",
            parser=one_of((*DATASETS, *TABLES), or_file=True),
        ),
    ]
    protocols: Protocols = tuple(PROTOCOLS)
    system: Systems = tuple(ON_SPECTROGRAMS)
    folds: Annotated[int, what("of the cross-validation", parser=whole_number(2))] = FOLDS
    seeds: Seeds = (0,)
    checkpoint: Checkpoint = False
    jobs: Annotated[
        int,
        where_to(
            "fits at once: they share the GPU, or each takes its part of the cores",
            parser=whole_number(1, 4 * cores()),
        ),
    ] = 1
    dry_run: Annotated[
        bool, where_to("list the fits and which are done, and fit nothing", "--dry-run")
    ] = False

    def fit_options(self, dataset: str, **changes: object) -> FitOptions:
        """Return the options of a fit on a corpus: those that both commands have, and changes."""
        own = {one.name: getattr(self, one.name) for one in fields(self)}
        same = {one.name: own[one.name] for one in fields(FitOptions) if one.name in own}
        return FitOptions(**{**same, "dataset": dataset, **changes})

    def options_of(self, cell: Cell) -> FitOptions:
        """Return the options of the fit of one cell.

        A checkpoint is fitted with the first seed and carries the numbers of all: it comes with
        the last, to which the others are there already.
        """
        last = self.checkpoint and cell.seed == self.seeds[-1]
        return self.fit_options(
            cell.dataset,
            protocol=cell.protocol,
            system=(cell.system,),
            seeds=self.seeds if last else (cell.seed,),
            checkpoint=last,
        )


def words_of(options: FitOptions) -> list[str]:
    """Return the command line of ``fit`` that has these options."""
    words = ["fit"]
    for one in fields(options):
        value, name = getattr(options, one.name), spelling(one.name)
        if value == one.default:
            continue
        if isinstance(value, bool):
            words.append(name if value else f"--no-{name[2:]}")
        else:
            words += [name, *map(str, value if isinstance(value, tuple) else [value])]
    return words


def was_there(options: GridOptions, cell: Cell, accelerator: Accelerator) -> Outcome | None:
    """Return the outcome of a cell that needs no fit; None if it does, or cannot be told."""
    one = options.options_of(cell)
    if one.checkpoint:
        return None
    try:
        for run in plan(one, cell.system, accelerator):
            folder, experiment = run.results_folder, run.experiment
            if state(folder, cell.seed, experiment.folds, experiment.configuration()) != "done":
                return None
        return Outcome(cell, "there", score=score(folder, cell.seed))
    except (CheckpointError, DataError, OSError):  # the fit says what is wrong
        return None


@dataclass(frozen=True)
class Child:
    """Hold the fit of a cell in its process."""

    cell: Cell  # which
    folder: Path  # where its results go
    process: subprocess.Popen[bytes]  # with a pipe from its standard error
    # set when nobody needs to read any more what it says
    silent: Event = field(default_factory=Event)
    started: float = field(default_factory=time.perf_counter)  # when, by ``time.perf_counter``

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


def start(options: GridOptions, cell: Cell, folder: Path, threads: int | None) -> Child:
    """Begin the fit of a cell with so many threads, beside other fits and without a progress bar;
    None for all, with one."""
    env = dict(os.environ)
    if threads is not None:
        env |= {"OMP_NUM_THREADS": f"{threads}", "MKL_NUM_THREADS": f"{threads}"}
        env |= {"TQDM_DISABLE": "1"}
    process = subprocess.Popen(
        [sys.executable, "-m", "train", *words_of(options.options_of(cell))],
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


def run(options: GridOptions) -> None:
    """Fit what was asked for, or list it; raise DataError if a corpus or an option cannot be used,
    or, at the end, if a fit failed."""
    accelerator = make_device(options)
    if accelerator.num_processes > 1:
        raise DataError("A grid has its own processes: use --jobs, without accelerate launch.")
    options = replace(options, seeds=tuple(dict.fromkeys(options.seeds)))
    names, places = {}, []
    for dataset in dict.fromkeys(options.datasets):
        names[dataset], there = find(options, dataset, accelerator)
        places += there
    todo = {cell: folders(options, cell, names) for cell in cells(places, options.seeds)}
    if options.dry_run:
        states = {cell: states_of(options, cell, where) for cell, where in todo.items()}
        for cell, there in states.items():
            print(f"{cell}: {', '.join(sorted(there))}")
        done = list(states.values()).count({"done"})
        print(f"{len(todo)} fits of {options.folds} folds, {done} of them done.")
        return
    outcomes = fit_all(options, todo, accelerator)
    if failed := [outcome for outcome in outcomes if outcome.state == "failed"]:
        lines = [f"{len(failed)} of {len(todo)} fits failed; the same command tries them again:"]
        raise DataError("\n".join([*lines, *(f"{one.cell}: {one.sentence}" for one in failed)]))


def find(
    options: GridOptions, dataset: str, accelerator: Accelerator
) -> tuple[tuple[str, ...], list[Place]]:
    """Read a corpus for every front end that will hear it, so that no fit has to decode it; return
    the names of its results, and what is fitted on it. Raise DataError if there is no such corpus,
    or the options do not suit a system."""
    fitting = options.fit_options(dataset)
    systems = systems_of(fitting)
    check(fitting, systems)
    presets = {str(preparation(p.front_end)): p for p in (resolve(fitting, s)[0] for s in systems)}
    read = [recordings(fitting, dataset, preset, accelerator)[0] for preset in presets.values()]
    if has_test_part(read[0].clips.items):
        print(f"{dataset}: cross-validated over everything; 'fit' can take its own test part.")
    data, _ = with_folds(read[0], "baby", options.folds)
    items = data.clips.labelled().items
    protocols = tuple(dict.fromkeys(options.protocols))
    same = alike(items, protocols, options.folds, options.seeds)
    for protocol, first in same.items():
        print(f"{dataset}: {protocol} splits it as {first} does; it is fitted as {first} alone.")
    names = names_of(dataset)
    names = names if len(names) > 1 else (read[0].corpus.name,)
    kept = [protocol for protocol in protocols if protocol not in same]
    return names, [(dataset, protocol, system) for protocol in kept for system in systems]


def folders(options: GridOptions, cell: Cell, names: Mapping[str, Iterable[str]]) -> list[Path]:
    """Return where the results of a cell go; the last one is that of the checkpoint."""
    results = options.out / "results"
    return [results / name / cell.protocol / cell.system for name in names[cell.dataset]]


def states_of(options: GridOptions, cell: Cell, where: Iterable[Path]) -> set[str]:
    """Return how far a cell has come in each of its folders, by the files alone."""
    preset, settings = resolve(options.options_of(cell), cell.system)
    asked = {"folds": options.folds, "settings": dict(settings), "preset": asdict(preset)}
    try:
        return {state(folder, cell.seed, options.folds, asked) for folder in where}
    except DataError as error:  # the other cells may be well
        return {str(error)}


def fit_all(
    options: GridOptions, todo: Mapping[Cell, Sequence[Path]], accelerator: Accelerator
) -> list[Outcome]:
    """Fit the cells, each in a process; say when each begins and how it ended.

    They begin in their order, as far as none runs that shares a results folder.
    """
    number = {cell: f"[{i}/{len(todo)}]" for i, cell in enumerate(todo, 1)}
    threads = max(1, cores() // options.jobs) if options.jobs > 1 else None
    waiting, outcomes = list(todo), []
    running: dict[Future[Outcome], Child] = {}

    def ended(outcome: Outcome) -> None:
        print(f"{number[outcome.cell]} {outcome}", flush=True)
        outcomes.append(outcome)

    with ThreadPoolExecutor(options.jobs) as pool:
        try:
            while waiting or running:
                while len(running) < options.jobs and (cell := next_of(waiting, running.values())):
                    waiting.remove(cell)
                    done = states_of(options, cell, todo[cell]) == {"done"}
                    if done and (outcome := was_there(options, cell, accelerator)) is not None:
                        ended(outcome)
                        continue
                    print(f"{number[cell]} {cell} ...", flush=True)
                    child = start(options, cell, todo[cell][-1], threads)
                    running[pool.submit(child.follow)] = child
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    ended(future.result())
                    del running[future]
        finally:
            stop(running.values())
    return outcomes


def next_of(waiting: Iterable[Cell], running: Iterable[Child]) -> Cell | None:
    """Return the first cell whose results folder no running fit writes to."""
    taken = {child.cell.place for child in running}
    return next((cell for cell in waiting if cell.place not in taken), None)
