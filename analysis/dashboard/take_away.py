"""What a visitor takes away of an exhibit: its data in a link, its figure out of the browser."""

from __future__ import annotations

from analysis.dashboard.exhibit import Exhibit
from analysis.data_link import data_link

FORMATS = ("svg", "png")
# Plotly keeps what its camera button saves in the element itself. Dark words on white, with the
# finding above them, for the length of the click: the file must be readable anywhere.
SAVE_FIGURE = """(place, format) => {
  const plot = document.querySelector(`#${place} .js-plotly-plot`);
  const button = plot?.querySelector("[data-attr='toImage'], .modebar-btn");
  if (!button) return;
  const link = document.querySelector(`#${place} a.download`);
  const heading = document.querySelector(`#${place}-heading`)?.textContent.trim() ?? "";
  const lines = (heading.match(/.{1,90}(\\s|$)/g) ?? []).map((line) => line.trim());
  const { layout } = plot;
  const kept = { ...layout };
  layout.paper_bgcolor = layout.plot_bgcolor = "white";
  layout.font = { ...layout.font, color: "#222222" };
  layout.title = { text: lines.join("<br>"), x: 0.01, xanchor: "left", y: 0.98, yanchor: "top",
                   font: { size: 14 } };
  layout.margin = { ...layout.margin, t: (layout.margin?.t ?? 36) + 20 * lines.length + 12 };
  layout.height = plot.clientHeight + 20 * lines.length + 12;
  Object.assign(plot._context.toImageButtonOptions, {
    format, filename: link ? link.download.replace(/\\.csv$/, "") : place,
    width: plot.clientWidth, height: layout.height, scale: format === "png" ? 2 : 1 });
  button.click();
  for (const name of Object.keys(layout)) delete layout[name];
  Object.assign(layout, kept);
}"""


def csv_link(exhibit: Exhibit) -> str:
    """The data as a download that the server keeps no file of. HTML."""
    if exhibit.data.empty:
        return ""
    link = data_link("Data (CSV)", f"{exhibit.name}.csv", "text/csv", exhibit.csv)
    return f'<p class="downloads">{link}</p>'
