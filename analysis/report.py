"""Write the Analysis tab as one self-contained HTML page, without Gradio."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from markupsafe import Markup
from plotly.offline import get_plotlyjs

from analysis.overview import overview_html
from analysis.panels import PANELS
from analysis.panels.base import NOTHING, Panel
from analysis.panels.html import CORPUS, FIGURE_SCRIPT, SPLIT, TEMPLATES, View, view_of
from analysis.stats.runs import SPLITS, FoundRuns, ResultsError, find_runs
from cry_model.checkpoint import write_atomically
from cry_model.records import dataset_title

HERE = Path(__file__).parent
TITLE = "Infant cry classifier: what was measured"
READ = (".csv", ".json")
SOFTWARE = {"python": "Python", "torch": "PyTorch", "numpy": "NumPy"}
"""Keys of ``environment`` in ``run.json`` -> display names."""


def write_report(results: Path, out: Path, panels: Sequence[Panel] = PANELS) -> None:
    """Write one HTML file with a chapter per panel; raise ResultsError if no run of the folder can
    be shown, OSError if ``out`` cannot be written."""
    found = find_runs(results).readable
    if not found.runs:
        reason = found.problems[0] if found.problems else "Fit some first."
        raise ResultsError(f"There is no finished run in {results}. {reason}")
    out.parent.mkdir(parents=True, exist_ok=True)
    text = page(found, panels, results)
    write_atomically(out, text.encode("utf-8"))


def page(found: FoundRuns, panels: Sequence[Panel], results: Path) -> str:
    """Return the page, with all panels for all of their cells; a sentence replaces what cannot be
    drawn. It describes the state of the results folder, but not its path."""
    views = {
        panel: [view_of(panel, found, {CORPUS: c, SPLIT: s}) for c, s in panel.cells(found)]
        for panel in panels
    }
    styles = ("report.css", "panels/panel.css", "overview.css")
    unfinished = [folder.relative_to(results).as_posix() for folder in found.unfinished]
    return TEMPLATES.get_template("report.html.j2").render(
        title=TITLE,
        style="".join((HERE / name).read_text("utf-8") for name in styles),
        overview=Markup(overview_html(found, results, lambda view, *_: f"#{view}")),
        script=FIGURE_SCRIPT.read_text("utf-8") + (HERE / "report.js").read_text("utf-8"),
        plotly=get_plotlyjs(),
        state=state(found, results),
        problems=[
            *(without_folder(problem, results) for problem in found.problems),
            *(f"{folder} is not finished, and left out." for folder in unfinished),
        ],
        chapters=[
            (panel, [(_title(v), _choices(v), v) for v in own]) for panel, own in views.items()
        ],
        hidden=lambda sentence: without_folder(sentence, results),
        nothing=NOTHING,
    )


def _title(view: View) -> str:
    dataset = dataset_title(view.cell.dataset)
    split = f", {SPLITS[view.cell.protocol]}" if view.panel.by_protocol else ""
    return f"{dataset[:1].upper()}{dataset[1:]}{split}"


def _choices(view: View) -> str:
    """Describe the choices other than the cell: "Metric: balanced accuracy"."""
    own = (field for field in view.fields if field.name not in (CORPUS, SPLIT))
    titles = ((field, {value: title for title, value in field.options}) for field in own)
    return "; ".join(f"{field.label}: {of.get(field.value, 'none')}" for field, of in titles)


def state(found: FoundRuns, results: Path) -> str:
    """Describe the runs: how many, the software used, and a digest of the result files."""
    counts = Counter(dataset_title(run.dataset) for run in found.runs)
    each = "; ".join(f"{title}: {count}" for title, count in counts.items())
    used, every = [], [one for run in found.runs for one in run.environments]
    for key, name in SOFTWARE.items():
        if versions := {str(one[key]) for one in every if key in one}:
            used.append(f"{name} {' and '.join(sorted(versions))}")
    software = f"Fitted with {', '.join(used)}. " if used else ""
    return (
        f"{len(found.runs)} measured {'run' if len(found.runs) == 1 else 'runs'} ({each}). "
        f"{software}State of the results folder: SHA-256 {digest(results)[:16]}."
    )


def digest(results: Path) -> str:
    """Return a SHA-256 over the names and contents of all tables and records."""
    total = hashlib.sha256()
    files = {p.relative_to(results).as_posix(): p for p in results.rglob("*") if p.is_file()}
    for name, path in sorted(files.items()):
        if path.suffix in READ:
            total.update(name.encode())
            with contextlib.suppress(OSError):  # unreadable files are listed among the problems
                total.update(hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()


def without_folder(sentence: str, results: Path) -> str:
    """Remove the path of the results folder from a sentence about one of its files."""
    return sentence.replace(f"{results}{os.sep}", "").replace(str(results), "the results folder")
