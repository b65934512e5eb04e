"""``python -m train join``."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from accelerate import Accelerator

from cry_model.checkpoint import read_calibration, read_front_end
from train import results
from train.commands.options import HelpFormatter, add_cache, add_data_root
from train.corpus import DataError
from train.devices import make_accelerator
from train.fit import summary
from train.joining import Part, join, read_part
from train.kept_cells import Cell, run_of

DESCRIPTION = """Join seeds that were fitted apart, on several machines say: the results in FROM go
to those of the same corpora, protocols and systems in --out and are scored with them. They may
differ in precision and in how a machine decodes the recordings; anything else is refused. What is
joined already is passed over, and FROM stays as it is."""


def add(commands: argparse._SubParsersAction) -> None:
    """The command's options."""
    parser = commands.add_parser(
        "join",
        help="join seeds that were fitted on several machines",
        description=DESCRIPTION,
        formatter_class=HelpFormatter,
    )
    parser.set_defaults(run=run)
    parser.add_argument(
        "source", type=Path, metavar="FROM", help="what 'fit' or 'grid' had as --out elsewhere"
    )
    parser.add_argument(
        "--out", type=Path, default=Path("runs"), help="where 'fit' put the first seeds"
    )
    add_data_root(parser)
    add_cache(parser)


def run(args: argparse.Namespace) -> None:
    """Joins cell by cell; what is wrong with one does not stop the others.

    Raises:
        DataError: at the end, with a sentence for each that could not be joined.
    """
    places = sorted(path.parent for path in (args.source / "results").glob("*/*/*/run.json"))
    if not places:
        raise DataError(f"There are no results in {args.source / 'results'}.")
    accelerator = make_accelerator("cpu")  # nothing is fitted
    wrong = []
    for place in places:
        cell = Cell(args.out, *place.parts[-3:])
        try:
            print(f"{cell}: {join_cell(args, cell, place, accelerator)}", flush=True)
        except DataError as error:
            wrong.append(f"{cell}: {error}")
    if wrong:
        raise DataError("\n".join(wrong))


def join_cell(args: argparse.Namespace, cell: Cell, place: Path, accelerator: Accelerator) -> str:
    """Joins one cell, unless it is done, and says what came out."""
    own, other = read_part(cell.results_folder), read_part(place)
    if contains(own, other):
        return "is joined already."
    with results.trusting(own.folder / results.RUN):
        front_end = read_front_end(own.record["configuration"]["preset"]["front_end"])
        calibration = read_calibration(own.record.get("calibration"))
    seeds = tuple(sorted({*own.seeds, *other.seeds}))
    one = run_of(cell, own.record, seeds, front_end, args.data_root, args.cache, accelerator)
    if calibration is not None:
        one = replace(one, coverage=calibration.promised)
    with one.alone(cell.results_folder):
        own = read_part(cell.results_folder)  # a fit may have gone on until now
        return f"seeds {', '.join(map(str, seeds))}.\n{summary(one, join(one, own, other))}"


def contains(own: Part, other: Part) -> bool:
    """Whether every prediction of ``other`` is there."""
    keys = ["seed", "clip"]
    tables = (own.table[own.table["seed"].isin(other.seeds)], other.table)
    there, wanted = (table.sort_values(keys, ignore_index=True) for table in tables)
    return there.equals(wanted)
