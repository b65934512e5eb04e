"""The command line: ``python -m train --help``."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from cry_model.registry import list_models
from train.corpus import DataError
from train.datasets import DATASETS
from train.fit import Run, run_fit
from train.loop import TrainingError
from train.presets import PRESETS
from train.splits import PROTOCOLS

DESCRIPTION = "Fit the cry recogniser's systems on recordings."


def parser() -> argparse.ArgumentParser:
    """The commands and their options."""
    main = argparse.ArgumentParser("python -m train", description=DESCRIPTION)
    commands = main.add_subparsers(dest="command", required=True)
    fit = commands.add_parser(
        "fit",
        help="cross-validate a system, then fit it on everything and save a checkpoint",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    fit.add_argument("--system", required=True, choices=list_models(), help="what to fit")
    fit.add_argument("--dataset", required=True, choices=list(DATASETS), help="on what")
    fit.add_argument(
        "--data-root",
        type=Path,
        default=os.environ.get("CRY_DATA"),
        help="folder that holds the datasets; the variable CRY_DATA gives another default",
    )
    fit.add_argument("--protocol", choices=list(PROTOCOLS), default="baby", help="how to split")
    fit.add_argument("--preset", choices=list(PRESETS), default="best", help="how to train")
    fit.add_argument("--epochs", type=at_least(1), help="instead of the preset's")
    fit.add_argument("--folds", type=at_least(2), default=5, help="folds of the cross-validation")
    fit.add_argument(
        "--seeds", type=int, nargs="+", default=[0], help="one fit of each fold a seed"
    )
    fit.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto", help="where to")
    fit.add_argument(
        "--out", type=Path, default=Path("runs"), help="results and checkpoints go here"
    )
    return main


def at_least(least: int) -> Callable[[str], int]:
    """A type for argparse: whole numbers from ``least`` on."""

    def whole_number(text: str) -> int:
        if int(text) < least:
            raise argparse.ArgumentTypeError(f"must be at least {least}, not {text}")
        return int(text)

    return whole_number


def device(name: str) -> torch.device:
    """``auto`` is CUDA where there is one."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and not torch.cuda.is_available():
        raise DataError("There is no CUDA device here; use --device cpu.")
    return torch.device(name)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; 2 and a sentence on standard error if it cannot be done."""
    args = parser().parse_args(arguments)
    try:
        if args.data_root is None:
            raise DataError("Say where the recordings are: --data-root FOLDER or CRY_DATA.")
        preset = PRESETS[args.preset]
        if args.epochs is not None:
            preset = replace(preset, epochs=args.epochs)
        run_fit(
            Run(
                system=args.system,
                corpus=DATASETS[args.dataset](args.data_root),
                protocol=args.protocol,
                preset=preset,
                folds=args.folds,
                seeds=tuple(args.seeds),
                device=device(args.device),
                out=args.out,
            )
        )
    except (DataError, TrainingError, OSError) as error:
        print(f"{error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
