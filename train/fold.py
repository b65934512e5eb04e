"""One fold: fitted on what it learns from, tested on what it leaves out."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from torch import nn

from train import results
from train.clips import Clips, join
from train.fitting import train_model
from train.kept_folds import keep_fold
from train.predicting import TrainingFrontEnd, piece_probabilities
from train.run import Run
from train.splits import PROTOCOLS, Folds, learnt_from


def fit_fold(
    run: Run, front_end: TrainingFrontEnd, fold_of: Folds, seed: int, fold: int
) -> pd.DataFrame:
    """Fits what a fold learns from; what it answers for the rest.

    Of the processes only the first one answers: the table of the others is empty.
    """
    units = run.units
    tested = units.subset(np.flatnonzero(fold_of == fold))
    learnt = join(units.subset(learnt_from(fold_of, fold)), apart(run, tested))
    model = train_model(run, learnt, front_end, seed, fold)
    rows = pd.DataFrame()
    if run.accelerator.is_main_process:
        rows = predict(model, front_end, tested, run.labels)
    if run.keep_folds and run.accelerator.is_main_process:  # before the results say "done"
        keep_fold(run, model, seed, fold, len(learnt.items))
    return rows


def apart(run: Run, tested: Clips) -> Clips:
    """The unlabelled clips that share with no tested one what the protocol keeps together."""
    key = PROTOCOLS[run.protocol]
    taken = {key(item) for item in tested.items}
    items = run.unlabelled.items
    return run.unlabelled.subset([i for i, item in enumerate(items) if key(item) not in taken])


def predict(
    model: nn.Module, front_end: TrainingFrontEnd, clips: Clips, labels: tuple[str, ...]
) -> pd.DataFrame:
    """Probabilities of every piece of every clip, cut and scored as the classifier does it."""
    rows: list[Mapping[str, object]] = []
    columns = results.probability_columns(labels)
    probabilities = piece_probabilities(model, front_end, clips)
    for item, pieces in zip(clips.items, probabilities, strict=True):
        # A unit of the clip protocol that is a little too long for one piece has two.
        for number, row in enumerate(pieces):
            rows.append(
                {
                    "clip": f"{item.unit}#{number}",
                    "recording": item.recording,
                    "group": item.group,
                    "label": item.label,
                    **dict(zip(columns, row, strict=True)),
                }
            )
    return pd.DataFrame(rows)
