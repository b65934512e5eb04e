"""The weights that each fold was fitted to, for measurements that come later.

A checkpoint like any other, in ``OUT/folds/<dataset>/<protocol>/<system>/seed<S>-fold<F>/``. Which
recordings it has not heard follows from the fold and the seed that its config names.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from torch import nn

from cry_model.checkpoint import CONFIG, CheckpointConfig, save_checkpoint
from train import results
from train.run import Run

NAME = re.compile(r"seed(\d+)-fold(\d+)")


def folds_folder(out: Path, dataset: str, protocol: str, system: str) -> Path:
    """Where the folds of a system are kept."""
    return out / "folds" / dataset / protocol / system


def keep_fold(run: Run, model: nn.Module, seed: int, fold: int, recordings: int) -> None:
    """Saves what a fold was fitted to.

    Args:
        run: that the fold is of.
        model: the fitted system.
        seed: of the fit.
        fold: which was held out.
        recordings: how many clips it learnt from.
    """
    folder = folds_folder(run.out, run.name, run.protocol, run.system)
    config = CheckpointConfig(
        run.system,
        run.labels,
        run.preset.front_end,
        settings=dict(run.settings),
        training={
            **run.configuration(),
            "seed": seed,
            "fold": fold,
            "recordings": recordings,
            "licence": run.data.corpus.licence,
            "environment": results.environment(run.accelerator),
        },
    )
    save_checkpoint(folder / f"seed{seed}-fold{fold}", model, config)


def kept_folds(
    out: Path, dataset: str, protocol: str, system: str
) -> Iterator[tuple[int, int, Path]]:
    """Seed, fold and checkpoint folder of every fold that was kept, in the order of the numbers.

    A folder without a config, whose writing was cut off, is passed over.
    """
    found = []
    for folder in folds_folder(out, dataset, protocol, system).glob("seed*-fold*"):
        name = NAME.fullmatch(folder.name)
        if name and (folder / CONFIG).is_file():
            found.append((int(name[1]), int(name[2]), folder))
    yield from sorted(found)
