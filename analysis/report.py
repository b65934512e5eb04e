"""The page of the report. HTML, with everything that it needs inside."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

import plotly.io
from markdown_it import MarkdownIt
from plotly.offline import get_plotlyjs

from analysis.panels import PANELS
from analysis.panels.base import NOTHING, PROTOCOL_TITLES, CellKey, Exhibit, Panel
from analysis.stats.paired import ComparisonError
from analysis.stats.recordings import ResultsError
from analysis.stats.runs import FoundRuns, find_runs
from analysis.tabs.panel_view import FORMATS, SAVE_FIGURE, csv_link, table_html
from cry_model.checkpoint import write_atomically
from cry_model.records import dataset_title


@dataclass(frozen=True)
class Part:
    """One panel for one cell, with the choices of the beginning.

    Attributes:
        cell: which.
        choices: what was chosen, in words: "Metric: balanced accuracy".
        exhibits: what it shows; none if it cannot.
        problem: why it cannot; else empty.
    """

    cell: CellKey
    choices: tuple[str, ...]
    exhibits: tuple[Exhibit, ...] = ()
    problem: str = ""


@dataclass(frozen=True)
class Chapter:
    """A panel for all cells for which it has something to show."""

    panel: Panel
    parts: tuple[Part, ...]


def chapters(found: FoundRuns, panels: Sequence[Panel]) -> tuple[Chapter, ...]:
    """What all panels show for all of their cells; what cannot be drawn leaves a sentence."""
    return tuple(
        Chapter(panel, tuple(_chapter_part(panel, found, cell) for cell in panel.cells(found)))
        for panel in panels
    )


def _chapter_part(panel: Panel, found: FoundRuns, cell: CellKey) -> Part:
    choices = _choices(panel, found, cell)
    try:
        return Part(cell, choices, panel.exhibits(found, cell))
    except (ResultsError, ComparisonError) as error:
        return Part(cell, choices, problem=str(error))


def _choices(panel: Panel, found: FoundRuns, cell: CellKey) -> tuple[str, ...]:
    words = []
    for selector in panel.selectors:
        value = selector.settle(found, cell)
        if selector.kind == "switch":
            words.append(f"{selector.label}: {'on' if value else 'off'}")
        else:
            titles = {option.value: option.title for option in selector.offered(found, cell)}
            words.append(f"{selector.label}: {titles.get(value, 'none')}")
    return tuple(words)


READ = (".csv", ".json")
SOFTWARE = {"python": "Python", "torch": "PyTorch", "numpy": "NumPy"}
"""Keys of ``environment`` in ``run.json`` -> names."""


def state(found: FoundRuns, results: Path) -> str:
    """In three sentences."""
    counts = Counter(dataset_title(run.dataset) for run in found.runs)
    each = "; ".join(f"{title}: {count}" for title, count in counts.items())
    total = f"{len(found.runs)} measured {'run' if len(found.runs) == 1 else 'runs'}"
    return (
        f"{total} ({each}). {_software(found)} State of the results folder: SHA-256 "
        f"{digest(results)[:16]}."
    )


def digest(results: Path) -> str:
    """Of the names and contents of all tables and records, whatever their dates."""
    total = hashlib.sha256()
    for path in sorted(results.rglob("*"), key=lambda path: path.relative_to(results).as_posix()):
        if path.suffix in READ and path.is_file():
            total.update(path.relative_to(results).as_posix().encode())
            with contextlib.suppress(OSError):  # what may not be read stands among the problems
                total.update(hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()


def _software(found: FoundRuns) -> str:
    used = []
    for key, name in SOFTWARE.items():
        every = [one for run in found.runs for one in run.environments]
        versions = {str(one[key]) for one in every if key in one}
        if versions:
            used.append(f"{name} {' and '.join(sorted(versions))}")
    return f"Fitted with {', '.join(used)}." if used else ""


def without_folder(sentence: str, results: Path) -> str:
    """A sentence about a file of the results folder without where that lies on this machine."""
    return sentence.replace(f"{results}{os.sep}", "").replace(str(results), "the results folder")


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


def write_report(results: Path, out: Path, panels: Sequence[Panel] = PANELS) -> None:
    """Writes the page.

    Args:
        results: the results folder.
        out: the HTML file.
        panels: a chapter for each.

    Raises:
        ResultsError: if no run of the folder can be shown.
        OSError: if ``out`` cannot be written.
    """
    found = find_runs(results, strict=False)
    if not found.runs:
        reason = found.problems[0] if found.problems else "Fit some first."
        raise ResultsError(f"No finished run is below {results}. {reason}")
    out.parent.mkdir(parents=True, exist_ok=True)
    text = page(found, chapters(found, panels), results)
    write_atomically(out, text.encode("utf-8"))
