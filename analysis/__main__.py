"""Run the command line: ``python -m analysis --help``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from analysis.report import write_report
from analysis.results_page import write_readme_table, write_results
from analysis.stats.runs import ResultsError
from cry_model.networks.registry import list_models

app = typer.Typer(
    help="Write the results as pages, and measure the speed of the models.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
Results = Annotated[Path, typer.Option(help="The results folder.")]


@app.command()
def results(
    results: Results = Path("assets/results"),
    out: Annotated[Path, typer.Option(help="File for all tables.")] = Path("docs/results.md"),
    readme: Annotated[Path, typer.Option(help="File for the small table.")] = Path("README.md"),
) -> None:
    """Write docs/results.md and update the table in README."""
    write_results(results, out)
    write_readme_table(results, readme)
    print(f"Tables in {out} and {readme}.")


@app.command()
def report(
    out: Annotated[Path, typer.Option(help="The HTML file to write.")],
    results: Results = Path("assets/results"),
) -> None:
    """Write the Analysis tab as one HTML page for any browser."""
    write_report(results, out)
    print(f"Report in {out}.")


@app.command()
def benchmark(
    system: Annotated[list[str] | None, typer.Option(help="Only this; repeatable.")] = None,
    out: Annotated[Path, typer.Option(help="JSON file to write.")] = Path("benchmark.json"),
) -> None:
    """Measure the time and memory of every model on one clip."""
    from analysis.benchmark import run_benchmark  # needs Gradio, which the other commands do not

    for name in system or ():
        if name not in list_models():
            raise typer.BadParameter(f"'{name}' is none of {', '.join(list_models())}.")
    out.parent.mkdir(parents=True, exist_ok=True)  # fail before the measurements, not after them
    run_benchmark(out, system)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: 2 after an error, which prints one sentence."""
    try:
        app(arguments, prog_name="python -m analysis")
    except SystemExit as end:  # typer ends every command this way
        return int(end.code or 0)
    except ResultsError as error:
        print(error, file=sys.stderr)
        return 2
    except OSError as error:
        print(f"{error.filename} cannot be written: {error.strerror}.", file=sys.stderr)
        return 2
    raise AssertionError("typer ends every command by SystemExit")


if __name__ == "__main__":
    sys.exit(main())
