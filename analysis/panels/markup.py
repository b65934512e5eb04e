"""Write tables and download links of panels as HTML, for the page and the report alike."""

from __future__ import annotations

import base64
from html import escape

import jinja2
import numpy as np
import pandas as pd
from markupsafe import Markup
from pandas.api.types import is_bool_dtype, is_numeric_dtype

from analysis.panels.base import Exhibit

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

MOST_ROWS = 100
DIGITS = 4  # after the point, at most
TABLE = jinja2.Template(
    """<div class="table{{ ' cut' if less }}" tabindex="0" role="region" \
aria-label="{{ caption }}{{ less }}"><table><caption><span>{{ caption }}</span>{{ less }}</caption>\
<thead><tr>{% for name in heads %}<th scope="col"{{ sides[loop.index0] }}>{{ name }}</th>\
{% endfor %}</tr></thead><tbody>{% for row in rows %}<tr>{% for cell in row %}\
{% if loop.first %}<th scope="row"{{ sides[0] }}>{{ cell }}</th>\
{% else %}<td{{ sides[loop.index0] }}>{{ cell }}</td>{% endif %}\
{% endfor %}</tr>{% endfor %}</tbody></table></div>""",
    autoescape=True,
)


def data_link(text: str, name: str, kind: str, content: str) -> str:
    """Return a download whose file is in the link itself, so that the server keeps none."""
    data = base64.b64encode(content.encode()).decode()
    address = f"data:{kind};base64,{data}"
    return f'<a class="download" download="{escape(name)}" href="{address}">{escape(text)}</a>'


def csv_link(exhibit: Exhibit) -> str:
    """Return the data as a download; empty if there is none."""
    if exhibit.data.empty:
        return ""
    link = data_link("Data (CSV)", f"{exhibit.name}.csv", "text/csv", exhibit.csv)
    return f'<p class="downloads">{link}</p>'


def table_html(table: pd.DataFrame, caption: str) -> str:
    """Return a table that scrolls in its own box, its head in sight.

    Args:
        table: of more than ``MOST_ROWS`` rows, the first are shown.
        caption: what it shows; plain text.
    """
    shown, cut = table.head(MOST_ROWS), len(table) > MOST_ROWS
    less = f" (the first {MOST_ROWS} of {len(table)} rows; the data below has all)" if cut else ""
    columns = [_column(shown[name]) for name in shown]
    number = Markup(' class="number"')
    return TABLE.render(
        caption=caption,
        less=less,
        heads=map(str, shown),
        sides=[number if _is_number(shown[name]) else "" for name in shown],
        rows=zip(*columns, strict=True),
    )


def _is_number(column: pd.Series) -> bool:
    return is_numeric_dtype(column) and not is_bool_dtype(column)


def _column(column: pd.Series) -> list[str]:
    """Return cells as text, numbers with as many digits as the one that needs most."""
    if not _is_number(column):
        return ["" if pd.isna(value) else str(value) for value in column]
    rounded = column.astype(float).round(DIGITS)
    texts = (np.format_float_positional(value, trim="-") for value in rounded.dropna())
    digits = max((len(text.partition(".")[2]) for text in texts), default=0)
    return ["" if np.isnan(value) else f"{value:,.{digits}f}" for value in column.astype(float)]
