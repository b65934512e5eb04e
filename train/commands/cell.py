"""One cell of ``python -m train grid``, fitted as ``python -m train fit`` does it."""

from __future__ import annotations

import argparse
import contextlib
import io
import time
import traceback
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import torch
from accelerate import Accelerator

from cry_model.checkpoint import CheckpointError
from train.commands.planning import accelerator_of, plan
from train.corpus import DataError
from train.fit import run_fit
from train.grid import Cell, Outcome, score, state
from train.predicting import TrainingError
from train.run import BusyError
from train.trouble import sentence


def in_process(args: argparse.Namespace, threads: int) -> Callable[[Cell], Outcome]:
    """What a process of the grid does with each cell; called once in it."""
    torch.set_num_threads(threads)
    return partial(fit_cell, args, accelerator_of(args))


def options_of(args: argparse.Namespace, cell: Cell) -> argparse.Namespace:
    """The options of ``fit`` for one cell.

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


def fit_cell(args: argparse.Namespace, accelerator: Accelerator, cell: Cell) -> Outcome:
    """Fits what of a cell is not there; whatever goes wrong is in what it returns."""
    started = time.perf_counter()
    failed = partial(Outcome, cell, "failed")
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # what 'fit' says is in run.json too
            outcome = fit_missing(options_of(args, cell), accelerator, cell)
    except BusyError:
        outcome = Outcome(cell, "busy")
    except (CheckpointError, DataError, TrainingError) as error:
        outcome = failed(sentence=str(error))
    except OSError as error:
        outcome = failed(sentence=sentence(error))
    except torch.cuda.OutOfMemoryError:
        outcome = failed(sentence="The GPU's memory is full; use fewer --jobs or a smaller batch.")
    except Exception as error:  # the other cells may be well
        traceback.print_exc()
        outcome = failed(sentence=f"{type(error).__name__}: {error}".splitlines()[0])
    accelerator.free_memory()
    return replace(outcome, seconds=time.perf_counter() - started)


def fit_missing(options: argparse.Namespace, accelerator: Accelerator, cell: Cell) -> Outcome:
    """Fits the cell, or finds that it is there."""
    runs = [replace(run, jobs=options.jobs) for run in plan(options, cell.system, accelerator)]
    there = not options.checkpoint and all(
        state(run.results_folder, cell.seed, run.folds, run.configuration()) == "done"
        for run in runs
    )
    if not there:
        for run in runs:
            run_fit(run)
    found = score(runs[-1].results_folder, runs[-1].labels, cell.seed)
    return Outcome(cell, "there" if there else "fitted", score=found)
