"""Run ``python -m train grid``: many fits as a list of cells, each in its own process."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
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
"""Exit status of a fit whose folder is locked by another command (EX_TEMPFAIL)."""
PATIENCE = 30.0  # seconds from an interrupt until a fit is killed
Place = tuple[str, str, str]
"""Dataset, protocol and system, which identify a results folder."""
Where = Sequence[tuple[Path, Mapping[str, Any]]]
"""Results folders of a place, the last one that of the checkpoint, and requested configurations."""


class GridFit(NamedTuple):
    """All folds of a system under one seed; all seeds of a place share a results folder."""

    dataset: str
    protocol: str
    system: str
    seed: int

    def __str__(self) -> str:
        return f"{self.dataset}, {self.protocol}, {self.system}, seed {self.seed}"


@dataclass(frozen=True, kw_only=True)
class GridOptions(FittingOptions):
    """Cross-validate many systems on many corpora under many protocols, one seed after the other.

    With --jobs, several fits run at once. What is already in --out is not trained again, and a
    failed fit does not stop the others.
    """

    datasets: Annotated[list[str], what(f"{WITH_TABLES}; or prepared files", parser=EVERY)]
    protocols: Protocols = tuple(PROTOCOLS)
    system: Systems = tuple(ON_SPECTROGRAMS)
    folds: Annotated[int, what("of the cross-validation", min=2)] = FOLDS
    seeds: Seeds = (0,)
    checkpoint: Checkpoint = False
    jobs: Annotated[int, where_to("fits at once", min=1, max=4 * cores())] = 1
    dry_run: Annotated[bool, where_to("only list the fits and which are done", "--dry-run")] = False

    def fit_options(self, dataset: str, **changes: object) -> FitOptions:
        """Return the options of a fit on a corpus: those that both commands share, plus changes."""
        own = vars(self)
        same = {one.name: own[one.name] for one in fields(FitOptions) if one.name in own}
        return FitOptions(**{**same, "dataset": dataset, **changes})

    def options_of(self, cell: GridFit) -> FitOptions:
        """Return the options of the fit of one cell.

        A checkpoint is trained with the first seed but has the scores of all seeds. So it is made
        with the last one, when the results of the others exist.
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
    """Return the arguments of the ``fit`` command with these options."""
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
    """Map each redundant protocol to an earlier one with the same splits under every seed.

    ``clip`` splits parts of items, so it never equals another. A protocol that cannot split the
    items is kept: its fit reports the reason.
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
    """Return the progress of a system under one seed: "done", "to do", "3 of 5 folds", "other
    settings" if the folder's run.json contradicts ``configuration``, or why a file is unusable."""
    try:
        record, table = results.existing_record(folder), results.existing_predictions(folder)
    except DataError as error:  # must not stop the other cells
        return str(error)
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
    """Format the per-recording balanced accuracy under one seed, or the error if unreadable."""
    try:
        with results.trusting(folder / RUN):
            labels = results.existing_record(folder)["labels"]
        table = results.existing_predictions(folder, labels)
    except DataError as error:
        return str(error)
    rows = recording_means(table[table["seed"] == seed], labels)
    truth, probabilities = label_numbers(rows, labels), probabilities_of(rows, labels)
    return f"balanced accuracy {balanced_accuracy(truth, probabilities):.3f}"


def run(options: GridOptions) -> None:
    """Run or list the requested fits; raise DataError if options are invalid or a fit failed."""
    accelerator = make_device(options)
    if accelerator.num_processes > 1:
        raise DataError("A grid starts its own processes: use --jobs, not accelerate launch.")
    options = replace(options, seeds=tuple(dict.fromkeys(options.seeds)))
    places: dict[Place, Where] = {}
    for dataset in dict.fromkeys(options.datasets):
        places |= find(options, dataset, accelerator)
    # All places under the first seed, then under the next, so that each soon has a first result.
    todo = {
        GridFit(*place, seed): where for seed in options.seeds for place, where in places.items()
    }
    if options.dry_run:
        done = 0
        for cell, where in todo.items():
            there = {state(at, cell.seed, options.folds, asked) for at, asked in where}
            done += there == {"done"}
            print(f"{cell}: {', '.join(sorted(there))}")
        print(f"{len(todo)} fits of {options.folds} folds, {done} of them done.")
        return
    if failed := asyncio.run(fit_all(options, todo)):
        lines = [f"{len(failed)} of {len(todo)} fits failed; the same command tries them again:"]
        raise DataError("\n".join([*lines, *(f"{cell}: {why}" for cell, why in failed.items())]))


