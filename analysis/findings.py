"""``python -m analysis findings``: what the results say to the paper's claims, as one page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import plotly.graph_objects as go

from analysis.figures.intervals import WITHOUT, ablation_figure
from analysis.figures.leakage import leakage_figure
from analysis.figures.theme import on_paper
from analysis.findings_page import ABLATION, LEAKAGE, page
from analysis.stats.claims import MAIN, Cell, cells_of
from analysis.stats.paper import Paper, read_paper
from analysis.stats.recordings import ResultsError
from analysis.stats.runs import find_runs
from analysis.stats.side_results import without_truth
from cry_model.checkpoint import write_atomically

WIDTH = 760  # pixels of a figure


def write_findings(results: Path, out: Path, draw: bool = True) -> None:
    """Writes the page to ``out`` and its figures to ``figures/`` beside it.

    Args:
        results: the results folder.
        out: the Markdown file.
        draw: False leaves the figures as they are; then no browser is needed.

    Raises:
        ResultsError: if the results are missing or malformed, or no system of the paper is there.
        DrawingError: if Playwright or Chromium is not installed.
    """
    from analysis.svg import write_svgs

    found, paper = find_runs(results), read_paper()
    cells = cells_of(found.runs)
    if not cells:
        raise ResultsError(f"No system of the paper was measured below {results}; fit some first.")
    figures = figures_of(cells, paper)
    if draw:
        folder = out.parent / "figures"
        write_svgs({folder / name: on_paper(f, WIDTH) for name, f in figures.items()})
    out.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(out, page(found, cells, paper, figures.keys()).encode())


def figures_of(cells: Sequence[Cell], paper: Paper) -> Mapping[str, go.Figure]:
    """Name of the file -> figure; no ablation where no module was left out."""
    runs = [run for cell in cells for run in cell.runs.values()]
    figures = {LEAKAGE.name: leakage_figure(runs, MAIN, without_truth(runs, MAIN))}
    drops = [d for cell in cells for f in cell.findings[MAIN] for d in f.comparisons]
    if any(drop.other in WITHOUT for drop in drops):
        figures[ABLATION.name] = ablation_figure(drops, paper)
    return figures
