"""``python -m train costs``."""

from __future__ import annotations

import argparse
from pathlib import Path

from cry_model.checkpoint import write_atomically
from train.commands.options import HelpFormatter
from train.corpus import DataError
from train.costs import as_csv, markdown, read_costs

DESCRIPTION = """Show what the runs of a results folder cost, as a Markdown table: time, throughput,
energy where it could be read. Of fits that ran at once, each counts with an even share of the
device. Where a fit was cut off and went on, what it cost in all is not known, and sums are left
out."""


def add(commands: argparse._SubParsersAction) -> None:
    """The command's options."""
    parser = commands.add_parser(
        "costs",
        help="show what the runs of a results folder cost",
        description=DESCRIPTION,
        formatter_class=HelpFormatter,
    )
    parser.set_defaults(run=run)
    parser.add_argument("folder", type=Path, help="of results, OUT/results say")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="write the table there, too")


def run(args: argparse.Namespace) -> None:
    """Reads, prints, writes.

    Raises:
        DataError: if there are no runs or, after the table of the others, one is damaged.
    """
    rows, problems = read_costs(args.folder)
    print(markdown(rows), flush=True)
    if problems:
        raise DataError("\n".join(problems))
    if args.csv is not None:
        write_atomically(args.csv, as_csv(rows).encode())
