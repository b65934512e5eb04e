"""The report: one page with everything in it, the same bytes each time, and what it cannot show."""

import base64
import os
import re
import shutil
import subprocess
import sys
from html import unescape

import pandas as pd
import plotly.graph_objects as go
import pytest

from analysis.__main__ import main
from analysis.panels import PANELS
from analysis.panels.base import Exhibit, Option, Panel, Selector, cells_with
from analysis.panels.html import MOST_ROWS, table_html
from analysis.report import chapters, digest, page, write_report
from analysis.stats.paper import FULL
from analysis.stats.runs import ResultsError, find_runs
from tests.analysis.synthetic_runs import change_record, write_run
from tests.conftest import ROOT

COMMITTED = ROOT / "assets" / "results"
MEGABYTES = 1_000_000


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("results")
    for protocol in ("clip", "baby"):
        for system in (FULL, "ecapa-tdnn"):
            write_run(root, system, protocol=protocol)
    return root


@pytest.fixture(scope="module")
def text(root, tmp_path_factory):
    """The report of these results, by its command."""
    out = tmp_path_factory.mktemp("report") / "new" / "report.html"
    assert main(["report", "--results", str(root), "--out", str(out)]) == 0
    assert [path.name for path in out.parent.iterdir()] == ["report.html"]
    return out.read_text(encoding="utf-8")


@pytest.fixture
def spoilt(root, tmp_path):
    """The same with a run that is malformed, one cut off, and one without readable predictions."""
    copy = shutil.copytree(root, tmp_path / "copy")
    write_run(copy, "resnet18")
    (copy / "donateacry" / "baby" / "resnet18" / "run.json").write_text("{")
    folder = write_run(copy, "resnet18", protocol="clip")
    change_record(folder, metrics={})
    (copy / "donateacry" / "baby" / FULL / "predictions.csv").write_text("nothing\n")
    return copy


def written(root, out):
    write_report(root, out)
    return out.read_text(encoding="utf-8")


def draw(found, cell, system, counts):
    if cell.protocol == "clip":
        raise ResultsError("The file of <clip> is damaged; fit the run again.")
    data = pd.DataFrame({"cell": ["/".join(cell)], "system": [system]})
    title, note = f"{system} & <others>", "How, *exactly*. <script>alert(1)</script>"
    figure = go.Figure(go.Bar(x=["</script><script>alert(2)</script>"], y=[1]))
    return (Exhibit("made", title, data, figure, data, note),)


OPTIONS = [Option("Everything", "all"), Option("<Nothing>", "none")]
MADE = Panel(  # whose words would end up as elements if they were not escaped
    "made",
    "Made & up",
    "For **tests**.",
    draw,
    cells_with,
    (
        Selector("system", "System", lambda *_: OPTIONS, first=1),
        Selector("counts", "Counts", kind="switch"),
    ),
)


@pytest.mark.slow
def test_the_committed_results_make_a_page_of_less_than_ten_megabytes(tmp_path):
    text = written(COMMITTED, tmp_path / "report.html")
    assert len(text.encode()) < 10 * MEGABYTES
    outside = re.sub(r"<script>.*?</script>", "", text, flags=re.DOTALL)  # Plotly's own names
    loaded = re.findall(r"<(?:img|link|iframe|source|script)\b[^>]*(?:src|href)=", outside)
    assert loaded == []
    for panel in PANELS:
        assert f'<details class="chapter" id="{panel.name}">' in text
    found = find_runs(COMMITTED)
    count = sum(len(panel.cells(found)) for panel in PANELS)
    overview, _, rest = text.partition("<main")
    assert 'class="overview"' in overview
    assert rest.count("<summary><h3>") == count
    assert '<p class="problem">' not in text


def test_every_panel_is_there_for_every_cell_with_its_data(root, text):
    links = re.findall(r'download="([^"]*)" href="data:text/csv;base64,(.*?)"', text)
    files = {name: base64.b64decode(content).decode() for name, content in links}
    found = find_runs(root)
    for panel in PANELS:
        for number, cell in enumerate(panel.cells(found)):
            for place, exhibit in enumerate(panel.exhibits(found, cell)):
                heading = rf'<h4 id="{panel.name}-{number}-{place}-heading">(.*?)</h4>'
                assert unescape(re.search(heading, text)[1]) == exhibit.title
                assert files[f"{exhibit.name}.csv"] == exhibit.csv
    assert all(str(root) not in content for content in files.values())
    names = re.findall(r' id="([^"]*)"', text)
    assert len(set(names)) == len(names)
    anchors = re.findall(r'<a href="#([^"]*)"', text)
    assert anchors
    assert set(anchors) <= set(names)


