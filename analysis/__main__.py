"""The command line: ``python -m analysis --help``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from analysis.findings import write_findings
from analysis.readme_table import write_table
from analysis.report import write_report
from analysis.stats.recordings import ResultsError
from analysis.svg import DrawingError
from cry_model.registry import list_models


def parser() -> argparse.ArgumentParser:
    """Return the commands and their options."""
    main = argparse.ArgumentParser(
        "python -m analysis", description="Measure the product, and say what was measured."
    )
    commands = main.add_subparsers(dest="command", required=True)
    _add_benchmark(commands)
    _add_findings(commands)
    _add_report(commands)
    _add_table(commands)
    return main


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command."""
    args = parser().parse_args(arguments)
    try:
        args.run(args)
    except (ResultsError, DrawingError) as error:
        print(error, file=sys.stderr)
        return 2
    except OSError as error:
        print(f"{args.out} cannot be written: {error.strerror}.", file=sys.stderr)
        return 2
    return 0


def _add_benchmark(commands: Any) -> None:
    benchmark = commands.add_parser("benchmark", help="time and memory of every system, per clip")
    benchmark.add_argument(
        "--system", nargs="+", choices=list_models(), metavar="SYSTEM", help="only these"
    )
    benchmark.add_argument(
        "--out", type=Path, default=Path("benchmark.json"), help="where the JSON goes"
    )
    benchmark.set_defaults(run=_benchmark)


def _add_findings(commands: Any) -> None:
    findings = commands.add_parser("findings", help="what the results say to the paper's claims")
    _add_results(findings)
    findings.add_argument(
        "--out", type=Path, default=Path("docs/results.md"), help="where the page goes"
    )
    findings.add_argument(
        "--no-figures", action="store_true", help="leave the figures beside it as they are"
    )
    findings.set_defaults(run=_findings)


def _add_report(commands: Any) -> None:
    report = commands.add_parser("report", help="the Analysis tab as one page for any browser")
    _add_results(report)
    report.add_argument("--out", type=Path, required=True, help="the HTML file to write")
    report.set_defaults(run=_report)


def _add_table(commands: Any) -> None:
    command = commands.add_parser("table", help="bring the results table of README up to date")
    _add_results(command)
    command.add_argument("--out", type=Path, default=Path("README.md"), help="where it stands")
    command.set_defaults(run=_table)


def _add_results(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--results", type=Path, default=Path("assets/results"), help="the results folder"
    )


def _benchmark(args: argparse.Namespace) -> None:
    from analysis.benchmark import run_benchmark  # with the page, which the others do not need

    run_benchmark(args.out, args.system)


def _findings(args: argparse.Namespace) -> None:
    write_findings(args.results, args.out, draw=not args.no_figures)
    print(f"Findings in {args.out}.")


def _report(args: argparse.Namespace) -> None:
    write_report(args.results, args.out)
    print(f"Report in {args.out}.")


def _table(args: argparse.Namespace) -> None:
    write_table(args.results, args.out)
    print(f"Table in {args.out}.")


if __name__ == "__main__":
    sys.exit(main())
