"""``python -m train gate``."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from cry_model.registry import ON_SPECTROGRAMS
from train.cli.options import (
    HelpFormatter,
    add_cache,
    add_data_root,
    add_device,
    add_settings,
    at_least,
)
from train.data.cache import describe as describe_corpus
from train.data.cache import find_corpus
from train.data.datasets import detector as gate
from train.fit.devices import make_accelerator
from train.fit.presets import GATE, GATE_SETTINGS, apply_overrides
from train.fit.run import Run
from train.studies.detector import describe, run_check

DESCRIPTION = """Fit the gate, which tells a baby's cry from other sounds, on Donate-a-Cry, ESC-10,
speech and made-up sounds; measure it on folds that it did not hear, on cries with other sounds
under them, and on whole kinds of sound that it was fitted without. What is already in --out is not
fitted again."""

SYSTEMS = tuple(name for name in ON_SPECTROGRAMS if name.startswith(tuple(GATE_SETTINGS)))


def add(commands: argparse._SubParsersAction) -> None:
    """The command's options."""
    parser = commands.add_parser(
        "gate",
        help="fit and measure the gate that tells cries from other sounds",
        description=DESCRIPTION,
        formatter_class=HelpFormatter,
    )
    parser.set_defaults(run=run)
    parser.add_argument(
        "--system",
        choices=SYSTEMS,
        default="ecapa-tdnn",
        metavar="SYSTEM",
        help=f"one of {', '.join(SYSTEMS)}, all of them small",
    )
    add_data_root(parser)
    add_cache(parser)
    parser.add_argument("--seed", type=at_least(0), default=0, help="of weights and draws")
    parser.add_argument("--epochs", type=at_least(1), default=GATE.epochs, help="of each fit")
    add_settings(parser)
    parser.add_argument(
        "--leave-out",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="fit it without each kind of sound in turn, too",
    )
    parser.add_argument(
        "--checkpoint",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="fit on everything at the end and save the weights",
    )
    add_device(parser)
    parser.add_argument("--out", type=Path, default=Path("runs"), help="results and states go here")


def run(args: argparse.Namespace) -> None:
    """Fits, measures, and saves the gate."""
    preset, settings = apply_overrides(replace(GATE, epochs=args.epochs), args.set)
    base = next(name for name in GATE_SETTINGS if args.system.startswith(name))
    settings = {**GATE_SETTINGS[base], **settings}
    accelerator = make_accelerator(args.device)
    data = find_corpus(gate.NAME, args.data_root, args.cache, preset.front_end)
    accelerator.print(describe_corpus(data))
    one = Run(
        system=args.system,
        data=data,
        protocol="baby",
        preset=preset,
        folds=gate.FOLDS,
        seeds=(args.seed,),
        accelerator=accelerator,
        out=args.out,
        settings=settings,
        checkpoint=args.checkpoint,
    )
    one.check()
    found = run_check(one, args.leave_out)
    accelerator.print(describe(found), f"Results in {one.results_folder}.", sep="\n")