def test_the_bytes_depend_on_the_results_and_nothing_else(root, text, tmp_path):
    moved = shutil.copytree(root, tmp_path / "elsewhere" / "results")
    for path in moved.rglob("*"):
        os.utime(path, (1, 1))
    (moved / ".hidden").write_text("a lock")
    assert written(moved, tmp_path / "two.html") == text
    assert str(root) not in text
    own = digest(root)[:16]
    assert f"4 measured runs (Donate-a-Cry: 4). State of the results folder: SHA-256 {own}" in text
    path = moved / "donateacry" / "baby" / FULL / "run.json"
    path.write_text(path.read_text() + "\n")
    assert digest(moved) != digest(root)


def test_what_cannot_be_shown_is_said_and_the_rest_is_drawn(spoilt, tmp_path):
    text = written(spoilt, tmp_path / "report.html")
    problems = re.search(r'<ul class="problem" id="problems">(.*?)</ul>', text)[1]
    assert "donateacry/baby/resnet18/run.json is damaged: it is no JSON" in problems
    assert f"donateacry/baby/{FULL}/predictions.csv is damaged: it has no column" in problems
    assert "donateacry/clip/resnet18 is not finished" in problems
    assert not re.findall(r'<p class="problem">(.*?)</p>', text)
    assert str(spoilt) not in text
    assert text.count("<summary><h3>") > 5  # those of `clip`, where nothing is wrong


def test_words_stay_words(root):
    found, empty = find_runs(root), Panel("empty", "Empty", "", draw, lambda _: ())
    text = page(found, chapters(found, [MADE, empty]), root)
    assert "There is nothing to show yet" in text
    assert "none &amp; &lt;others&gt;" in text
    assert "<p>For <strong>tests</strong>.</p>" in text
    assert "How, <em>exactly</em>. &lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert "alert(2)" in text
    assert "<script>alert" not in text
    assert "System: &lt;Nothing&gt;; Counts: off" in text
    assert "The file of &lt;clip&gt; is damaged" in text


def test_a_table_is_cut_aligned_and_escaped_and_numbers_keep_their_digits():
    rows = MOST_ROWS + 5
    table = pd.DataFrame(
        {
            "name": ["<b>", None, *["x"] * (rows - 2)],
            "share": [0.25, float("nan"), *[1.0] * (rows - 2)],
            "parameters": [11_173_962, 5, *range(rows - 2)],
            "small": [0.00004, 2.5, *[1.0] * (rows - 2)],
        }
    )
    html = table_html(Exhibit("a", "A & b", table, table=table))
    assert html.count("<tr>") == MOST_ROWS + 1
    assert (
        f"A &amp; b</span> (the first {MOST_ROWS} of {rows} rows; the data below has all)" in html
    )
    first, second, third = re.findall(r"<tr>(.*?)</tr>", html.replace("\n", ""))[1:4]
    assert first.startswith('<th scope="row">&lt;b&gt;</th><td class="number">0.25</td>')
    assert '<th scope="row"></th><td class="number"></td>' in second
    assert '<td class="number">1.00</td>' in third
    assert first.endswith('<td class="number">11,173,962</td><td class="number">0.0</td>')


@pytest.mark.parametrize(
    ("results", "place", "sentence"),
    [
        ("none", "out.html", "There is no results folder"),
        ("empty", "out.html", "No finished run is below"),
        ("damaged", "out.html", "run.json is damaged"),
        ("one", "empty", "cannot be written: Is a directory."),
        ("one", "file/report.html", "cannot be written:"),
    ],
)
def test_the_command_says_what_is_wrong(results, place, sentence, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    write_run(tmp_path / "one", "resnet18")
    (write_run(tmp_path / "damaged", FULL) / "run.json").write_text("{")
    command = ["report", "--results", str(tmp_path / results), "--out", str(tmp_path / place)]
    assert main(command) == 2
    said = capsys.readouterr().err
    assert sentence in said
    assert said.count("\n") == 1


@pytest.mark.slow
def test_the_report_needs_no_gradio():
    script = "import sys, analysis.report; sys.exit('gradio' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], cwd=ROOT).returncode == 0
