"""Check that the report is complete, self-contained and reproducible, and names its gaps."""

import base64
import os
import re
import shutil
import subprocess
import sys
from html import escape, unescape

import numpy as np
import pandas as pd
import pytest

from analysis.__main__ import main
from analysis.panels import PANELS
from analysis.panels.base import Exhibit
from analysis.panels.html import CARDS, MOST_ROWS
from analysis.report import digest, write_report
from analysis.stats.paper import FULL
from analysis.stats.runs import find_runs
from tests.analysis.synthetic_runs import change_record, change_table, write_run
from tests.conftest import ROOT

COMMITTED = ROOT / "assets" / "results"
MEGABYTES = 1_000_000
CORPUS, LABEL = "<b>corpus", "</script><script>alert(1)</script>"  # must stay text


def write(root, system, protocol):
    folder = write_run(root, system, protocol=protocol, dataset=CORPUS)
    for path in folder.iterdir():
        path.write_text(path.read_text().replace("burping", LABEL))
    return folder


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("results")
    for protocol in ("clip", "baby"):
        for system in (FULL, "ecapa-tdnn"):
            write(root, system, protocol)
    return root


@pytest.fixture(scope="module")
def text(root, tmp_path_factory):
    out = tmp_path_factory.mktemp("report") / "new" / "report.html"
    assert main(["report", "--results", str(root), "--out", str(out)]) == 0
    assert [path.name for path in out.parent.iterdir()] == ["report.html"]
    return out.read_text(encoding="utf-8")


def written(root, out):
    write_report(root, out)
    return out.read_text(encoding="utf-8")


@pytest.mark.slow
def test_report_of_committed_results_is_below_ten_megabytes(tmp_path):
    text = written(COMMITTED, tmp_path / "report.html")
    assert len(text.encode()) < 10 * MEGABYTES
    outside = re.sub(r"<script>.*?</script>", "", text, flags=re.DOTALL)  # Plotly's code
    assert not re.findall(r"<(?:img|link|iframe|source|script)\b[^>]*(?:src|href)=", outside)
    assert 'class="overview"' in text
    found = find_runs(COMMITTED)
    count = sum(len(panel.cells(found)) for panel in PANELS)
    assert text.count("<summary><h3>") == count
    assert '<p class="problem">' not in text


def test_report_has_every_panel_and_its_data_for_every_cell(root, text):
    links = re.findall(r'download="([^"]*)" href="data:text/csv;base64,(.*?)"', text)
    files = {unescape(name): base64.b64decode(content).decode() for name, content in links}
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


def test_report_bytes_depend_only_on_the_results(root, text, tmp_path):
    moved = shutil.copytree(root, tmp_path / "elsewhere" / "results")
    for path in moved.rglob("*"):
        os.utime(path, (1, 1))
    (moved / ".hidden").write_text("a lock")
    assert written(moved, tmp_path / "two.html") == text
    assert str(root) not in text
    own = digest(root)[:16]
    state = f"4 measured runs ({escape(CORPUS)}: 4). State of the results folder: SHA-256 {own}"
    assert state in text
    path = moved / CORPUS / "baby" / FULL / "run.json"
    path.write_text(path.read_text() + "\n")
    assert digest(moved) != digest(root)


def test_damaged_runs_are_reported_and_the_rest_is_drawn(root, tmp_path):
    root = shutil.copytree(root, tmp_path / "copy")
    (write(root, "resnet18", "baby") / "run.json").write_text("{")
    change_record(write(root, "resnet18", "clip"), metrics={})
    (root / CORPUS / "baby" / FULL / "predictions.csv").write_text("nothing\n")
    change_table(root / CORPUS / "clip" / FULL, lambda t: t.replace({"r007": "x007"}))
    text, corpus = written(root, tmp_path / "report.html"), escape(CORPUS)
    problems = re.search(r'<ul class="problem" id="problems">(.*?)</ul>', text)[1]
    assert f"{corpus}/baby/resnet18/run.json is damaged: not JSON" in problems
    assert f"{corpus}/baby/{FULL}/predictions.csv is damaged: it has no column" in problems
    assert f"{corpus}/clip/resnet18 is not finished" in problems
    (compared,) = re.findall(r'<p class="problem">(.*?)</p>', text)
    assert f"{corpus}/clip/ecapa-tdnn were not tested on the same recordings" in compared
    assert str(root) not in text
    assert text.count("<summary><h3>") > 5  # from the intact runs


def test_text_is_titled_and_escaped(text):
    assert "Nothing to show yet" in text  # as no ablation was run
    assert f"{escape(CORPUS)}, random segments</h3>" in text
    assert "Metric: balanced accuracy" in text
    assert escape(LABEL) in text
    assert r"\u003cscript" in text  # in the figures
    assert "<script>alert" not in text
    assert "<b>" not in text.partition("<main")[2]


def test_table_is_truncated_aligned_and_escaped_with_full_digits():
    rows = [("<b>", 0.25, 11_173_962, 0.00004), (None, np.nan, 5, 2.5), ("x", 1.0, 6, 1.0)]
    table = pd.DataFrame(rows * MOST_ROWS)
    html = CARDS.table(Exhibit("a", "A & b", table, table=table)).replace("\n", "")
    assert "A &amp; b</caption>" in html
    assert f"irst {MOST_ROWS} of {3 * MOST_ROWS} rows" in html
    _, *shown = re.findall(r"<tr>(.*?)</tr>", html)
    assert len(shown) == MOST_ROWS
    assert [re.findall(r">([^<]*)</t[hd]>", row) for row in shown[:3]] == [
        ["&lt;b&gt;", "0.25", "11,173,962", "0.0"], ["", "", "5", "2.5"], ["x", "1.00", "6", "1.0"]
    ]  # fmt: skip
    assert re.findall("<t[hd][^>]*>", shown[0]) == [
        '<th scope="row">', *['<td class="number">'] * 3
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("results", "place", "sentence"),
    [
        ("none", "out.html", "There is no results folder"),
        ("damaged", "out.html", "run.json is damaged"),
        ("one", "empty", "cannot be written: Is a directory."),
        ("one", "file/report.html", "cannot be written:"),
    ],
)
def test_command_reports_errors_in_one_sentence(results, place, sentence, tmp_path, capsys):
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
def test_report_does_not_import_gradio():
    script = "import sys, analysis.report; sys.exit('gradio' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], cwd=ROOT).returncode == 0
