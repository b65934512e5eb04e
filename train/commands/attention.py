"""``python -m train attention``."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from cry_model.registry import ON_SPECTROGRAMS
from train.attention_check import FOLDER, run_check
from train.attention_rows import Truth
from train.attention_scores import describe
from train.commands.options import (
    HelpFormatter,
    add_cache,
    add_data_root,
    add_device,
    add_settings,
    at_least,
)
from train.corpus import DataError
from train.datasets import synthetic6
from train.devices import make_accelerator
from train.loading import describe as describe_corpus
from train.loading import find_corpus
from train.overrides import apply_overrides
from train.presets import BEST
from train.run import Run

DESCRIPTION = """Check attention against the truth: fit systems on the made-up corpus synthetic6,
whose onsets are known, and measure on babies held out how much of the temporal gate's mass lies
near an onset, and how far the answer's probability falls without the most attended second. What is
already in --out is not fitted again."""

IMPROVED, WITHOUT_GATES = "improved-ecapa-tdnn", "improved-ecapa-tdnn-no-rse"


def add(commands: argparse._SubParsersAction) -> None:
    """The command's options."""
    parser = commands.add_parser(
        "attention",
        help="check attention against the known onsets of made-up cries",
        description=DESCRIPTION,
        formatter_class=HelpFormatter,
    )
    parser.set_defaults(run=run)
    parser.add_argument(
        "--system",
        nargs="+",
        choices=ON_SPECTROGRAMS,
        default=[IMPROVED, WITHOUT_GATES],
        metavar="SYSTEM",
        help=f"one or more of {', '.join(ON_SPECTROGRAMS)}; one without temporal gates is judged "
        "by gradient x input",
    )
    add_data_root(parser)
    add_cache(parser)
    parser.add_argument("--folds", type=at_least(2), default=5, help="of the cross-validation")
    parser.add_argument("--seed", type=at_least(0), default=0, help="of folds, weights and chance")
    parser.add_argument(
        "--epochs", type=at_least(1), default=BEST.epochs, help="of the preset 'best'"
    )
    add_settings(parser)
    add_device(parser)
    parser.add_argument("--out", type=Path, default=Path("runs"), help="results and states go here")


def run(args: argparse.Namespace) -> None:
    """Checks every system that was asked for."""
    if args.data_root is None:
        raise DataError("Say where the recordings are: --data-root FOLDER or CRY_DATA.")
    preset, settings = apply_overrides(replace(BEST, epochs=args.epochs), args.set)
    accelerator = make_accelerator(args.device)
    paths = {item.recording: item.path for item in synthetic6.read(args.data_root).items}
    truth = Truth(paths, synthetic6.read_onsets(args.data_root))
    with accelerator.local_main_process_first():  # the others find the prepared file
        data = find_corpus(synthetic6.NAME, args.data_root, args.cache, preset.front_end)
    accelerator.print(describe_corpus(data))
    runs = [
        Run(
            system=system,
            data=data,
            protocol="baby",
            preset=preset,
            folds=args.folds,
            seeds=(args.seed,),
            accelerator=accelerator,
            out=args.out,
            settings=settings,
        )
        for system in dict.fromkeys(args.system)
    ]
    for one in runs:
        one.check()
    for one in runs:
        found = run_check(one, truth)
        accelerator.print(
            describe(one.system, found), f"Results in {one.results_of(FOLDER)}.", sep="\n"
        )
