"""``python -m train chance``."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path

from cry_model.checkpoint import to_json, write_atomically
from cry_model.records import words
from cry_model.registry import make_front_end
from train.cli.options import HelpFormatter, add_cache, add_data_root, at_least
from train.data.cache import find_corpus, with_folds
from train.data.corpus import DataError
from train.data.datasets import DATASETS
from train.data.splits import FOLDS, PROTOCOLS
from train.fit.presets import usual_preset
from train.studies.permutation_test import Against, chance

CHANCE = "chance.json"
DESCRIPTION = """Show what each protocol gives where labels hardly go with the sound: they are dealt
out anew among babies (or whatever the corpus's groups are) with as many recordings, many times, and
a linear classifier is cross-validated each time, beside the true labels. What it still scores under
a lax split comes from hearing the recording or the baby again. Minutes, without a GPU; every call
begins anew."""


def add(commands: argparse._SubParsersAction) -> None:
    """The command's options."""
    parser = commands.add_parser(
        "chance",
        help="show what a protocol gives where labels say nothing (a permutation test)",
        description=DESCRIPTION,
        formatter_class=HelpFormatter,
    )
    parser.set_defaults(run=run)
    parser.add_argument(
        "--dataset",
        required=True,
        help=f"one of {', '.join(DATASETS)}; or a file that 'prepare' wrote",
    )
    parser.add_argument(
        "--protocols",
        nargs="+",
        choices=list(PROTOCOLS),
        default=list(PROTOCOLS),
        help="which splits; where a corpus has folds of its own, the last two are the same",
    )
    parser.add_argument("--folds", type=at_least(2), default=FOLDS, help="of the cross-validation")
    parser.add_argument(
        "--shuffles", type=at_least(20), default=200, help="how often labels are dealt out"
    )
    parser.add_argument(
        "--out", type=Path, default=Path("runs"), help="OUT/results/DATASET/PROTOCOL/chance.json"
    )
    add_data_root(parser)
    add_cache(parser)


def run(args: argparse.Namespace) -> None:
    """Asks under each protocol, and writes it down."""
    config = usual_preset("improved-ecapa-tdnn", args.dataset).front_end
    data = find_corpus(args.dataset, args.data_root, args.cache, config)
    data, _ = with_folds(data, "clip", args.folds)  # over everything
    name, clips, front_end = data.corpus.name, data.clips.labelled(), make_front_end(config)
    if not clips.items:
        raise DataError(f"The recordings of {name} have no labels to deal out.")
    for protocol in args.protocols:
        found = chance(
            clips, name, data.corpus.labels, front_end, protocol, args.folds, args.shuffles
        )
        folder = args.out / "results" / name / protocol
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / CHANCE, (to_json(asdict(found)) + "\n").encode())
        print(f"{name}, {protocol}, a linear classifier, per recording:")
        print(*(line(metric, one) for metric, one in found.scores.items()), sep="\n")


def line(metric: str, one: Against) -> str:
    """One score in words."""
    return (
        f"  {words(metric)}: true labels {one.value:.3f}; dealt out {one.mean:.3f}, middle 95 % "
        f"{one.low:.3f} to {one.high:.3f}; p = {one.p:.3f}"
    )
