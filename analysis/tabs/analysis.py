"""Build the Analysis tab: a sub-tab for each panel."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

import gradio as gr
import pandas as pd

from analysis.overview import overview_html
from analysis.panels import PANELS
from analysis.panels.base import NOTHING, CellKey, Exhibit, Panel, system_title
from analysis.panels.confusion import CONFUSION
from analysis.panels.errors import ERRORS
from analysis.stats.comparison import ComparisonError
from analysis.stats.runs import RESULTS, FoundRuns, MeasuredRun, ResultsError
from analysis.tabs.panel_view import EVENT, Below, Wired, build_panel
from analysis.tabs.recordings import add_listening, hear_tables, waiting
from cry_model.records import group_name, words
from cry_model.results import probability_columns


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
            choices: name of a selector -> value; what is left out is as at the beginning.
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
        ResultsError: if there is no such panel, it has nothing for the cell, no such choice or not
            this value of it, or the predictions of a run cannot be read.
        ComparisonError: if two runs cannot be set against each other.
    """
    by_name = {panel.name: panel for panel in panels}
    if not isinstance(name, str) or name not in by_name:
        raise ResultsError(f"There is no panel '{name}'; take one of {', '.join(by_name)}.")
    panel = by_name[name]
    cells = panel.cells(found)
    if cell not in cells:
        known = ", ".join("/".join(own) for own in cells) or "none"
        wanted = "/".join(map(str, cell))
        raise ResultsError(f"{panel.title} has nothing for {wanted}; it has {known}.")
    if not isinstance(choices, dict | None):
        raise ResultsError('Choices are an object, as {"metric": "accuracy"}; or leave them out.')
    selectors = {selector.name: selector for selector in panel.selectors}
    for choice, value in (choices or {}).items():
        if choice not in selectors:
            known = ", ".join(selectors) or "none"
            raise ResultsError(f"{panel.title} has no choice {choice}, but {known}.")
        offered = [option.value for option in selectors[choice].offered(found, cell)]
        if value not in offered:
            known = ", ".join(map(str, offered))
            raise ResultsError(f"{panel.title} has no {choice} '{value}'; take one of {known}.")
    return [_record(exhibit) for exhibit in panel.exhibits(found, cell, choices)]


def _record(exhibit: Exhibit) -> dict[str, Any]:
    # Through the table's own JSON, which knows its number types and writes null for what is none.
    rows = json.loads(exhibit.data.to_json(orient="records"))
    return {"name": exhibit.name, "title": exhibit.title, "note": exhibit.note, "rows": rows}


# Gradio's figures report no clicks, but Plotly keeps what it hovers over in the element itself. The
# listener may outlive our element.
ON_LOAD = """
document.addEventListener("click", (event) => {
  const place = event.target.closest?.("[id^=confusion-][id$=-figure]")?.id.match(/\\d/)[0];
  const point = event.target.closest?.(".js-plotly-plot")?._hoverdata?.[0];
  if (!point || !element.isConnected) return;
  trigger("select", { index: [Number(place), ...point.pointNumber], value: "" });
}, true);
"""
CELLS = (
    "<h3>Recordings of a cell</h3><p>Click a cell of a matrix, or choose it here: true label, "
    "predicted label and number of recordings.</p>"
)


def cell_options(matrices: Sequence[pd.DataFrame]) -> list[tuple[str, str]]:
    """Return what can be chosen for the cells that have recordings: title and :func:`cell_value`.

    Args:
        matrices: of each model, as :func:`analysis.panels.confusion.matrix_data` has it, with its
            ``system``.
    """
    rows = [row for data in matrices for row in data[data["count"] > 0].itertuples()]
    return [
        (
            f"{words(row.true)} → {words(row.answer)}: {row.count} ({system_title(row.system)})",
            cell_value(row.system, row.true, row.answer),
        )
        for row in rows
    ]


def cell_value(system: str, label: str, answer: str) -> str:
    """Return a cell as the dropdown holds it."""
    return json.dumps([system, label, answer])


LISTED = 200  # rows; nobody listens to more


