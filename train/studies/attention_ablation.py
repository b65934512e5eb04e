"""Does attention do anything? ``attention_effect.json`` beside the ``predictions.csv`` of a run.

Every fold's fitted model answers the pieces that it has not heard, as fitted and with each of its
attentions made neutral (:mod:`train.studies.neutral`), and its gates and maps are looked at.
Everything is pooled over folds and seeds as predictions are. A measured value is
``{"value": ..., "low": ..., "high": ...}`` with a 95 % interval over groups.

- ``dataset``, ``protocol``, ``system``, ``folds``, ``seeds``: which run; seeds that kept all folds.
- ``recordings``, ``groups``, ``pieces``: how many were tested; a piece counts once a seed.
- ``ablated``: name (``differential``, ``temporal``, ``channel``, ``channel_fixed``,
  ``multi_scale``, ``multi_scale_fixed``, those that the system has) ->

  - ``metrics``: ``accuracy``, ``balanced_accuracy``, ``macro_auc`` per recording -> ``fitted``,
    ``neutral``, ``difference`` (neutral less fitted, paired: below 0 where the attention helps),
  - ``changed``: share of recordings whose answer is another,
  - ``distance``: mean total variation distance of a recording's probabilities, 0 to 1.

- ``differential``: null without it; ``tokens`` (N), ``entropy_1``, ``entropy_2`` (of a row of A_1
  and of A_2 over log N, 0 to 1), ``weight``: "seed S, fold F" -> lambda.
- ``temporal``: for each block ``mean``, ``deviation``, ``entropy`` of A_t over time (the entropy of
  A_t scaled to the sum 1, over log T); empty without it.
- ``multi_scale``: "block B, stage S" -> branch (``3``, ``5``, ``7``, ``pool``) -> ``share`` of the
  gate s and its standard ``deviation`` over the pieces of a fit (a number); empty without it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from accelerate import Accelerator
from torch import nn
from tqdm import tqdm

from cry_model.checkpoint import (
    WEIGHTS,
    CheckpointConfig,
    load_checkpoint,
    to_json,
    write_atomically,
)
from cry_model.results import PREDICTIONS, RUN, probability_columns
from train.data.cache import find_corpus, with_folds
from train.data.clips import Clips
from train.data.corpus import DataError
from train.data.datasets import DATASETS, folder
from train.data.splits import OuterFold, split
from train.fit.cross_validation import front_end_of, saved_folds
from train.fit.predict import TrainingFrontEnd, predict
from train.fit.presets import usual_preset
from train.fit.run import Experiment, Run
from train.scoring import results
from train.scoring.results import read_predictions
from train.studies.attention_facts import (
    BranchFacts,
    DifferentialFacts,
    TemporalFacts,
    differential_facts,
    piece_facts,
    scale_facts,
    temporal_facts,
)
from train.studies.neutral import Ablation, ablated, ablations, averaging, compare
from train.studies.permutation_test import shuffled

Kept = tuple[int, int, Path]
"""Seed, fold and checkpoint folder."""


@dataclass(frozen=True)
class Cell:
    """What was fitted with ``--save-folds`` into the folder ``out``."""

    out: Path
    dataset: str
    protocol: str
    system: str

    def __str__(self) -> str:
        return f"{self.dataset}/{self.protocol}/{self.system}"

    @property
    def results_folder(self) -> Path:
        """Where its predictions are."""
        return self.out / "results" / self.dataset / self.protocol / self.system

    @property
    def kept(self) -> list[Kept]:
        """Its folds."""
        return list(saved_folds(self.out, self.dataset, self.protocol, self.system))

    def newer(self, name: str) -> bool:
        """Whether a file of its results is there and newer than predictions and weights."""
        made_of = [self.results_folder / PREDICTIONS]
        made_of += [place / WEIGHTS for _, _, place in self.kept]
        path = self.results_folder / name
        if not all(one.exists() for one in (path, *made_of)):
            return False
        return path.stat().st_mtime_ns > max(one.stat().st_mtime_ns for one in made_of)


def find_cells(
    out: Path,
    datasets: Sequence[str] | None = None,
    protocols: Sequence[str] | None = None,
    systems: Sequence[str] | None = None,
) -> list[Cell]:
    """All cells with a kept fold, or those of the given names, in alphabetical order.

    Raises:
        DataError: if there is none.
    """
    every = [Cell(out, *path.parts[-3:]) for path in sorted((out / "folds").glob("*/*/*"))]
    asked = [
        cell
        for cell in every
        if (not datasets or cell.dataset in datasets)
        and (not protocols or cell.protocol in protocols)
        and (not systems or cell.system in systems)
        and cell.kept
    ]
    if not asked:
        raise DataError(
            f"There are no weights of such folds in {out / 'folds'}; 'fit --save-folds' keeps them."
        )
    return asked


def rebuild(
    cell: Cell,
    config: CheckpointConfig,
    root: Path | None,
    cache: Path,
    accelerator: Accelerator,
) -> Run:
    """Return the run of a cell, for its recordings and for how they were split.

    Args:
        cell: which.
        config: of any of its folds.
        root: the data root, if there is one.
        cache: the folder of prepared files.
        accelerator: where to compute.

    Raises:
        DataError: if its recordings are not here, or it learnt from a teacher.
    """
    record = results.read_run(cell.results_folder)
    if record is None:
        raise DataError(f"There is no run.json in {cell.results_folder}; it belongs to the folds.")
    seeds = tuple(sorted({seed for seed, _, _ in cell.kept}))
    front_end, ran = config.front_end, record["configuration"]
    with results.trusting(cell.results_folder / RUN):
        teacher, settings = ran["teacher"], dict(ran["settings"])
        outer_fold = OuterFold(**ran["within"]) if "within" in ran else None
        permutation = int(ran["permuted_labels"]) if "permuted_labels" in ran else None
    if teacher is not None:  # it may have named the labels that the folds were made by
        raise DataError("This learnt from a teacher; only what learnt from labels can be rebuilt.")
    of_folders = cell.dataset.startswith(f"{folder.NAME}-") and cell.dataset not in DATASETS
    name = folder.NAME if of_folders else cell.dataset
    data = find_corpus(name, root, cache, front_end)
    clips = data.clips.labelled()  # without a teacher a fit leaves out the rest
    if permutation is not None:
        clips = shuffled(clips, data.corpus.labels, permutation)
    data, folds = with_folds(replace(data, clips=clips), cell.protocol, ran["folds"])
    experiment = Experiment(
        system=cell.system,
        data=data,
        protocol=cell.protocol,
        preset=replace(usual_preset(cell.system, cell.dataset), front_end=front_end),
        folds=folds,
        accelerator=accelerator,
        settings=settings,
        outer_fold=outer_fold,
        permutation=permutation,
    )
    if experiment.fingerprint != ran.get("data"):
        raise DataError(f"The recordings of {cell.dataset} are not those that this was fitted on.")
    return Run(experiment, seeds, cell.out)


TOLERANCE = 1e-4  # of a probability; both are of float32, and a CSV keeps six decimals
FITTED = "as fitted"


def ablate_fold(run: Run, kept: Kept) -> dict[str, pd.DataFrame]:
    """Return what a saved fold predicts for its held-out part, with seed and fold.

    Raises:
        CheckpointError: if the checkpoint cannot be loaded.
        DataError: if weights and predictions are not of the same run.
    """
    experiment, (seed, fold, folder) = run.experiment, kept
    model = load_checkpoint(folder)[0].to(run.accelerator.device)
    fold_of = split(experiment.units.items, experiment.protocol, experiment.folds, seed)
    tested = experiment.units.subset(np.flatnonzero(fold_of == fold))
    decimals = dict.fromkeys(probability_columns(experiment.labels), 6)
    tables = {  # rounded as the CSV is, so that ties, and with them the AUC, are those of the run
        name: rows.assign(seed=seed, fold=fold).round(decimals)
        for name, rows in ablated_predictions(
            model, front_end_of(experiment), tested, experiment.labels
        ).items()
    }
    written = read_predictions(run.results_folder, experiment.labels)
    if not same(tables[FITTED], written, experiment.labels):
        raise DataError(
            f"Weights and predictions are not of the same run: '{folder}' answers otherwise than "
            f"{run.results_folder} says (on another --device it may); fit again with --save-folds."
        )
    return tables


def ablated_predictions(
    model: nn.Module, front_end: TrainingFrontEnd, tested: Clips, labels: tuple[str, ...]
) -> dict[str, pd.DataFrame]:
    """Return what a fitted model answers to clips, with each attention neutral and as fitted.

    Args:
        model: in eval mode, with some attention.
        front_end: its own.
        tested: what it has not heard.
        labels: in the order of its logits.

    Returns:
        Name of the neutralisation, or :data:`FITTED` -> predictions per piece; beside those as
        fitted stand the columns of :func:`train.studies.attention_facts.piece_facts`.
    """
    with averaging(model) as averages:
        fitted = predict(model, front_end, tested, labels)
    tables = {FITTED: pd.concat([fitted, piece_facts(model, front_end, tested)], axis=1)}
    for name in ablations(model):
        with ablated(model, name, averages):
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


EFFECT = "attention_effect.json"


@dataclass(frozen=True)
class AttentionEffect:
    """Everything that the file says; see the module."""

    dataset: str
    protocol: str
    system: str
    folds: int
    seeds: tuple[int, ...]
    recordings: int
    groups: int
    pieces: int
    ablated: Mapping[str, Ablation]
    differential: DifferentialFacts | None
    temporal: tuple[TemporalFacts, ...]
    multi_scale: Mapping[str, Mapping[str, BranchFacts]]


def measure(run: Run, kept: Sequence[Kept]) -> AttentionEffect:
    """Look at every fold of the seeds that kept all of theirs.

    Args:
        run: that the folds are of; its results have their predictions.
        kept: the folds.

    Raises:
        CheckpointError: if a checkpoint cannot be loaded.
        DataError: if no seed kept all folds, or weights and predictions are not of the same run.
    """
    experiment = run.experiment
    whole = whole_seeds(kept, experiment.folds)
    if not whole:
        raise DataError(
            f"No seed kept the weights of all {experiment.folds} folds; fit with --save-folds into "
            "another --out."
        )
    tables = defaultdict(list)
    for one in tqdm(whole, desc=f"Looking at {experiment.system}", unit="fold"):
        for name, rows in ablate_fold(run, one).items():
            tables[name].append(rows)
    pooled = {name: pd.concat(parts, ignore_index=True) for name, parts in tables.items()}
    fitted = pooled.pop(FITTED)
    return AttentionEffect(
        experiment.name,
        experiment.protocol,
        experiment.system,
        experiment.folds,
        tuple(sorted({seed for seed, _, _ in whole})),
        fitted["recording"].nunique(),
        fitted["group"].nunique(),
        len(fitted),
        compare(fitted, pooled, experiment.labels),
        differential_facts(fitted),
        temporal_facts(fitted),
        scale_facts(fitted),
    )


def whole_seeds(kept: Sequence[Kept], folds: int) -> list[Kept]:
    """Return the folds of the seeds that have all of them."""
    count = pd.Series([seed for seed, _, _ in kept]).value_counts()
    return [one for one in kept if count[one[0]] == folds]


def write_effect(folder: Path, effect: AttentionEffect) -> None:
    """Replace the file in a results folder."""
    write_atomically(folder / EFFECT, (to_json(asdict(effect)) + "\n").encode())
