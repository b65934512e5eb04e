"""``/analysis``: the Analysis tab for programs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import gradio as gr

from analysis.dashboard.exhibit import Exhibit
from analysis.dashboard.panel import CellKey, Panel
from analysis.pairing import ComparisonError
from analysis.run_tables import ResultsError
from analysis.runs import FoundRuns


def offer_analysis(found: FoundRuns, panels: Sequence[Panel]) -> None:
    """``/analysis``, for programs: the data of a panel, as the page draws it."""

    def analysis(
        panel: str, dataset: str, protocol: str, choices: dict[str, Any] | None = None
    ) -> list[dict[str, Any]]:
        """What a panel of the Analysis tab shows: name, title, note and rows of each exhibit.

        Args:
            panel: its name.
            dataset: as in the results folder.
            protocol: clip, recording or baby.
            choices: name of a selector -> value; what is left out is as at the beginning.
        """
        try:
            return exhibits_of(found, panels, panel, CellKey(dataset, protocol), choices)
        except (ResultsError, ComparisonError) as error:
            raise gr.Error(str(error), print_exception=False) from error

    gr.api(analysis, api_name="analysis")


def exhibits_of(
    found: FoundRuns,
    panels: Sequence[Panel],
    name: str,
    cell: CellKey,
    choices: dict[str, Any] | None,
) -> list[dict[str, Any]]:
    """The exhibits of one panel as JSON.

    Raises:
        ResultsError: if there is no such panel, it has nothing for the cell or no such choice, or
            the predictions of a run cannot be read.
        ComparisonError: if two runs cannot be set against each other.
    """
    by_name = {panel.name: panel for panel in panels}
    if name not in by_name:
        raise ResultsError(f"There is no panel '{name}'; take one of {', '.join(by_name)}.")
    panel = by_name[name]
    cells = panel.cells(found)
    if cell not in cells:
        known = ", ".join("/".join(own) for own in cells) or "none"
        raise ResultsError(f"{panel.title} has nothing for {'/'.join(cell)}; it has {known}.")
    unknown = set(choices or {}) - {selector.name for selector in panel.selectors}
    if unknown:
        known = ", ".join(selector.name for selector in panel.selectors) or "none"
        raise ResultsError(
            f"{panel.title} has no choice {', '.join(sorted(unknown))}, but {known}."
        )
    return [_record(exhibit) for exhibit in panel.exhibits(found, cell, choices)]


def _record(exhibit: Exhibit) -> dict[str, Any]:
    # Through the table's own JSON, which knows its number types and writes null for what is none.
    rows = json.loads(exhibit.data.to_json(orient="records"))
    return {"name": exhibit.name, "title": exhibit.title, "note": exhibit.note, "rows": rows}