def cell_list(run: MeasuredRun, label: str, answer: str) -> pd.DataFrame:
    """Return the recordings of one cell, the most confident first, with titles for a reader.

    Returns:
        Recording, its group, the folds in which its pieces were tested, seed, true label, answer
        and the probability of each label in per cent; a row per seed and recording.

    Raises:
        ResultsError: if the predictions of the run cannot be read.
    """
    table = run.with_errors
    table = table[(table["label"] == label) & (table["answer"] == answer)]
    table = table.sort_values("confidence", ascending=False, kind="stable")
    shares = (100 * table[probability_columns(run.labels)]).round(1)
    shown = pd.DataFrame(
        {
            "Recording": table["recording"],
            group_name(run.dataset).capitalize(): table["group"],
            "Fold": _folds(run, table),
            "Seed": table["seed"],
            "True label": table["label"].map(words),
            "Predicted label": table["answer"].map(words),
        }
    )
    shown[[f"{words(name)} (%)" for name in run.labels]] = shares
    return shown.reset_index(drop=True)


def list_title(run: MeasuredRun, label: str, answer: str, count: int) -> str:
    """Return the heading of a list; of more than :data:`LISTED` recordings that many are shown."""
    return (
        f"{system_title(run.system)}, {words(label)} classified as {words(answer)}: "
        f"{min(count, LISTED)} of {count}"
    )


def _folds(run: MeasuredRun, table: pd.DataFrame) -> pd.Series:
    """Return in which folds the pieces of each row were tested, as "0" or "0, 3"."""
    pieces = run.predictions[run.predictions["recording"].isin(table["recording"])]
    folds = pieces.groupby(["seed", "recording"])["fold"].agg(
        lambda own: ", ".join(map(str, sorted(set(own))))
    )
    keys = pd.MultiIndex.from_frame(table[["seed", "recording"]])
    return pd.Series(folds.reindex(keys).to_numpy(), index=table.index)


TO_THE_LIST = """() => document.getElementById("confusion-list-heading")
  ?.scrollIntoView({ behavior: "smooth", block: "start" })"""


def add_cell_choice(found: FoundRuns, wired: Wired) -> Below:
    """Lay out the choice of a cell and its list of recordings, and connect them to the panel."""
    clicks = gr.HTML(CELLS, js_on_load=ON_LOAD, elem_id="confusion-clicks")
    cells = gr.Dropdown([], label="Cell", elem_id="confusion-cell")
    heading = gr.Markdown(visible=False, elem_id="confusion-list-heading")
    table = gr.Dataframe(
        interactive=False, show_label=False, visible=False, elem_id="confusion-list"
    )
    listening = add_listening("confusion", wired.dataset, [table])

    def renew(cell: CellKey, choices: Mapping[str, Any]) -> tuple[Any, ...]:
        options = cell_options(_matrices(wired.panel, found.readable, cell, choices))
        hidden = gr.Markdown(visible=False), gr.Dataframe(visible=False)
        return gr.Dropdown(options, value=None), *hidden, *listening.fill(cell, choices)

    def choose(dataset: str, protocol: str, value: str) -> tuple[Any, ...]:
        system, label, answer = json.loads(value)
        run = found.of(dataset, protocol)[system]
        listed = cell_list(run, label, answer)
        title = f"### {list_title(run, label, answer, len(listed))}"
        shown = gr.Markdown(title, visible=True), gr.Dataframe(listed[:LISTED], visible=True)
        return *shown, *waiting()

    def click(event: gr.SelectData, dataset: str, protocol: str, *chosen: Any) -> tuple[Any, ...]:
        names = [selector.name for selector in wired.panel.selectors]
        choices = dict(zip(names, chosen, strict=True))
        matrices = _matrices(wired.panel, found.readable, CellKey(dataset, protocol), choices)
        place, true, answer = event.index
        if place >= len(matrices):  # the difference, whose cells are no recordings of one model
            return gr.skip(), *[gr.skip()] * len(outputs)
        data = matrices[place]
        row = data.iloc[true * data["true"].nunique() + answer]
        if not row["count"]:
            return gr.skip(), *[gr.skip()] * len(outputs)
        value = cell_value(row["system"], row["true"], row["answer"])
        return value, *choose(dataset, protocol, value)

    outputs = [heading, table, *listening.blocks]
    chosen = [
        # Of a dropdown Gradio reports no selection by the keyboard.
        cells.input(choose, [wired.dataset, wired.protocol, cells], outputs, **EVENT),
        clicks.select(click, wired.chosen, [cells, *outputs], **EVENT),
    ]
    for event in chosen:
        event.then(None, js=TO_THE_LIST, api_visibility="private")
    return Below([cells, *outputs], renew)


