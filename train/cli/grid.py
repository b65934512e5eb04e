"""``python -m train grid``: many fits as a list of cells, each in a process of its own."""

import contextlib
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
from typing import Annotated, Any, NamedTuple

import numpy as np
from accelerate import Accelerator

from cry_model.checkpoint import CheckpointError
from cry_model.many.answering import cores
from cry_model.metrics import balanced_accuracy
from cry_model.networks.registry import ON_SPECTROGRAMS
from cry_model.results import RUN, label_numbers, probabilities_of, recording_means
from train.cli.options import (
    EVERY,
    WITH_TABLES,
    Checkpoint,
    FitOptions,
    FittingOptions,
    Protocols,
    Seeds,
    Systems,
    spelling,
    what,
    where_to,
)
from train.cli.plan import check, make_device, plan, recordings, resolve, systems_of
from train.data.cache import with_folds
from train.data.corpus import DataError, Item
from train.data.splits import FOLDS, PROTOCOLS, has_test_part, split
from train.scoring import results

BUSY = 75
"""Exit status of a fit whose folder another command writes to (EX_TEMPFAIL)."""
PATIENCE = 30.0  # seconds for fits that are asked to end, before they are made to
Place = tuple[str, str, str]
"""Dataset, protocol and system, which share a results folder."""
Where = Sequence[tuple[Path, Mapping[str, Any]]]
"""The results folders of a place, the last one that of the checkpoint, and what was asked for."""


class Cell(NamedTuple):
    """All folds of a system under one seed; two with the same place share a results folder."""

    dataset: str
    protocol: str
    system: str
    seed: int

    def __str__(self) -> str:
        return f"{self.dataset}, {self.protocol}, {self.system}, seed {self.seed}"


@dataclass(frozen=True, kw_only=True)
class GridOptions(FittingOptions):
    """Cross-validate many systems on many corpora under many protocols, one seed after the other.

    Several fits run at once if the machine is large enough. What is already in --out is not fitted
    again, and what fails does not stop the rest.
    """

    datasets: Annotated[list[str], what(f"of {WITH_TABLES}; or prepared files", parser=EVERY)]
    protocols: Protocols = tuple(PROTOCOLS)
    system: Systems = tuple(ON_SPECTROGRAMS)
    folds: Annotated[int, what("of the cross-validation", min=2)] = FOLDS
    seeds: Seeds = (0,)
    checkpoint: Checkpoint = False
    jobs: Annotated[int, where_to("fits at once", min=1, max=4 * cores())] = 1
    dry_run: Annotated[bool, where_to("only list the fits and which are done", "--dry-run")] = False

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
    asked = results.as_json(configuration)
    if any(record["configuration"].get(name) != value for name, value in asked.items()):
        return "other settings"
    there = table.loc[table["seed"] == seed, "fold"].nunique()
    if there == folds and seed in record.get("seeds", []):
        return "done"
    return f"{there} of {folds} folds" if there else "to do"


def told(folder: Path, seed: int) -> str:
    """Say the balanced accuracy of the recordings under one seed, if there is a result."""
    try:
        with results.trusting(folder / RUN):
            labels = results.read_run(folder)["labels"]
        table = results.read_predictions(folder, labels)
    except DataError as error:
        return str(error)
    rows = recording_means(table[table["seed"] == seed], labels)
    truth, probabilities = label_numbers(rows, labels), probabilities_of(rows, labels)
    return f"balanced accuracy {balanced_accuracy(truth, probabilities, np.ones(len(rows))):.3f}"


@dataclass(frozen=True)
class Child:
    """The fit of a cell in its process."""

    cell: Cell
    folder: Path  # where its results go
    process: subprocess.Popen[bytes]  # with a pipe from its standard error
    silent: Event = field(default_factory=Event)  # set when nobody reads any more what it says
    started: float = field(default_factory=time.perf_counter)

    def follow(self) -> tuple[bool, str]:
        """Pass on what the fit says until it ends; return whether it failed, and a sentence."""
        said = b""
        while chunk := self.process.stderr.read1():
            said += chunk
            if not self.silent.is_set():
                sys.stderr.write(chunk.decode(errors="replace"))
                sys.stderr.flush()
        status, seconds = self.process.wait(), time.perf_counter() - self.started
        if status == 0:
            return False, f"{seconds:.0f} s, {told(self.folder, self.cell.seed)}"
        if status == BUSY:
            return False, "skipped, another command is fitting it"
        if status < 0:
            return True, f"Its process was ended by signal {-status}; the memory may be too small."
        *_, sentence = ["", *filter(str.strip, said.decode(errors="replace").splitlines())]
        return True, sentence


