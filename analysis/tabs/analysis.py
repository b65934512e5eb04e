"""Build the Analysis tab: one view at a time, selected by the address in the browser."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import gradio as gr

from analysis.overview import overview_html
from analysis.panels import PANELS
from analysis.panels.base import NOTHING, CellKey, Exhibit, Panel
from analysis.panels.html import CORPUS, SPLIT, view_html, view_of
from analysis.stats.comparison import ComparisonError
from analysis.stats.own_results import place, read_own_results
from analysis.stats.runs import RESULTS, SPLITS, FoundRuns, ResultsError
from analysis.stats.table_file import FORMS
from analysis.tabs import EVENT, TEMPLATES, scripts
from analysis.tabs.recordings import play
from analysis.uploads import HOUR, needing
from cry_model.records import dataset_title

OVERVIEW = "overview"
YOUR_RESULTS = "yours"
OF_THE_PAPER = ("ablation", "leakage")
"""Panels that show the paper's models only."""
MOST_TABLES = 6
FULL = f"There are already {MOST_TABLES} tables; remove them first."
SKELETON = """<div class="analysis" aria-busy="true"><p>Reading the results ...</p></div>
<div class="listening" role="status" hidden></div>"""
FILE_OF_PAGE = '(_, ...others) => [document.getElementById("analysis-view").file, ...others]'
# Bypass the queue, which recordings may have filled.
AT_ONCE: dict[str, Any] = {"queue": False, **EVENT}
MOST_LETTERS = 200  # of a value in an address


def build_analysis_tab(found: FoundRuns, panels: Sequence[Panel] = PANELS) -> None:
    """Lay out the tab, and offer its data as an API; unreadable runs are left out."""
    tab = gr.HTML(
        html_template=SKELETON,
        js_on_load=scripts("panels/figure.js", "upload.js", "tabs/analysis.js"),
        apply_default_css=False,
        server_functions=[play],
        elem_id="analysis-view",
    )

    theirs = gr.State(time_to_live=HOUR)

    def show(event: gr.SelectData, joined: FoundRuns | None) -> dict[str, Any]:
        """Return the view for the choices of an address, and the number of the request."""
        view = shown(found.readable, panels, asked(event.value), joined)
        return {**view, "number": event.index}

    def add(event: gr.SelectData, file: str, joined: FoundRuns | None) -> tuple[Any, ...]:
        """Add a visitor's table to our runs; report success, or why it failed."""
        problem = ""
        with needing(file):
            try:
                joined = add_results(joined or found.readable, file, str(event.value))
            except ResultsError as error:
                problem = f"{event.value}: {error}"
        return own_view(event, joined, problem), joined

    def remove(event: gr.SelectData) -> tuple[Any, ...]:
        """Delete everything that the visitor added."""
        return own_view(event, None), None

    def own_view(
        event: gr.SelectData, joined: FoundRuns | None, problem: str = ""
    ) -> dict[str, Any]:
        view = shown(found.readable, panels, {"view": YOUR_RESULTS}, joined, problem)
        return {**view, "number": event.index}

    tab.select(show, [theirs], tab, trigger_mode="multiple", **AT_ONCE)
    # Gradio checks the path; gr.File would leave an empty file beside each upload.
    file = gr.Audio(type="filepath", visible=False)
    tab.upload(add, [file, theirs], [tab, theirs], js=FILE_OF_PAGE, **AT_ONCE)
    tab.clear(remove, None, [tab, theirs], **AT_ONCE)
    offer_analysis(found, panels)


def asked(value: object) -> dict[str, str]:
    """Return the choices of an address, without invalid ones."""
    if not isinstance(value, dict):
        return {}
    return {
        name: text
        for name, text in value.items()
        if isinstance(text, str) and len(text) < MOST_LETTERS
    }


overview = lru_cache(maxsize=2)(overview_html)  # it takes 0.15 s


def shown(
    found: FoundRuns,
    panels: Sequence[Panel],
    choices: Mapping[str, str],
    joined: FoundRuns | None = None,
    problem: str = "",
) -> dict[str, Any]:
    """Return a view's name, its HTML below the links to other views, and its choices.

    ``choices``: name in the address -> value; ``joined``: the runs including a visitor's own, which
    the panels then show; ``problem``: what was wrong with the last file.
    """
    by_name = {panel.name: panel for panel in panels}
    name, settled = choices.get("view", ""), {}
    if name in by_name:
        view = view_of(by_name[name], joined or found, choices)
        own = view_html(view)
        settled = {} if view.problem else {field.name: field.value for field in view.fields}
    elif name == YOUR_RESULTS:
        own = your_results_html(found, joined, panels, problem)
    else:
        name, own = OVERVIEW, overview(found, RESULTS) or f"<p>{NOTHING}</p>"
    views = [(OVERVIEW, "Overview"), *((panel.name, panel.title) for panel in panels)]
    views.append((YOUR_RESULTS, "Your results"))
    template = TEMPLATES.get_template("tabs/analysis.html.j2")
    html = template.render(views=views, name=name, own=own, problems=found.problems)
    return {"view": name, "html": html, "choices": settled}


