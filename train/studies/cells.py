"""Rebuild the run of what ``fit --save-folds`` saved."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from accelerate import Accelerator

from cry_model.checkpoint import CheckpointConfig
from cry_model.results import RUN
from train.data.cache import DATASETS, find_corpus, with_folds
from train.data.corpus import DataError, permute_labels
from train.data.datasets import folder as own_folder
from train.data.splits import OuterFold
from train.fit.presets import usual_preset
from train.fit.run import Experiment, Run
from train.scoring import results
from train.scoring.results import Cell


def rebuild(
    cell: Cell, config: CheckpointConfig, root: Path | None, cache: Path, accelerator: Accelerator
) -> Run:
    """Return the run of a cell, for its recordings and how they were split; ``config`` is of any of
    its folds. Raise DataError if its recordings are not here, or it learnt from a teacher."""
    record = results.read_run(cell.results_folder)
    if record is None:
        raise DataError(f"There is no run.json in {cell.results_folder}; it belongs to the folds.")
    seeds = tuple(sorted({seed for seed, _, _ in cell.saved}))
    front_end, ran = config.front_end, record["configuration"]
    with results.trusting(cell.results_folder / RUN):
        teacher, settings = ran["teacher"], dict(ran["settings"])
        outer_fold = OuterFold(**ran["within"]) if "within" in ran else None
        permutation = int(ran["permuted_labels"]) if "permuted_labels" in ran else None
    if teacher is not None:  # it may have named the labels that the folds were made by
        raise DataError("This learnt from a teacher; only what learnt from labels can be rebuilt.")
    of_folders = cell.dataset.startswith(f"{own_folder.NAME}-") and cell.dataset not in DATASETS
    name = own_folder.NAME if of_folders else cell.dataset
    data = find_corpus(name, root, cache, front_end)
    clips = data.clips.labelled()  # without a teacher a fit leaves out the rest
    if permutation is not None:
        clips = permute_labels(clips, data.corpus.labels, permutation)
    data, folds = with_folds(replace(data, clips=clips), cell.protocol, ran["folds"])
    preset = replace(usual_preset(cell.system, cell.dataset), front_end=front_end)
    what = cell.system, data, cell.protocol, preset, folds, accelerator, settings
    experiment = Experiment(*what, outer_fold=outer_fold, permutation=permutation)
    if experiment.fingerprint != ran.get("data"):
        raise DataError(f"The recordings of {cell.dataset} are not those that this was fitted on.")
    return Run(experiment, seeds, cell.out)
