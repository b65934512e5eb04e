"""Show a visitor's own table of predictions beside our runs, for as long as the visit lasts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlencode

from analysis.panels.base import CellKey, Panel
from analysis.panels.html import CORPUS, SPLIT, TEMPLATES
from analysis.stats.own_results import FORMS, place, read_own_results
from analysis.stats.runs import SPLITS, FoundRuns, ResultsError
from cry_model.records import dataset_title

YOUR_RESULTS = "yours"
OF_THE_PAPER = ("ablation", "leakage")
"""Panels that show the paper's models alone."""
MOST_TABLES = 6
FULL = f"There are {MOST_TABLES} tables already; remove them first."


def add_results(found: FoundRuns, file: str, name: str) -> FoundRuns:
    """Return the runs with that of a visitor's file beside them.

    Args:
        found: ours, and what the visitor added before.
        file: the table, as it was uploaded.
        name: what the visitor calls the file.

    Raises:
        ResultsError: if it is no such table, or the visitor has added enough.
    """
    if sum(run.table is not None for run in found.runs) >= MOST_TABLES:
        raise ResultsError(FULL)
    return place(read_own_results(Path(file), Path(name).stem), found)


def your_results_html(
    ours: FoundRuns, joined: FoundRuns | None, panels: Sequence[Panel], problem: str = ""
) -> str:
    """Write what can be given, what was, and where it is shown.

    Args:
        ours: our runs.
        joined: the same with the visitor's; None without any.
        panels: where these can be shown.
        problem: why the last file could not be read; else empty.
    """
    runs = [] if joined is None else [run for run in joined.runs if run.table is not None]
    tables = []
    for run in runs:
        cell = CellKey(run.dataset, run.protocol)
        others = [name for name in joined.of(*cell) if name != run.system] if joined else []
        model = {"system": run.system, "of": run.system, "run_a": run.system}
        beside = {"run_b": others[0]} if others else {}
        address = urlencode({CORPUS: cell.dataset, SPLIT: cell.protocol, **model, **beside})
        where = f"{dataset_title(cell.dataset)}, {SPLITS[cell.protocol]}"
        shown = [
            (panel.name, panel.title)
            for panel in panels
            if joined and cell in panel.cells(joined) and panel.name not in OF_THE_PAPER
        ]
        tables.append((run, address, where, shown))
    told = [] if joined is None else [p for p in joined.problems if p not in ours.problems]
    template = TEMPLATES.get_template("tabs/your_results.html.j2")
    return template.render(tables=tables, problems=[*told, *filter(None, [problem])], forms=FORMS)
