"""``python -m train prepare``."""

from __future__ import annotations

import argparse

from train.cache import prepare
from train.commands.options import HelpFormatter, add_cache, add_data_root
from train.corpus import DataError
from train.datasets import DATASETS
from train.download import download
from train.loading import describe
from train.overview import cautions, overview
from train.presets import PRESETS
from train.splits import FOLDS, has_test_part

DESCRIPTION = """Decode a corpus once into one compact file that 'fit' reads, also on a machine
without audio libraries: copy the file there and give its name to --dataset."""


def add(commands: argparse._SubParsersAction) -> None:
    """The command's options."""
    parser = commands.add_parser(
        "prepare",
        help="decode a corpus once into one compact file",
        description=DESCRIPTION,
        formatter_class=HelpFormatter,
    )
    parser.set_defaults(run=run)
    parser.add_argument("dataset", choices=list(DATASETS), help="which corpus")
    add_data_root(parser)
    add_cache(parser)
    parser.add_argument(
        "--download",
        action="store_true",
        help="fetch the corpus first, from its public archive; goes on with what is there",
    )
    parser.add_argument(
        "--preset", choices=list(PRESETS), default="best", help="whose front end will hear it"
    )


def run(args: argparse.Namespace) -> None:
    """Prepares the corpus and says what is in it."""
    if args.data_root is None:
        raise DataError("Say where the recordings are: --data-root FOLDER or CRY_DATA.")
    dataset, config = DATASETS[args.dataset], PRESETS[args.preset].front_end
    if args.download:
        download(dataset, args.data_root)
    if dataset.write is not None and not (args.data_root / dataset.name).exists():
        dataset.write(args.data_root)
    data, path = prepare(dataset, args.data_root, args.cache, config)
    folds = 1 if has_test_part(data.clips.items) else FOLDS
    print(overview(data), describe(data), *cautions(data, folds), sep="\n")
    print(f"{path}, {path.stat().st_size / 1e6:.1f} MB.")
