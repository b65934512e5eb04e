"""``python -m train attention``: do the gates look where cries begin, and does it matter?

On ``synthetic6`` the onsets are known. Each fold of the protocol ``baby`` is fitted as ``fit`` does
it, and the recordings that it holds out are looked at one by one. What speaks for a system was
fixed before it was measured: the mean of A_t over all blocks, so that no block is picked for its
number, and gradient x input where a system has no A_t. Beside both stands what fresh weights give
(Adebayo et al. 2018, "Sanity checks for saliency maps"): convolutions answer to edges untaught.
"""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd

from cry_model import FrontEnd
from train import results
from train.attention_rows import Check, Truth, check_fold
from train.attention_scores import AttentionScore, summarise
from train.devices import of_main
from train.fitting import train_model
from train.run import Run
from train.splits import split

FOLDER, TABLE = "attention", "attention.csv"
WORDS = ("recording", "group", "label")


def run_check(run: Run, truth: Truth, how: Check = Check()) -> AttentionScore:  # noqa: B008 (frozen)
    """Fits every fold, looks at what it holds out, and writes ``run.json`` and ``attention.csv``.

    Both are written after each fold; folds that are there are not fitted again.

    Raises:
        DataError: if the folder holds a check with other settings or data.
        TrainingError: if the loss is not a number.
    """
    folder, main, units = run.results_of(FOLDER), run.accelerator.is_main_process, run.units
    (seed,) = run.seeds
    front_end = FrontEnd(run.preset.front_end).to(run.accelerator.device)
    with run.alone(run.results_folder):  # a fit of the same folds keeps its state in the same place
        record = results.resume(folder, {**run.configuration(), "check": asdict(how)}, TABLE)
        table = results.read_predictions(folder, run.labels, TABLE, WORDS)
        run.accelerator.wait_for_everyone()  # all have read before one writes
        if main:
            results.write_run(folder, record)
        done = set() if table.empty else set(table["fold"])
        fold_of = split(units.items, run.protocol, run.folds, seed)
        for fold in range(run.folds):
            if fold not in done:
                started = time.perf_counter()
                learnt = units.subset(np.flatnonzero(fold_of != fold))
                tested = units.subset(np.flatnonzero(fold_of == fold))
                model = train_model(run, learnt, front_end, seed, fold)
                if main:
                    rows = check_fold(run, model, tested, truth, how, [seed, fold])
                    table = pd.concat([table, rows.assign(fold=fold, seed=seed)], ignore_index=True)
                    seconds = round(time.perf_counter() - started, 1)
                    record.setdefault("wall_seconds", {})[f"seed {seed}, fold {fold}"] = seconds
                    results.write_predictions(folder, table, TABLE)
                    results.write_run(folder, record)
                run.accelerator.wait_for_everyone()
            run.memory(seed, fold).forget()
        return of_main(run.accelerator, lambda: finish(run, record))


def finish(run: Run, record: dict[str, Any]) -> AttentionScore:
    """Computes everything from the table as it was written and completes ``run.json``."""
    folder = run.results_of(FOLDER)
    table = results.read_predictions(folder, run.labels, TABLE, WORDS)
    facts = {"dataset": run.name, "protocol": run.protocol, "folds": run.folds}
    scores = {"recording": results.score(table, run.labels, **facts)}
    with results.trusting(folder / TABLE):
        found = summarise(table)
    facts_of_run = {
        "labels": list(run.labels),
        "seeds": list(run.seeds),
        "environment": results.environment(run.accelerator),
        "left_out": run.data.clips.left_out,
        "attention": asdict(found),
    }
    results.write_run(folder, {**record, **facts_of_run}, scores)
    return found
