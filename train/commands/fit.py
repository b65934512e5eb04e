"""``python -m train fit``."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from cry_model.registry import list_models
from train.commands.options import HelpFormatter, add_data_root, add_device, at_least, device
from train.corpus import DataError
from train.datasets import DATASETS
from train.fit import Run, run_fit
from train.presets import PRESETS
from train.splits import PROTOCOLS


def add(commands: argparse._SubParsersAction) -> None:
    """The command's options."""
    fit = commands.add_parser(
        "fit",
        help="cross-validate a system, then fit it on everything and save a checkpoint",
        formatter_class=HelpFormatter,
    )
    fit.set_defaults(run=run)
    fit.add_argument("--system", required=True, choices=list_models(), help="what to fit")
    fit.add_argument("--dataset", required=True, choices=list(DATASETS), help="on what")
    add_data_root(fit)
    fit.add_argument("--protocol", choices=list(PROTOCOLS), default="baby", help="how to split")
    fit.add_argument("--preset", choices=list(PRESETS), default="best", help="how to train")
    fit.add_argument("--epochs", type=at_least(1), help="instead of the preset's")
    fit.add_argument("--folds", type=at_least(2), default=5, help="folds of the cross-validation")
    fit.add_argument(
        "--seeds", type=int, nargs="+", default=[0], help="one fit of each fold a seed"
    )
    add_device(fit)
    fit.add_argument(
        "--out", type=Path, default=Path("runs"), help="results and checkpoints go here"
    )


def run(args: argparse.Namespace) -> None:
    """Fits what was asked for."""
    if args.data_root is None:
        raise DataError("Say where the recordings are: --data-root FOLDER or CRY_DATA.")
    preset = PRESETS[args.preset]
    if args.epochs is not None:
        preset = replace(preset, epochs=args.epochs)
    run_fit(
        Run(
            system=args.system,
            corpus=DATASETS[args.dataset].read(args.data_root),
            protocol=args.protocol,
            preset=preset,
            folds=args.folds,
            seeds=tuple(args.seeds),
            device=device(args.device),
            out=args.out,
        )
    )
