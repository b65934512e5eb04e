"""One fitted fold: what it answers to what it has not heard, with each attention neutral."""

from __future__ import annotations

import numpy as np
import pandas as pd
from torch import nn

from cry_model.checkpoint import load_checkpoint
from train.attention_facts import piece_facts
from train.clips import Clips
from train.corpus import DataError
from train.fit import front_end_of
from train.fold import predict
from train.kept_cells import Kept
from train.neutral import averaging, neutralisations, neutralised
from train.predicting import TrainingFrontEnd
from train.results import probability_columns, read_predictions
from train.run import Run
from train.splits import split

TOLERANCE = 1e-4  # of a probability; both are of float32, and a CSV keeps six decimals
FITTED = "as fitted"


def look_at_fold(run: Run, kept: Kept) -> dict[str, pd.DataFrame]:
    """The tables of :func:`look_at` for what a kept fold has not heard, with seed and fold.

    Raises:
        CheckpointError: if the checkpoint cannot be loaded.
        DataError: if weights and predictions are not of the same run.
    """
    seed, fold, folder = kept
    model = load_checkpoint(folder)[0].to(run.accelerator.device)
    fold_of = split(run.units.items, run.protocol, run.folds, seed)
    tested = run.units.subset(np.flatnonzero(fold_of == fold))
    decimals = dict.fromkeys(probability_columns(run.labels), 6)
    tables = {  # rounded as the CSV is, so that ties, and with them the AUC, are those of the run
        name: rows.assign(seed=seed, fold=fold).round(decimals)
        for name, rows in look_at(model, front_end_of(run), tested, run.labels).items()
    }
    written = read_predictions(run.results_folder, run.labels)
    if not same(tables[FITTED], written, run.labels):
        raise DataError(
            f"Weights and predictions are not of the same run: '{folder}' answers otherwise than "
            f"{run.results_folder} says (on another --device it may); fit again with --keep-folds."
        )
    return tables


def look_at(
    model: nn.Module, front_end: TrainingFrontEnd, tested: Clips, labels: tuple[str, ...]
) -> dict[str, pd.DataFrame]:
    """What a fitted model answers to clips, with each attention neutral and as fitted.

    Args:
        model: in eval mode, with some attention.
        front_end: its own.
        tested: what it has not heard.
        labels: in the order of its logits.

    Returns:
        Name of the neutralisation, or :data:`FITTED` -> predictions per piece; beside those as
        fitted stand the columns of :func:`train.attention_facts.piece_facts`.
    """
    with averaging(model) as averages:
        fitted = predict(model, front_end, tested, labels)
    tables = {FITTED: pd.concat([fitted, piece_facts(model, front_end, tested)], axis=1)}
    for name in neutralisations(model):
        with neutralised(model, name, averages):
            tables[name] = predict(model, front_end, tested, labels)
    return tables


def same(found: pd.DataFrame, written: pd.DataFrame, labels: tuple[str, ...]) -> bool:
    """Whether ``predictions.csv`` has what was found for a fold, and nothing else of that fold."""
    keys, columns = ["seed", "fold", "clip"], probability_columns(labels)
    if not {*keys, *columns} <= set(written):
        return False
    seed, fold = found["seed"].iloc[0], found["fold"].iloc[0]
    rows = written[(written["seed"] == seed) & (written["fold"] == fold)]
    theirs, ours = (table.set_index(keys)[columns].sort_index() for table in (rows, found))
    if not theirs.index.equals(ours.index):
        return False
    return bool(np.abs(theirs.to_numpy() - ours.to_numpy()).max() <= TOLERANCE)
