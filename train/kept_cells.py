"""The cells (dataset, protocol, system) of an output folder whose folds were kept, to ask again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from accelerate import Accelerator

from cry_model.checkpoint import WEIGHTS, CheckpointConfig
from train import results
from train.corpus import DataError
from train.datasets import DATASETS, folder
from train.kept_folds import kept_folds
from train.loading import find_corpus, with_folds
from train.outer import Outer
from train.presets import usual_preset
from train.run import Run
from train.shuffling import shuffled

Kept = tuple[int, int, Path]
"""Seed, fold and checkpoint folder."""


@dataclass(frozen=True)
class Cell:
    """What was fitted with ``--keep-folds`` into the folder ``out``."""

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
        return list(kept_folds(self.out, self.dataset, self.protocol, self.system))

    def newer(self, name: str) -> bool:
        """Whether a file of its results is there and newer than predictions and weights."""
        made_of = [self.results_folder / results.PREDICTIONS]
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
            f"There are no weights of such folds in {out / 'folds'}; 'fit --keep-folds' keeps them."
        )
    return asked


def rebuild(
    cell: Cell,
    config: CheckpointConfig,
    root: Path | None,
    cache: Path,
    accelerator: Accelerator,
) -> Run:
    """The run of a cell, for its recordings and for how they were split.

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
    with results.trusting(cell.results_folder / results.RUN):
        teacher, settings = ran["teacher"], dict(ran["settings"])
        within = Outer(**ran["within"]) if "within" in ran else None
        dealt = int(ran["shuffled"]) if "shuffled" in ran else None
    if teacher is not None:  # it may have named the labels that the folds were made by
        raise DataError("This learnt from a teacher; only what learnt from labels can be rebuilt.")
    of_folders = cell.dataset.startswith(f"{folder.NAME}-") and cell.dataset not in DATASETS
    name = folder.NAME if of_folders else cell.dataset
    data = find_corpus(name, root, cache, front_end)
    clips = data.clips.labelled()  # without a teacher a fit leaves out the rest
    if dealt is not None:
        clips = shuffled(clips, data.corpus.labels, dealt)
    data, folds = with_folds(replace(data, clips=clips), cell.protocol, ran["folds"])
    run = Run(
        system=cell.system,
        data=data,
        protocol=cell.protocol,
        preset=replace(usual_preset(cell.system, cell.dataset), front_end=front_end),
        folds=folds,
        seeds=seeds,
        accelerator=accelerator,
        out=cell.out,
        settings=settings,
        within=within,
        shuffled=dealt,
    )
    if run.fingerprint != ran.get("data"):
        raise DataError(f"The recordings of {cell.dataset} are not those that this was fitted on.")
    return run
