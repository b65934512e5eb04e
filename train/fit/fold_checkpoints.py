"""Save the weights of each fold as a checkpoint, for later measurements."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from torch import nn

from cry_model.checkpoint import CONFIG, CheckpointConfig, save_checkpoint
from train.fit.run import Run
from train.scoring import results

NAME = re.compile(r"seed(\d+)-fold(\d+)")


def folds_folder(out: Path, dataset: str, protocol: str, system: str) -> Path:
    """Return where the folds of a system are kept."""
    return out / "folds" / dataset / protocol / system


def save_fold(run: Run, model: nn.Module, seed: int, fold: int, recordings: int) -> None:
    """Save what a fold was fitted to.

    Args:
        run: that the fold is of.
        model: the fitted system.
        seed: of the fit.
        fold: which was held out.
        recordings: how many clips it learnt from.
    """
    one = run.experiment
    folder = folds_folder(run.out, one.name, one.protocol, one.system)
    config = CheckpointConfig(
        one.system,
        one.labels,
        one.preset.front_end,
        settings=dict(one.settings),
        training={
            **one.configuration(),
            "seed": seed,
            "fold": fold,
            "recordings": recordings,
            "licence": one.data.corpus.licence,
            "environment": results.environment(run.accelerator),
        },
    )
    save_checkpoint(folder / f"seed{seed}-fold{fold}", model, config)


def saved_folds(
    out: Path, dataset: str, protocol: str, system: str
) -> Iterator[tuple[int, int, Path]]:
    """Yield seed, fold and checkpoint folder of every saved fold, in the order of the numbers.

    A folder without a config, whose writing was cut off, is passed over.
    """
    found = []
    for folder in folds_folder(out, dataset, protocol, system).glob("seed*-fold*"):
        name = NAME.fullmatch(folder.name)
        if name and (folder / CONFIG).is_file():
            found.append((int(name[1]), int(name[2]), folder))
    yield from sorted(found)
