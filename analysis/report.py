"""Write the Analysis tab as one HTML page with everything inside; needs no Gradio."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import jinja2
import plotly.graph_objects as go
import plotly.io
from markdown_it import MarkdownIt
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from analysis.overview import overview_html
from analysis.panels import PANELS
from analysis.panels.base import (
    FORMATS,
    NOTHING,
    SAVE_FIGURE,
    CellKey,
    Exhibit,
    Panel,
    csv_link,
    table_html,
)
from analysis.stats.comparison import ComparisonError
from analysis.stats.runs import SPLITS, FoundRuns, ResultsError, find_runs
from cry_model.checkpoint import write_atomically
from cry_model.records import dataset_title

HERE = Path(__file__).parent
TITLE = "Infant cry classifier: what was measured"
MARKDOWN = MarkdownIt("commonmark", {"html": False}).enable("table").disable("image")
READ = (".csv", ".json")
SOFTWARE = {"python": "Python", "torch": "PyTorch", "numpy": "NumPy"}
"""Keys of ``environment`` in ``run.json`` -> names."""


@dataclass(frozen=True)
class Part:
    """One panel for one cell, with the first choice of each selector.

    Attributes:
        title: its dataset and, unless the panel shows all, its split.
        choices: what was chosen, in words: "Metric: balanced accuracy".
        exhibits: what it shows; none if it cannot.
        problem: why it cannot; else empty.
    """

    title: str
    choices: tuple[str, ...]
    exhibits: tuple[Exhibit, ...] = ()
    problem: str = ""


@dataclass(frozen=True)
class Chapter:
    """A panel for all cells for which it has something to show."""

    panel: Panel
    parts: tuple[Part, ...]


def write_report(results: Path, out: Path, panels: Sequence[Panel] = PANELS) -> None:
    """Write the page.

    Args:
        results: the results folder.
        out: the HTML file.
        panels: a chapter for each.

    Raises:
        ResultsError: if no run of the folder can be shown.
        OSError: if ``out`` cannot be written.
    """
    found = find_runs(results, strict=False).readable
    if not found.runs:
        reason = found.problems[0] if found.problems else "Fit some first."
        raise ResultsError(f"No finished run is below {results}. {reason}")
    out.parent.mkdir(parents=True, exist_ok=True)
    text = page(found, chapters(found, panels, results), results)
    write_atomically(out, text.encode("utf-8"))


def chapters(found: FoundRuns, panels: Sequence[Panel], results: Path) -> tuple[Chapter, ...]:
    """Draw all panels for all of their cells; what cannot be drawn leaves a sentence."""
    return tuple(
        Chapter(panel, tuple(_part(panel, found, cell, results) for cell in panel.cells(found)))
        for panel in panels
    )


def _part(panel: Panel, found: FoundRuns, cell: CellKey, results: Path) -> Part:
    dataset = dataset_title(cell.dataset)
    title = dataset[:1].upper() + dataset[1:]
    if panel.by_protocol:
        title += f", {SPLITS[cell.protocol]}"
    choices = _choices(panel, found, cell)
    try:
        return Part(title, choices, panel.exhibits(found, cell))
    except (ResultsError, ComparisonError) as error:
        return Part(title, choices, problem=without_folder(str(error), results))


def _choices(panel: Panel, found: FoundRuns, cell: CellKey) -> tuple[str, ...]:
    texts = []
    for selector in panel.selectors:
        titles = {option.value: option.title for option in selector.offered(found, cell)}
        texts.append(f"{selector.label}: {titles.get(selector.settle(found, cell), 'none')}")
    return tuple(texts)


def page(found: FoundRuns, chapters: Sequence[Chapter], results: Path) -> str:
    """Return the whole page.

    Args:
        found: the runs, and what was wrong with others.
        chapters: what to show.
        results: the folder, of which the page tells the state and not the place.
    """
    filters: dict[str, Callable[..., str]] = {
        "markdown": lambda text: Markup(MARKDOWN.render(text)),
        "drawing": _drawing,
        "table": lambda table, caption: Markup(table_html(table, caption)),
        "csv": lambda exhibit: Markup(csv_link(exhibit)),
    }
    environment = jinja2.Environment(
        autoescape=True,
        trim_blocks=True,
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
    )
    environment.filters |= filters
    text = {name: (HERE / f"report.{name}").read_text("utf-8") for name in ("html.j2", "css", "js")}
    unfinished = [folder.relative_to(results).as_posix() for folder in found.unfinished]
    return environment.from_string(text["html.j2"]).render(
        title=TITLE,
        style=text["css"] + (HERE / "overview.css").read_text("utf-8"),
        overview=Markup(overview_html(found, results, lambda view, *_: f"#{view}")),
        script=text["js"],
        plotly=get_plotlyjs(),
        save_figure=SAVE_FIGURE,
        state=state(found, results),
        problems=[
            *(without_folder(problem, results) for problem in found.problems),
            *(f"{folder} is not finished, and left out." for folder in unfinished),
        ],
        chapters=chapters,
        formats=FORMATS,
        nothing=NOTHING,
    )


def _drawing(figure: go.Figure) -> str:
    """Return a figure as JSON in which nothing ends the script around it."""
    drawing = plotly.io.to_json(figure, validate=False, engine="json")
    return Markup(drawing.replace("<", "\\u003c"))


def state(found: FoundRuns, results: Path) -> str:
    """Return which runs these are: how many, fitted with what, and a digest of their files."""
    counts = Counter(dataset_title(run.dataset) for run in found.runs)
    each = "; ".join(f"{title}: {count}" for title, count in counts.items())
    used = []
    for key, name in SOFTWARE.items():
        every = [one for run in found.runs for one in run.environments]
        versions = {str(one[key]) for one in every if key in one}
        if versions:
            used.append(f"{name} {' and '.join(sorted(versions))}")
    software = f"Fitted with {', '.join(used)}. " if used else ""
    return (
        f"{len(found.runs)} measured {'run' if len(found.runs) == 1 else 'runs'} ({each}). "
        f"{software}State of the results folder: SHA-256 {digest(results)[:16]}."
    )


def digest(results: Path) -> str:
    """Return the SHA-256 of the names and contents of all tables and records."""
    total = hashlib.sha256()
    for path in sorted(results.rglob("*"), key=lambda path: path.relative_to(results).as_posix()):
        if path.suffix in READ and path.is_file():
            total.update(path.relative_to(results).as_posix().encode())
            with contextlib.suppress(OSError):  # what may not be read stands among the problems
                total.update(hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()


def without_folder(sentence: str, results: Path) -> str:
    """Return a sentence about a file of the results folder without where that lies."""
    return sentence.replace(f"{results}{os.sep}", "").replace(str(results), "the results folder")
