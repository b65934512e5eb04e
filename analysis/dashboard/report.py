"""``python -m analysis report``: every panel and every cell on one page that needs no network."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from analysis.dashboard.panel import Panel
from analysis.dashboard.panels import PANELS
from analysis.dashboard.report_chapters import chapters
from analysis.dashboard.report_page import page
from analysis.run_tables import ResultsError
from analysis.runs import find_runs
from cry_model.checkpoint import write_atomically


def write_report(results: Path, out: Path, panels: Sequence[Panel] = PANELS) -> None:
    """Writes the page.

    Args:
        results: the results folder.
        out: the HTML file.
        panels: a chapter for each.

    Raises:
        ResultsError: if no run of the folder can be shown.
        OSError: if ``out`` cannot be written.
    """
    found = find_runs(results, strict=False)
    if not found.runs:
        reason = found.problems[0] if found.problems else "Fit some first."
        raise ResultsError(f"No finished run is below {results}. {reason}")
    out.parent.mkdir(parents=True, exist_ok=True)
    text = page(found, chapters(found, panels), results)
    write_atomically(out, text.encode("utf-8"))
