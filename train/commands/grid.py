"""``python -m train grid``."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from operator import attrgetter

from accelerate import Accelerator

from cry_model.registry import ON_SPECTROGRAMS, list_models
from train.cache import preparation
from train.commands.cell import fit_cell, in_process, options_of
from train.commands.fit import add_how, add_where
from train.commands.options import HelpFormatter, add_cache, add_data_root, at_least
from train.commands.planning import accelerator_of, names_of, recordings, settle, systems_of
from train.conformal import PROMISED
from train.corpus import DataError
from train.datasets import DATASETS
from train.feature_tables import TABLES
from train.grid import Cell, Outcome, Place, alike, cells, state
from train.loading import with_folds
from train.pool import Work, run_all
from train.splits import FOLDS, PROTOCOLS, has_test_part

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
        names = {corpus.dataset: corpus.names for corpus in corpora}
        show(args, todo, names)
        return
    outcomes = fit_all(args, todo, accelerator)
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


def show(
    args: argparse.Namespace, todo: Sequence[Cell], names: Mapping[str, tuple[str, ...]]
) -> None:
    """A line for each cell, with how far it has come by the files alone."""
    done = 0
    for cell in todo:
        preset, settings = settle(options_of(args, cell), cell.system)
        asked = {"folds": args.folds, "settings": dict(settings), "preset": asdict(preset)}
        folders = [
            args.out / "results" / name / cell.protocol / cell.system
            for name in names[cell.dataset]
        ]
        try:
            states = {state(folder, cell.seed, args.folds, asked) for folder in folders}
        except DataError as error:  # the other cells may be well
            states = {str(error)}
        done += states == {"done"}
        print(f"{cell}: {', '.join(sorted(states))}")
    print(f"{len(todo)} fits of {args.folds} folds, {done} of them done.")


def fit_all(
    args: argparse.Namespace, todo: Sequence[Cell], accelerator: Accelerator
) -> list[Outcome]:
    """Fits the cells, here or in processes; says when each begins and how it ended."""
    number = {cell: f"[{i}/{len(todo)}]" for i, cell in enumerate(todo, 1)}

    def begun(cell: Cell) -> None:
        print(f"{number[cell]} {cell} ...", flush=True)

    def ended(outcome: Outcome) -> None:
        print(f"{number[outcome.cell]} {outcome}", flush=True)

    if args.jobs == 1:
        outcomes = []
        for cell in todo:
            begun(cell)
            outcomes.append(fit_cell(args, accelerator, cell))
            ended(outcomes[-1])
        return outcomes
    threads = max(1, cores() // args.jobs)
    start = partial(in_process, args, threads)
    work = Work(start, attrgetter("place"), begun, lost, ended)
    return run_all(todo, args.jobs, threads, work)


def lost(cell: Cell, status: int) -> Outcome:
    """What becomes of a cell whose process was killed."""
    how = f"was ended by signal {-status}" if status < 0 else f"ended with status {status}"
    return Outcome(cell, "failed", sentence=f"Its process {how}; the memory may be too small.")


def cores() -> int:
    """That this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
