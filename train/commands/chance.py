"""``python -m train chance``."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from cry_model.checkpoint import write_atomically
from cry_model.front_ends import make_front_end
from train.chance import Against, chance, record
from train.clips import Clips, cut_before_splitting
from train.commands.options import HelpFormatter, add_cache, add_data_root, at_least
from train.corpus import DataError
from train.datasets import DATASETS
from train.loading import find_corpus
from train.presets import usual_preset
from train.splits import PROTOCOLS

CHANCE = "chance.json"
DESCRIPTION = """Show what each protocol gives where labels say nothing: they are dealt out anew
among babies (or whatever the corpus's groups are) many times, and a linear classifier is
cross-validated each time. What it still scores comes from knowing the recording or the baby again.
Nothing is fitted on a GPU; minutes."""


def add(commands: argparse._SubParsersAction) -> None:
    """The command's options."""
    parser = commands.add_parser(
        "chance",
        help="show what a protocol gives where labels say nothing (a permutation test)",
        description=DESCRIPTION,
        formatter_class=HelpFormatter,
    )
    parser.set_defaults(run=run)
    parser.add_argument("--dataset", required=True, choices=list(DATASETS), help="which corpus")
    parser.add_argument(
        "--protocols", nargs="+", choices=list(PROTOCOLS), default=list(PROTOCOLS), help="which"
    )
    parser.add_argument("--folds", type=at_least(2), default=5, help="of the cross-validation")
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
    whole, front_end = data.clips.labelled(), make_front_end(config)
    if not whole.items:
        raise DataError(f"The recordings of {args.dataset} have no labels to deal out.")
    for protocol in args.protocols:
        cut = protocol == "clip"
        units: Clips = cut_before_splitting(whole, config) if cut else whole
        found = chance(units, data.corpus.labels, front_end, protocol, args.folds, args.shuffles)
        facts = {"dataset": args.dataset, "data": data.clips.fingerprint(), "protocol": protocol}
        facts |= {"folds": args.folds, "shuffles": args.shuffles, "front_end": config.kind}
        folder = args.out / "results" / args.dataset / protocol
        folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps(record(found, **facts), indent=2) + "\n"
        write_atomically(folder / CHANCE, text.encode())
        print(*(line(protocol, name, one) for name, one in found.items()), sep="\n")


def line(protocol: str, name: str, one: Against) -> str:
    """One score in words."""
    return (
        f"{protocol}, {name.replace('_', ' ')}: {one.value:.3f}; labels dealt out "
        f"{one.mean:.3f} [{one.low:.3f}, {one.high:.3f}], p = {one.p:.3f}"
    )
