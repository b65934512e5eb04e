"""The command line: ``python -m analysis --help``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from analysis.benchmark import run_benchmark
from analysis.findings import write_findings
from analysis.run_tables import ResultsError
from analysis.svg import DrawingError
from cry_model.registry import list_models


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command."""
    parser = argparse.ArgumentParser(
        "python -m analysis", description="Measure the product, and say what was measured."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    benchmark = commands.add_parser("benchmark", help="time and memory of every system, per clip")
    benchmark.add_argument(
        "--system", nargs="+", choices=list_models(), metavar="SYSTEM", help="only these"
    )
    benchmark.add_argument(
        "--out", type=Path, default=Path("benchmark.json"), help="where the JSON goes"
    )
    findings = commands.add_parser("findings", help="what the results say to the paper's claims")
    findings.add_argument(
        "--results", type=Path, default=Path("assets/results"), help="the results folder"
    )
    findings.add_argument(
        "--out", type=Path, default=Path("analysis/FINDINGS.md"), help="where the page goes"
    )
    findings.add_argument(
        "--no-figures", action="store_true", help="leave the figures beside it as they are"
    )
    args = parser.parse_args(arguments)
    if args.command == "benchmark":
        run_benchmark(args.out, args.system)
        return 0
    try:
        write_findings(args.results, args.out, draw=not args.no_figures)
    except (ResultsError, DrawingError) as error:
        print(error, file=sys.stderr)
        return 2
    print(f"Findings in {args.out}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
