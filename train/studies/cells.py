"""Find what ``fit --save-folds`` saved, and rebuild the run that it is of."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from accelerate import Accelerator

from cry_model.checkpoint import CONFIG, CheckpointConfig, to_json, write_atomically
from cry_model.results import RUN
from train.data.cache import DATASETS, find_corpus, with_folds
from train.data.corpus import DataError, permute_labels
from train.data.datasets import folder as own_folder
from train.data.splits import OuterFold
from train.fit.presets import usual_preset
from train.fit.run import Experiment, Kept, Run
from train.scoring import results


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
        return self.out / "results" / f"{self}"

    @property
    def saved(self) -> list[Kept]:
        """Seed, fold and checkpoint folder of every saved fold, in the order of the numbers.

        A folder without a config, whose writing was cut off, is passed over.
        """
        found = []
        for at in (self.out / "folds" / f"{self}").glob("seed*-fold*"):
            name = re.fullmatch(r"seed(\d+)-fold(\d+)", at.name)
            if name and (at / CONFIG).is_file():
                found.append((int(name[1]), int(name[2]), at))
        return sorted(found)

    def write(self, name: str, found: Any) -> None:
        """Write a dataclass beside the predictions."""
        write_atomically(self.results_folder / name, f"{to_json(asdict(found))}\n".encode())


def find_cells(
    out: Path, datasets: Collection[str], protocols: Collection[str], systems: Collection[str]
) -> list[Cell]:
    """Return the cells with saved folds, of these names alone where there are some; raise DataError
    if there is none."""
    cells = [Cell(out, *path.parts[-3:]) for path in sorted((out / "folds").glob("*/*/*"))]
    cells = [
        cell
        for cell in cells
        if cell.dataset in (datasets or [cell.dataset])
        and cell.protocol in (protocols or [cell.protocol])
        and cell.system in (systems or [cell.system])
        and cell.saved
    ]
    if not cells:
        raise DataError(
            f"There are no weights of such folds in {out / 'folds'}; 'fit --save-folds' keeps them."
        )
    return cells


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