def start(options: GridOptions, cell: Cell, folder: Path, threads: int | None) -> Child:
    """Begin the fit of a cell with so many threads and no progress bar; None for all, with one."""
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
    """Fit or list what was asked for; raise DataError if that cannot be, or if a fit failed."""
    accelerator = make_device(options)
    if accelerator.num_processes > 1:
        raise DataError("A grid has its own processes: use --jobs, without accelerate launch.")
    options = replace(options, seeds=tuple(dict.fromkeys(options.seeds)))
    places: dict[Place, Where] = {}
    for dataset in dict.fromkeys(options.datasets):
        places |= find(options, dataset, accelerator)
    # All places under the first seed, then under the next: early on, each has one number.
    todo = {Cell(*place, seed): where for seed in options.seeds for place, where in places.items()}
    states = {cell: states_of(options, cell, where) for cell, where in todo.items()}
    if options.dry_run:
        for cell, there in states.items():
            print(f"{cell}: {', '.join(sorted(there))}")
        done = list(states.values()).count({"done"})
        print(f"{len(todo)} fits of {options.folds} folds, {done} of them done.")
        return
    if failed := fit_all(options, todo):
        lines = [f"{len(failed)} of {len(todo)} fits failed; the same command tries them again:"]
        raise DataError("\n".join([*lines, *(f"{cell}: {why}" for cell, why in failed.items())]))


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
                cell = results.Cell(options.out, data.corpus.name, protocol, system)
                runs = [(cell.results_folder, {"system": None})]
            found[dataset, protocol, system] = runs
    return found


def states_of(options: GridOptions, cell: Cell, where: Where) -> set[str]:
    """Return how far a cell has come in each of its folders."""
    try:
        return {state(folder, cell.seed, options.folds, asked) for folder, asked in where}
    except DataError as error:  # the other cells may be well
        return {str(error)}


def fit_all(options: GridOptions, todo: Mapping[Cell, Where]) -> dict[Cell, str]:
    """Fit the cells, each in a process; say when each begins and how it ended; return why some
    failed. They begin in their order, as far as none runs that shares a results folder."""
    number = {cell: f"[{i}/{len(todo)}] {cell}" for i, cell in enumerate(todo, 1)}
    threads = max(1, cores() // options.jobs) if options.jobs > 1 else None
    waiting, failed = list(todo), {}
    running: dict[Future[tuple[bool, str]], Child] = {}
    with ThreadPoolExecutor(options.jobs) as pool:
        try:
            while waiting or running:
                while len(running) < options.jobs and (cell := next_of(waiting, running.values())):
                    waiting.remove(cell)
                    folder = todo[cell][-1][0]
                    done = states_of(options, cell, todo[cell]) == {"done"}
                    if done and not options.options_of(cell).checkpoint:
                        print(f"{number[cell]}: was there, {told(folder, cell.seed)}", flush=True)
                        continue
                    print(f"{number[cell]} ...", flush=True)
                    child = start(options, cell, folder, threads)
                    running[pool.submit(child.follow)] = child
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    cell, (has_failed, sentence) = running.pop(future).cell, future.result()
                    print(f"{number[cell]}: {sentence}", flush=True)
                    if has_failed:
                        failed[cell] = sentence
        finally:
            stop(running.values())
    return failed


def next_of(waiting: Iterable[Cell], running: Iterable[Child]) -> Cell | None:
    """Return the first cell whose results folder no running fit writes to."""
    taken = {child.cell[:3] for child in running}
    return next((cell for cell in waiting if cell[:3] not in taken), None)