def add_results(found: FoundRuns, file: str, name: str) -> FoundRuns:
    """Return the runs with that of a visitor's ``file`` added.

    Raises:
        ResultsError: if it is no table of predictions, or the visitor has added enough.
    """
    if sum(run.table is not None for run in found.runs) >= MOST_TABLES:
        raise ResultsError(FULL)
    return place(read_own_results(Path(file), Path(name).stem), found)


def your_results_html(
    ours: FoundRuns, joined: FoundRuns | None, panels: Sequence[Panel], problem: str = ""
) -> str:
    """Write what can be added, what was (``joined``: with our runs), and where it is shown."""
    joined, tables = joined or ours, []
    for run in (run for run in joined.runs if run.table is not None):
        cell = CellKey(run.dataset, run.protocol)
        others = [name for name in joined.of(*cell) if name != run.system]
        model = {"system": run.system, "of": run.system, "run_a": run.system}
        beside = {"run_b": others[0]} if others else {}
        address = urlencode({CORPUS: cell.dataset, SPLIT: cell.protocol, **model, **beside})
        where = f"{dataset_title(cell.dataset)}, {SPLITS[cell.protocol]}"
        shown = [
            (panel.name, panel.title)
            for panel in panels
            if cell in panel.cells(joined) and panel.name not in OF_THE_PAPER
        ]
        tables.append((run, address, where, shown))
    problems = [p for p in (*joined.problems, problem) if p and p not in ours.problems]
    template = TEMPLATES.get_template("tabs/your_results.html.j2")
    return template.render(tables=tables, problems=problems, forms=FORMS)


def offer_analysis(found: FoundRuns, panels: Sequence[Panel]) -> None:
    """Offer ``/analysis`` to programs: the data of a panel, as the page draws it."""

    def analysis(
        panel: str, dataset: str, protocol: str, choices: dict[str, Any] | None = None
    ) -> list[dict[str, Any]]:
        """Return what a panel of the Analysis tab shows: name, title, note and rows of each
        exhibit.

        Args:
            panel: its name.
            dataset: as in the results folder.
            protocol: clip, recording or baby.
            choices: name of a selector -> value; by default its initial value.
        """
        try:
            return exhibits_of(found.readable, panels, panel, CellKey(dataset, protocol), choices)
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
    """Return the exhibits of one panel as JSON.

    Raises:
        ResultsError: if the panel does not exist, has nothing for the cell, or lacks a choice or
            this value of it, or if the predictions of a run cannot be read.
        ComparisonError: if two runs cannot be compared.
    """
    by_name = {panel.name: panel for panel in panels}
    if not isinstance(name, str) or name not in by_name:
        raise ResultsError(f"There is no panel '{name}'; choose one of {', '.join(by_name)}.")
    panel = by_name[name]
    cells = panel.cells(found)
    if cell not in cells:
        known = ", ".join("/".join(own) for own in cells) or "none"
        wanted = "/".join(map(str, cell))
        raise ResultsError(f"{panel.title} has nothing for {wanted}; it has {known}.")
    if not isinstance(choices, dict | None):
        raise ResultsError('Choices must be an object, like {"metric": "accuracy"}, or left out.')
    selectors = {selector.name: selector for selector in panel.selectors}
    for choice, value in (choices or {}).items():
        if choice not in selectors:
            known = ", ".join(selectors) or "none"
            raise ResultsError(f"{panel.title} has no choice {choice}; it has {known}.")
        offered = [option.value for option in selectors[choice].offered(found, cell)]
        if value not in offered:
            known = ", ".join(map(str, offered))
            raise ResultsError(f"{panel.title} has no {choice} '{value}'; choose one of {known}.")
    return [_record(exhibit) for exhibit in panel.exhibits(found, cell, choices)]


def _record(exhibit: Exhibit) -> dict[str, Any]:
    # The table's own JSON handles its number types and writes NaN as null.
    rows = json.loads(exhibit.data.to_json(orient="records"))
    return {"name": exhibit.name, "title": exhibit.title, "note": exhibit.note, "rows": rows}
