"""``python -m train grid``: many fits as a list of cells, each in a process of its own."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from threading import Event
from typing import Annotated, Any

import numpy as np
from accelerate import Accelerator

from cry_model.checkpoint import CheckpointError
from cry_model.metrics import balanced_accuracy
from cry_model.registry import ON_SPECTROGRAMS
from cry_model.results import RUN, label_numbers, probabilities_of, recording_means
from train.cli.fit import check, make_device, plan, recordings, resolve, systems_of
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
from train.data.cache import DATASETS, with_folds
from train.data.corpus import DataError, Item
from train.data.datasets.challenge6 import TABLES
from train.data.splits import FOLDS, PROTOCOLS, has_test_part, split
from train.scoring import results

BUSY = 75
"""Exit status of a fit whose folder another command writes to (EX_TEMPFAIL)."""
PATIENCE = 30.0  # seconds for fits that are asked to end, before they are made to
Place = tuple[str, str, str]
"""Dataset, protocol and system, which share a results folder."""
Where = Sequence[tuple[Path, Mapping[str, Any]]]
"""The results folders of a place, the last one that of the checkpoint, and what was asked for."""


@dataclass(frozen=True)
class Cell:
    """All folds of a system under one seed."""

    dataset: str
    protocol: str
    system: str
    seed: int

    @property
    def place(self) -> Place:
        """What two cells that run at once must not have in common."""
        return self.dataset, self.protocol, self.system

    def __str__(self) -> str:
        return f"{self.dataset}, {self.protocol}, {self.system}, seed {self.seed}"


@dataclass(frozen=True)
class Outcome:
    """What became of a cell: "fitted" in so many seconds, "there", "busy", or "failed" and why."""

    cell: Cell
    state: str
    seconds: float = 0.0
    score: float | None = None  # balanced accuracy of the seed's recordings
    sentence: str = ""

    def __str__(self) -> str:
        how = {
            "fitted": f"{self.seconds:.0f} s, balanced accuracy {self.score or 0:.3f}",
            "there": f"was there, balanced accuracy {self.score or 0:.3f}",
            "busy": "skipped, another command is fitting it",
            "failed": f"failed after {self.seconds:.0f} s: {self.sentence}",
        }
        return f"{self.cell}: {how[self.state]}"


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


def alike(
    items: Sequence[Item], protocols: Sequence[str], folds: int, seeds: Sequence[int]
) -> Mapping[str, str]:
    """Protocol -> an earlier one that splits the items in the same way under every seed.

    ``clip`` splits parts of the items, so it is like no other. One that cannot split them at all is
    left to the fit, which says why.
    """
    found: dict[str, str] = {}
    known: dict[bytes, str] = {}
    for protocol in protocols:
        if protocol == "clip":
            continue
        try:
            tested = np.stack([split(items, protocol, folds, seed) for seed in seeds])
        except DataError:
            continue
        first = known.setdefault(tested.tobytes(), protocol)
        if first != protocol:
            found[protocol] = first
    return found


def state(folder: Path, seed: int, folds: int, configuration: Mapping[str, Any]) -> str:
    """Tell how far the results of a system have come under one seed: "done", "to do", "3 of 5
    folds", or "other settings" if the folder's run.json lacks what ``configuration`` says. Raise
    DataError if a file is damaged."""
    record, table = results.read_run(folder), results.read_predictions(folder)
    if table.empty or record is None:
        return "to do"
    asked = json.loads(json.dumps(configuration))  # tuples are lists there
    if any(record["configuration"].get(name) != value for name, value in asked.items()):
        return "other settings"
    there = table.loc[table["seed"] == seed, "fold"].nunique()
    if there == folds and seed in record.get("seeds", []):
        return "done"
    return f"{there} of {folds} folds" if there else "to do"


def score(folder: Path, seed: int) -> float:
    """Return the balanced accuracy of the recordings under one seed; raise DataError if the results
    are damaged."""
    with results.trusting(folder / RUN):
        labels = results.read_run(folder)["labels"]
    table = results.read_predictions(folder, labels)
    rows = recording_means(table[table["seed"] == seed], labels)
    probabilities = probabilities_of(rows, labels)
    return balanced_accuracy(label_numbers(rows, labels), probabilities, np.ones(len(rows)))


@dataclass(frozen=True)
class Child:
    """The fit of a cell in its process."""

    cell: Cell
    folder: Path  # where its results go
    process: subprocess.Popen[bytes]  # with a pipe from its standard error
    silent: Event = field(default_factory=Event)  # set when nobody reads any more what it says
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
    places: dict[Place, Where] = {}
    for dataset in dict.fromkeys(options.datasets):
        places |= find(options, dataset, accelerator)
    # All places under the first seed, then under the next: early on, each has one number.
    todo = {Cell(*place, seed): place for seed in options.seeds for place in places}
    states = {cell: states_of(options, cell, places[place]) for cell, place in todo.items()}
    if options.dry_run:
        for cell, there in states.items():
            print(f"{cell}: {', '.join(sorted(there))}")
        done = list(states.values()).count({"done"})
        print(f"{len(todo)} fits of {options.folds} folds, {done} of them done.")
        return
    outcomes = fit_all(options, {cell: places[place] for cell, place in todo.items()})
    if failed := [outcome for outcome in outcomes if outcome.state == "failed"]:
        lines = [f"{len(failed)} of {len(todo)} fits failed; the same command tries them again:"]
        raise DataError("\n".join([*lines, *(f"{one.cell}: {one.sentence}" for one in failed)]))


def find(options: GridOptions, dataset: str, accelerator: Accelerator) -> dict[Place, Where]:
    """Plan the fits on a corpus, and prepare it for every front end that will hear it, so that no
    fit has to decode it; raise DataError if there is none, or the options do not suit a system."""
    fitting = options.fit_options(dataset)
    systems = systems_of(fitting)
    check(fitting, systems)
    data, _ = recordings(fitting, dataset, resolve(fitting, systems[0])[0], accelerator)
    if has_test_part(data.clips.items):
        print(f"{dataset}: cross-validated over everything; 'fit' can take its own test part.")
    items = with_folds(data, "baby", options.folds)[0].clips.labelled().items
    protocols = tuple(dict.fromkeys(options.protocols))
    same = alike(items, protocols, options.folds, options.seeds)
    for protocol, first in same.items():
        print(f"{dataset}: {protocol} splits it as {first} does; it is fitted as {first} alone.")
    found: dict[Place, Where] = {}
    for protocol in (name for name in protocols if name not in same):
        one = replace(fitting, protocol=protocol)
        for system in systems:
            try:
                runs = [
                    (run.results_folder, run.experiment.configuration())
                    for run in plan(one, system, accelerator)
                ]
            except (CheckpointError, DataError):  # the fit says what is wrong
                folder = options.out / "results" / data.corpus.name / protocol / system
                runs = [(folder, {"system": None})]
            found[dataset, protocol, system] = runs
    return found


def states_of(options: GridOptions, cell: Cell, where: Where) -> set[str]:
    """Return how far a cell has come in each of its folders."""
    try:
        return {state(folder, cell.seed, options.folds, asked) for folder, asked in where}
    except DataError as error:  # the other cells may be well
        return {str(error)}


def fit_all(options: GridOptions, todo: Mapping[Cell, Where]) -> list[Outcome]:
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
                    folder = todo[cell][-1][0]
                    done = states_of(options, cell, todo[cell]) == {"done"}
                    if done and not options.options_of(cell).checkpoint:
                        ended(Outcome(cell, "there", score=score(folder, cell.seed)))
                        continue
                    print(f"{number[cell]} {cell} ...", flush=True)
                    child = start(options, cell, folder, threads)
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
