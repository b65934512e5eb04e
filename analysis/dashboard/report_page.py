"""The page of the report. HTML, with everything that it needs inside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

import plotly.io
from markdown_it import MarkdownIt
from plotly.offline import get_plotlyjs

from analysis.dashboard.exhibit import Exhibit
from analysis.dashboard.html_table import table_html
from analysis.dashboard.panel import NOTHING, PROTOCOL_TITLES, CellKey, Panel
from analysis.dashboard.report_chapters import Chapter, Part
from analysis.dashboard.report_state import state, without_folder
from analysis.dashboard.take_away import FORMATS, SAVE_FIGURE, csv_link
from analysis.runs import FoundRuns
from cry_model.records import dataset_title

HERE = Path(__file__).parent
TITLE = "Infant cry classifier: what was measured"
# Nothing is fetched, whatever a name or a note holds.
POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:"
)
MARKDOWN = MarkdownIt("commonmark", {"html": False}).enable("table").disable("image")


def page(found: FoundRuns, chapters: Sequence[Chapter], results: Path) -> str:
    """The whole page.

    Args:
        found: the runs, and what was wrong with others.
        chapters: what to show.
        results: the folder, of which the page tells the state and not the place.
    """
    style, script = (HERE.joinpath(name).read_text("utf-8") for name in ("report.css", "report.js"))
    body = "".join(_chapter(chapter, results) for chapter in chapters)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        f"<title>{TITLE}</title>\n<style>\n{style}</style>\n</head>\n<body>\n"
        f"<header><h1>{TITLE}</h1><p>{escape(state(found, results))}</p>"
        f"{_problems(found, results)}<noscript><p>The figures need JavaScript; tables, notes and "
        f"data do not.</p></noscript></header>\n{_contents(chapters)}\n<main>\n{body}</main>\n"
        f"<script>{get_plotlyjs()}</script>\n"
        f"<script>\nconst saveFigure = {SAVE_FIGURE};\n{script}</script>\n</body>\n</html>\n"
    )


def _problems(found: FoundRuns, results: Path) -> str:
    """What the folder holds and the report cannot show."""
    lines = [without_folder(problem, results) for problem in found.problems]
    lines += [
        f"{folder.relative_to(results).as_posix()} is not finished, and left out."
        for folder in found.unfinished
    ]
    items = "".join(f"<li>{escape(line)}</li>" for line in lines)
    return f'<ul class="problem" id="problems">{items}</ul>' if items else ""


def _contents(chapters: Sequence[Chapter]) -> str:
    items = "".join(_entry(chapter) for chapter in chapters)
    return f'<nav aria-label="Contents"><h2>Contents</h2><ul>{items}</ul></nav>'


def _entry(chapter: Chapter) -> str:
    panel = chapter.panel
    parts = "".join(
        f'<li><a href="#{panel.name}-{number}">{escape(_cell_title(panel, part.cell, {}))}</a></li>'
        for number, part in enumerate(chapter.parts)
    )
    return f'<li><a href="#{panel.name}">{escape(panel.title)}</a><ul>{parts}</ul></li>'


def _chapter(chapter: Chapter, results: Path) -> str:
    panel = chapter.panel
    parts = "".join(
        _part(panel, part, f"{panel.name}-{number}", results)
        for number, part in enumerate(chapter.parts)
    )
    return (
        f'<section id="{panel.name}"><h2>{escape(panel.title)}</h2>{MARKDOWN.render(panel.lead)}'
        f"{parts or f'<p>{NOTHING}</p>'}</section>\n"
    )


def _part(panel: Panel, part: Part, name: str, results: Path) -> str:
    choices = f'<p class="choices">{escape("; ".join(part.choices))}</p>' if part.choices else ""
    problem = escape(without_folder(part.problem, results))
    shown = f'<p class="problem">{problem}</p>' if problem else ""
    shown += "".join(_exhibit(e, f"{name}-{number}") for number, e in enumerate(part.exhibits))
    title = escape(_cell_title(panel, part.cell))
    return f'<section id="{name}"><h3>{title}</h3>{choices}{shown}</section>\n'


def _exhibit(exhibit: Exhibit, name: str) -> str:
    buttons = "".join(
        f'<button type="button" class="download" data-place="{name}" data-format="{kind}">'
        f"Figure ({kind.upper()})</button>"
        for kind in FORMATS
    )
    pictured = exhibit.figure is not None
    table = "" if exhibit.table is None else table_html(exhibit.table, exhibit.title)
    return (
        f'<article id="{name}"><h4 id="{name}-heading">{escape(exhibit.title)}</h4>'
        f"{_figure(exhibit) if pictured else ''}{table}"
        f'<div class="note">{MARKDOWN.render(exhibit.note)}</div>'
        f'<div class="take-away">{buttons if pictured else ""}{csv_link(exhibit)}</div></article>\n'
    )


def _figure(exhibit: Exhibit) -> str:
    """A place of the right height, and what is drawn there once it comes into view."""
    drawing = plotly.io.to_json(exhibit.figure, validate=False, engine="json")
    height = int(exhibit.figure.layout.height or 450)
    inert = drawing.replace("<", "\\u003c")  # nothing in it ends the script
    return (
        f'<div class="plot" style="height: {height}px" role="img" '
        f'aria-label="{escape(exhibit.title)}"></div>'
        f'<script type="application/json">{inert}</script>'
    )


def _cell_title(panel: Panel, cell: CellKey, protocols: Mapping[str, str] = PROTOCOL_TITLES) -> str:
    """The dataset, and the protocol by its name or what ``protocols`` calls it."""
    title = dataset_title(cell.dataset)
    title = title[:1].upper() + title[1:]
    return f"{title}, {protocols.get(cell.protocol, cell.protocol)}" if panel.by_protocol else title
