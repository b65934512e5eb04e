"""Confusion matrices as tables of buttons: each lists the recordings of its cell. HTML.

Buttons rather than a ``gr.Dataframe``: they are reached and pressed from the keyboard one by one,
a screen reader hears what each of them lists, and ten columns of them fit a phone.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from analysis.confusion_matrix import Confusion
from analysis.dashboard.systems import system_title
from cry_model.records import words

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