def find(options: GridOptions, dataset: str, accelerator: Accelerator) -> dict[Place, Where]:
    """Plan the fits on a corpus and prepare it for every front end, so that no fit decodes it;
    raise DataError if there is no corpus, or if the options are invalid for a system."""
    fitting = options.fit_options(dataset)
    systems = systems_of(fitting)
    check(fitting, systems)
    data, _ = recordings(fitting, dataset, resolve(fitting, systems[0])[0], accelerator)
    if has_test_part(data.clips.items):
        print(f"{dataset}: cross-validated over all recordings; 'fit' can use its test part.")
    items = with_folds(data, "baby", options.folds)[0].clips.labelled().items
    protocols = tuple(dict.fromkeys(options.protocols))
    same = alike(items, protocols, options.folds, options.seeds)
    for protocol, first in same.items():
        print(f"{dataset}: {protocol} has the same splits as {first}; only {first} is fitted.")
    found: dict[Place, Where] = {}
    for protocol in (name for name in protocols if name not in same):
        one = replace(fitting, protocol=protocol)
        for system in systems:
            try:
                runs = [
                    (run.results_folder, run.experiment.configuration())
                    for run in plan(one, system, accelerator)
                ]
            except (CheckpointError, DataError):  # the fit will report the error
                cell = results.Cell(options.out, data.corpus.name, protocol, system)
                runs = [(cell.results_folder, {"system": None})]
            found[dataset, protocol, system] = runs
    return found


async def fit_all(options: GridOptions, todo: Mapping[GridFit, Where]) -> dict[GridFit, str]:
    """Fit each cell in its own process, and report its start and end; return why some failed.
    Cells start in order, but those that share a results folder run one at a time."""
    number = {cell: f"[{i}/{len(todo)}] {cell}" for i, cell in enumerate(todo, 1)}
    places = {cell[:3]: asyncio.Lock() for cell in todo}
    jobs, failed = asyncio.Semaphore(options.jobs), {}

    async def fit(cell: GridFit) -> None:
        async with places[cell[:3]], jobs:
            folder = todo[cell][-1][0]
            states = (state(at, cell.seed, options.folds, asked) for at, asked in todo[cell])
            done = all(one == "done" for one in states)
            if done and not options.options_of(cell).checkpoint:
                print(f"{number[cell]}: already done, {told(folder, cell.seed)}", flush=True)
                return
            print(f"{number[cell]} ...", flush=True)
            has_failed, sentence = await fit_in_process(options, cell, folder)
            print(f"{number[cell]}: {sentence}", flush=True)
            if has_failed:
                failed[cell] = sentence

    tasks = [asyncio.create_task(fit(cell)) for cell in todo]
    ended, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
    for task in ended:
        task.result()  # re-raises an error of the grid itself; the loop's end cancels the others
    return failed


async def fit_in_process(options: GridOptions, cell: GridFit, folder: Path) -> tuple[bool, str]:
    """Fit a cell, with results in ``folder``, in a subprocess, and forward its stderr.

    Return whether it failed, and a sentence. Parallel jobs share cores and have no progress bar.
    """
    env, said, started = dict(os.environ), b"", time.perf_counter()
    if options.jobs > 1:
        threads = str(max(1, cores() // options.jobs))
        env |= {"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads, "TQDM_DISABLE": "1"}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "train", *words_of(options.options_of(cell))),
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,  # run.json has the same information
        stderr=subprocess.PIPE,
        start_new_session=True,  # Ctrl-C must reach the grid only, which then interrupts the fit
    )
    try:
        while chunk := await process.stderr.read(2**16):
            said += chunk
            sys.stderr.write(chunk.decode(errors="replace"))
            sys.stderr.flush()
        status = await process.wait()
    finally:
        if process.returncode is None:  # Ctrl-C: interrupt the fit, and kill it after PATIENCE
            process.send_signal(signal.SIGINT)
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(process.wait(), PATIENCE)
        if process.returncode is None:
            process.kill()
            await process.wait()
    if status == 0:
        return False, f"{time.perf_counter() - started:.0f} s, {told(folder, cell.seed)}"
    if status == BUSY:
        return False, "skipped, another command is fitting it"
    if status < 0:
        return True, f"Killed by signal {-status}; it may have run out of memory."
    *_, sentence = ["", *filter(str.strip, said.decode(errors="replace").splitlines())]
    return True, sentence
