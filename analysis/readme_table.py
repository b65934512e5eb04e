"""One table of all models on all splits for README, from the files of the results."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from analysis.findings_tables import table
from analysis.stats.claims import MAIN, PAPER_SYSTEMS
from analysis.stats.recordings import ResultsError
from analysis.stats.runs import MeasuredRun, find_runs
from cry_model.checkpoint import write_atomically
from cry_model.records import dataset_title
from cry_model.registry import get_system, list_models

BEGIN, END = "<!-- results: python -m analysis table -->", "<!-- end of results -->"
SPLITS = {"clip": "random segments", "recording": "by recording", "baby": "unseen babies"}


def write_table(results: Path, out: Path) -> None:
    """Replace what stands between the two markers of ``out`` by the table.

    Args:
        results: the results folder.
        out: a Markdown file with both markers.

    Raises:
        ResultsError: if results are missing or malformed, or ``out`` has not the two markers.
    """
    text = out.read_text(encoding="utf-8")
    parts = re.fullmatch(f"(.*{BEGIN}\n).*({END}.*)", text, re.DOTALL)
    if parts is None:
        raise ResultsError(f"{out} has no place for the table: put {BEGIN} and {END} into it.")
    lines = results_table(find_runs(results).runs)
    write_atomically(out, "\n".join([parts[1], *lines, "", parts[2]]).encode())


def results_table(runs: Sequence[MeasuredRun]) -> list[str]:
    """Return a row for each model of the paper, a column for each corpus and split.

    Cells are balanced accuracies with their intervals; the last row is the chance level.

    Raises:
        ResultsError: if no model of the paper was measured.
    """
    scored = {(run.dataset, run.protocol, run.system): run.evaluation for run in runs}
    models = [name for name in list_models() if name in PAPER_SYSTEMS]
    places = dict.fromkeys((r.dataset, r.protocol) for r in runs if r.system in models)
    if not places:
        raise ResultsError("No model of the paper was measured there; fit some first.")
    rows = [[get_system(name).title] for name in models]
    level = ["chance level"]
    for place in places:
        column = [scored.get((*place, name)) for name in models]
        for row, found in zip(rows, column, strict=True):
            row.append("-" if found is None else str(found.metrics[MAIN]))
        level.append(f"{next(found for found in column if found).chance:.3f}")
    heads = [f"{dataset_title(dataset)}, {SPLITS[protocol]}" for dataset, protocol in places]
    return table(["balanced accuracy", *heads], [*rows, level])
