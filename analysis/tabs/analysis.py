"""The Analysis tab: a sub-tab for each panel."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from html import escape
from typing import Any

import gradio as gr
import pandas as pd

from analysis.panels import PANELS
from analysis.panels.base import CellKey, Exhibit, Panel, system_title
from analysis.panels.confusion import CONFUSION, display_order
from analysis.panels.errors import ERRORS
from analysis.panels.warming import Warming
from analysis.stats.confusion import Confusion, confusion_of
from analysis.stats.paired import ComparisonError
from analysis.stats.recordings import ResultsError, probability_columns
from analysis.stats.runs import FoundRuns, MeasuredRun
from analysis.tabs.panel_view import EVENT, Below, Wired, build_panel
from analysis.tabs.recordings import ClassifyTab, add_listening, hear_tables, waiting
from cry_model.records import group_name, words


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


# A click on a heat map presses the button of the cell under the pointer: Plotly keeps what it
# hovers over in the element itself, and Gradio's figures report no clicks. The listener for it may
# outlive our element.
ON_LOAD = """
element.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  for (const other of element.querySelectorAll("button")) {
    other.setAttribute("aria-pressed", other === button);
  }
  const { system, label, answer } = button.dataset;
  trigger("select", { index: [system, label, answer], value: button.textContent });
});
document.addEventListener("click", (event) => {
  const place = event.target.closest?.("[id^=confusion-][id$=-figure]")?.id.match(/\\d/)[0];
  const point = event.target.closest?.(".js-plotly-plot")?._hoverdata?.[0];
  const table = element.querySelectorAll("table")[place];
  if (!point || !table || !element.isConnected) return;
  const [row, column] = point.pointNumber;
  table.rows[row + 1].cells[column + 1].querySelector("button")?.click();
}, true);
"""


def grid_html(systems: Sequence[str], confusions: Sequence[Confusion], order: list[int]) -> str:
    """A table of counts for each system; the rows are true labels, the columns answers."""
    tables = (_table(*pair, order) for pair in zip(systems, confusions, strict=True))
    return f'<div class="cell-grids">{"".join(tables)}</div>'


def _table(system: str, confusion: Confusion, order: list[int]) -> str:
    names = [words(confusion.labels[place]) for place in order]
    head = "".join(f'<th scope="col"><span>{escape(name)}</span></th>' for name in names)
    rows = "".join(
        f'<tr><th scope="row">{escape(words(confusion.labels[true]))}</th>'
        + "".join(f"<td>{_button(system, confusion, true, answer)}</td>" for answer in order)
        + "</tr>"
        for true in order
    )
    return (
        f'<table class="cell-grid"><caption>{escape(system_title(system))}</caption>'
        f"<thead><tr><th></th>{head}</tr></thead><tbody>{rows}</tbody></table>"
    )


def _button(system: str, confusion: Confusion, true: int, answer: int) -> str:
    count = int(confusion.counts[true, answer])
    if not count:
        return ""
    label, answered = confusion.labels[true], confusion.labels[answer]
    what = f"{count} of {words(label)} answered as {words(answered)}, {system_title(system)}"
    return (
        f'<button type="button" aria-pressed="false" aria-label="{escape(what)}" '
        f'data-system="{escape(system)}" data-label="{escape(label)}" '
        f'data-answer="{escape(answered)}">{count}</button>'
    )


MOST = 200  # rows; nobody listens to more


def cell_list(run: MeasuredRun, label: str, answer: str) -> pd.DataFrame:
    """Recordings of a true label that were answered alike, the surest first; titles for a reader.

    Returns:
        Recording, its group, the folds in which its pieces were tested, seed, true label, answer
        and the probability of each label in per cent; a row per seed and recording.

    Raises:
        ResultsError: if the predictions of the run cannot be read.
    """
    table = run.judged
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
            "Answer": table["answer"].map(words),
        }
    )
    shown[[f"{words(name)} (%)" for name in run.labels]] = shares
    return shown.reset_index(drop=True)


def list_title(run: MeasuredRun, label: str, answer: str, count: int) -> str:
    """What is listed, as a heading."""
    what = f"{words(label)} answered rightly"
    if label != answer:
        what = f"{words(label)} taken for {words(answer)}"
    seeds = f" over {len(run.seeds)} seeds" if len(run.seeds) > 1 else ""
    only = f", the {MOST} surest of them" if count > MOST else ""
    return f"{system_title(run.system)}, {what}: {count} of its recordings{seeds}{only}"


def _folds(run: MeasuredRun, table: pd.DataFrame) -> pd.Series:
    """Of each row, in which folds its pieces were tested, as "0" or "0, 3"."""
    pieces = run.predictions[run.predictions["recording"].isin(table["recording"])]
    folds = pieces.groupby(["seed", "recording"])["fold"].agg(
        lambda own: ", ".join(map(str, sorted(set(own))))
    )
    keys = pd.MultiIndex.from_frame(table[["seed", "recording"]])
    return pd.Series(folds.reindex(keys).to_numpy(), index=table.index)


INVITATION = (
    "### Hear what was confused\n\nHow many recordings stand in each cell: true labels down, "
    "answers across. Choose one to list them."
)
TO_THE_LIST = """() => document.getElementById("confusion-list-heading")
  ?.scrollIntoView({ behavior: "smooth", block: "start" })"""


def add_cell_choice(found: FoundRuns, classify: ClassifyTab, wired: Wired) -> Below:
    """Lays it out in the current block and connects it to the panel."""
    gr.Markdown(INVITATION)
    grid = gr.HTML(js_on_load=ON_LOAD, elem_id="confusion-cells")
    heading = gr.Markdown(visible=False, elem_id="confusion-list-heading")
    table = gr.Dataframe(
        interactive=False, show_label=False, visible=False, elem_id="confusion-list"
    )
    listening = add_listening("confusion", wired.dataset, [table], classify)

    def renew(cell: CellKey, choices: Mapping[str, Any]) -> tuple[Any, ...]:
        hidden = gr.Markdown(visible=False), gr.Dataframe(visible=False)
        return _grid(wired, found, cell, choices), *hidden, *listening.fill(cell, choices)

    def choose(dataset: str, protocol: str, event: gr.SelectData) -> tuple[Any, ...]:
        system, label, answer = event.index
        run = found.of(dataset, protocol)[system]
        listed = cell_list(run, label, answer)
        title = f"### {list_title(run, label, answer, len(listed))}"
        shown = gr.Markdown(title, visible=True), gr.Dataframe(listed[:MOST], visible=True)
        return *shown, *waiting()

    outputs = [heading, table, *listening.blocks]
    chosen = grid.select(choose, [wired.dataset, wired.protocol], outputs, **EVENT)
    chosen.then(None, js=TO_THE_LIST, api_visibility="private")
    return Below([grid, *outputs], renew)


def _grid(wired: Wired, found: FoundRuns, cell: CellKey, choices: Mapping[str, Any]) -> str:
    """The tables of what is drawn above; nothing where nothing can be drawn."""
    if cell not in wired.panel.cells(found):
        return ""
    systems = list(dict.fromkeys((choices["system"], choices["beside"])))
    try:
        confusions = [confusion_of(found.of(*cell)[system]) for system in systems]
    except ResultsError:
        return ""  # the panel says why
    return grid_html(systems, confusions, display_order(confusions, choices["by_similarity"]))


BELOW: Mapping[str, Callable[[FoundRuns, ClassifyTab, Wired], Below]] = {
    CONFUSION.name: add_cell_choice,
    ERRORS.name: hear_tables,
}
"""Panel -> what lays out more below its exhibits."""


def build_analysis_tab(
    found: FoundRuns,
    tab: gr.Tab,
    panels: Sequence[Panel] = PANELS,
    classify: ClassifyTab | None = None,
) -> None:
    """Lays out the tab inside the current block.

    Args:
        found: the runs to show, and what was wrong with others.
        tab: the tab itself; choosing it draws the first panel.
        panels: a sub-tab for each.
        classify: where a recording of the results is opened; None offers none to listen to.
    """
    if found.problems:
        gr.Markdown("\n".join(f"- {problem}" for problem in found.problems), elem_id="problems")
    shared = gr.State(None)
    with gr.Tabs(elem_id="panels"):
        for number, panel in enumerate(panels):
            with gr.Tab(panel.title, id=panel.name) as own:
                tabs, more = [own] if number else [own, tab], {}
                if classify is not None and panel.name in BELOW:
                    more["below"] = partial(BELOW[panel.name], found, classify)
                build_panel(panel, found, tabs, shared, **more)
    warming = Warming(found, panels)
    tab.select(warming.start, queue=False, show_progress="hidden", api_visibility="private")
    offer_analysis(found, panels)