def _matrices(
    panel: Panel, found: FoundRuns, cell: CellKey, choices: Mapping[str, Any]
) -> list[pd.DataFrame]:
    """Return the matrices that are drawn above; none where nothing can be drawn."""
    if cell not in panel.cells(found):
        return []
    try:
        exhibits = panel.exhibits(found, cell, choices)
    except (ResultsError, ComparisonError):
        return []  # the panel says why
    return [exhibit.data for exhibit in exhibits if "count" in exhibit.data]


BELOW: Mapping[str, Callable[[FoundRuns, Wired], Below]] = {
    CONFUSION.name: add_cell_choice,
    ERRORS.name: hear_tables,
}
"""Panel -> what lays out more below its exhibits."""


# Links of the overview open a panel, and the page's own address does so at the beginning.
FOLLOW = """
const go = (address) => {
  const wanted = new URL(address, location.href).searchParams;
  const names = ["view", "corpus", "split"];
  trigger("select", { index: 0, value: names.map((name) => wanted.get(name)) });
};
element.addEventListener("click", (event) => {
  const link = event.target.closest("a[href^='?']");
  if (!link || event.ctrlKey || event.metaKey) return;
  event.preventDefault();
  history.replaceState(history.state, "", link.href);
  go(link.href);
});
if (new URLSearchParams(location.search).get("view")) go(location.href);
"""


def add_overview(
    found: FoundRuns, results: Path, tab: gr.Tab, tabs: gr.Tabs, shared: gr.State
) -> None:
    """Lay out what was found on one screen; its links choose a panel, a corpus and a split."""
    page = gr.HTML(js_on_load=FOLLOW, elem_id="overview")

    @cache  # the runs stay as they are; it takes 0.15 s
    def fill() -> str:
        return overview_html(found.readable, results) or f"<p>{NOTHING}</p>"

    tab.select(fill, None, page, **EVENT)

    def choose(event: gr.SelectData) -> tuple[CellKey | None, gr.Tabs]:
        view, *cell = event.value
        return CellKey(*cell) if all(cell) else None, gr.Tabs(selected=view)

    page.select(choose, None, [shared, tabs], **EVENT)


def build_analysis_tab(
    found: FoundRuns, tab: gr.Tab, panels: Sequence[Panel] = PANELS, results: Path = RESULTS
) -> None:
    """Lay out the tab inside the current block.

    Args:
        found: the runs to show; those whose predictions cannot be read are named and left out.
        tab: the tab itself; choosing it fills the overview.
        panels: a sub-tab for each.
        results: where the runs were found.
    """
    problems = gr.Markdown(visible=False, elem_id="problems")

    def name_problems() -> gr.Markdown:
        lines = [f"- {problem}" for problem in found.readable.problems]
        return gr.Markdown("\n".join(lines), visible=bool(lines))

    tab.select(name_problems, None, problems, **EVENT)
    shared = gr.State(None)
    with gr.Tabs(elem_id="panels") as tabs:
        with gr.Tab("Overview", id="overview-tab"):
            add_overview(found, results, tab, tabs, shared)
        for panel in panels:
            with gr.Tab(panel.title, id=panel.name) as own:
                more = {}
                if panel.name in BELOW:
                    more["below"] = partial(BELOW[panel.name], found)
                build_panel(panel, found, own, shared, **more)
    offer_analysis(found, panels)
