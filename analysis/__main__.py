"""The command line: ``python -m analysis --help``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from analysis.benchmark import run_benchmark
from cry_model.registry import list_models


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command."""
    parser = argparse.ArgumentParser("python -m analysis", description="Measure the product.")
    commands = parser.add_subparsers(dest="command", required=True)
    benchmark = commands.add_parser("benchmark", help="time and memory of every system, per clip")
    benchmark.add_argument(
        "--system", nargs="+", choices=list_models(), metavar="SYSTEM", help="only these"
    )
    benchmark.add_argument(
        "--out", type=Path, default=Path("benchmark.json"), help="where the JSON goes"
    )
    args = parser.parse_args(arguments)
    run_benchmark(args.out, args.system)
    return 0


if __name__ == "__main__":
    sys.exit(main())
