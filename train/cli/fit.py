"""``python -m train fit``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from cry_model.registry import list_models
from train.cli.options import (
    HelpFormatter,
    add_cache,
    add_coverage,
    add_data_root,
    add_device,
    add_settings,
    at_least,
    share,
)
from train.cli.planning import accelerator_of, apart, plan, systems_of
from train.data.datasets import DATASETS
from train.data.feature_tables import TABLES
from train.data.splits import FOLDS, PROTOCOLS
from train.fit.cross_validation import run_fit
from train.fit.devices import of_main
from train.fit.presets import PRESETS
from train.publish.hub import Destination, PublishError


def add_publishing(hub: argparse._ArgumentGroup) -> None:
    """What becomes of the checkpoint."""
    hub.add_argument(
        "--publish",
        metavar="USER/NAME",
        help="send the checkpoint there at the end, as the command 'publish' does; the access "
        "token is looked at before the fit",
    )
    hub.add_argument("--private", action="store_true", help="only its owner may see it")


def find_destination(args: argparse.Namespace, systems: Sequence[str]) -> Destination | None:
    """Where the checkpoint is to be published, if anywhere.

    Raises:
        PublishError: if there will be no checkpoint or several, or the name is none.
    """
    if args.publish is None:
        if args.private:
            raise PublishError("--private is about what is published; name a place with --publish.")
        return None
    if not args.checkpoint or apart(args):
        raise PublishError(
            "--publish sends the checkpoint, so leave out --no-checkpoint, --within and "
            "--shuffle-labels."
        )
    if len(systems) > 1:
        raise PublishError(
            f"--publish sends one system, and these are {len(systems)}; name one, or fit without "
            "it and give each checkpoint to 'python -m train publish'."
        )
    return Destination(args.publish, args.private)


DESCRIPTION = """Cross-validate systems on a corpus, then fit each on all of it and save a
checkpoint. A corpus with a test part of its own is tested on that alone. What is already in --out
is not fitted again: the same command goes on after a crash."""


def add(commands: argparse._SubParsersAction) -> None:
    """The command's options."""
    fit = commands.add_parser(
        "fit",
        help="cross-validate systems, then fit each on everything and save a checkpoint",
        description=DESCRIPTION,
        formatter_class=HelpFormatter,
    )
    fit.set_defaults(run=run)
    what = fit.add_argument_group("what")
    what.add_argument(
        "--system",
        required=True,
        nargs="+",
        choices=["all", *list_models()],
        metavar="SYSTEM",
        help=f"one or more of {', '.join(list_models())}; or all",
    )
    what.add_argument(
        "--dataset",
        required=True,
        help=f"one of {', '.join((*DATASETS, *TABLES))}; or a file that 'prepare' wrote",
    )
    add_data_root(what)
    add_cache(what)
    what.add_argument(
        "--protocol", choices=list(PROTOCOLS), default="baby", help="what stays together in a fold"
    )
    what.add_argument(
        "--folds",
        type=at_least(2),
        help=f"of the cross-validation (default: {FOLDS}, or the corpus's own test part alone)",
    )
    what.add_argument(
        "--within",
        type=at_least(0),
        metavar="FOLD",
        help="only cross-validate within the training part of this fold (from 0), for choices "
        "that must not see what it tests; no checkpoint",
    )
    what.add_argument(
        "--inner-folds", type=at_least(2), default=2, help="of the cross-validation --within a fold"
    )
    what.add_argument(
        "--shuffle-labels",
        type=at_least(0),
        metavar="SEED",
        help="deal the labels out anew among groups first, to see what the protocol gives where "
        "they hardly go with the sound; no checkpoint, and an --out of its own",
    )
    what.add_argument(
        "--seeds", type=at_least(0), nargs="+", default=[0], help="each fits every fold once"
    )
    add_coverage(what)
    add_how(fit.add_argument_group("how"))
    add_teacher(fit.add_argument_group("from a teacher (knowledge distillation)"))
    add_where(fit.add_argument_group("where"))
    add_publishing(fit.add_argument_group("on the Hugging Face Hub"))


def add_how(how: argparse._ArgumentGroup) -> None:
    """Preset and what differs from it."""
    how.add_argument(
        "--preset",
        choices=list(PRESETS),
        help="base settings (default: best; wide for corpora of one rate from 16 kHz on; features "
        "for feature-mlp)",
    )
    how.add_argument(
        "--start-from",
        metavar="CHECKPOINT",
        help="begin with the weights of this one, fitted on another corpus, but for its classifier",
    )
    how.add_argument("--epochs", type=at_least(1), help="instead of the preset's")
    add_settings(how)
    how.add_argument(
        "--precision", choices=["auto", "float32", "bfloat16"], default="auto", help="of the model"
    )
    how.add_argument(
        "--deterministic",
        action="store_true",
        help="the same result twice on CUDA too, slower; on a CPU with the same number of threads",
    )


def add_teacher(teacher: argparse._ArgumentGroup) -> None:
    """Knowledge distillation."""
    teacher.add_argument(
        "--teacher", metavar="CHECKPOINT", help="folder or Hub repository to take soft labels from"
    )
    teacher.add_argument(
        "--teacher-weight",
        type=share,
        default=0.5,
        help="share of the teacher's labels where there are others; the rest of 1 is theirs",
    )
    teacher.add_argument(
        "--unlabelled",
        metavar="DATASET",
        help="learn from these recordings too, by the teacher's labels alone",
    )


def add_where(where: argparse._ArgumentGroup) -> None:
    """Device, output and the keeping of state."""
    add_device(where)
    where.add_argument(
        "--out", type=Path, default=Path("runs"), help="results, states and checkpoints go here"
    )
    where.add_argument(
        "--resume",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="go on after the last finished epoch of a fit that was cut off",
    )
    where.add_argument(
        "--checkpoint",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="fit on everything at the end and save the weights",
    )
    where.add_argument(
        "--keep-folds",
        action="store_true",
        help="save the weights of each fold that is fitted, in OUT/folds",
    )
    where.add_argument(
        "--track", action="store_true", help="live curves: tensorboard --logdir OUT/curves"
    )


def run(args: argparse.Namespace) -> None:
    """Fits what was asked for."""
    systems = systems_of(args)
    destination = find_destination(args, systems)
    accelerator = accelerator_of(args)
    if destination is not None:
        of_main(accelerator, destination.check)  # now, not after a night
    runs = [run for system in systems for run in plan(args, system, accelerator)]
    for one in runs:
        one.check()
    for one in runs:
        run_fit(one)
    if destination is not None and accelerator.is_main_process:  # the last run ships
        print(f"Published: {destination.send(runs[-1].checkpoint_folder)}")
