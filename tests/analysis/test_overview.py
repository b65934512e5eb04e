"""The overview against the runs that it sums up, of our results and of synthetic ones."""

import json
import re
from html import unescape
from urllib.parse import parse_qs

import pytest
from sklearn.metrics import balanced_accuracy_score, confusion_matrix

from analysis.overview import HEADINGS, VERDICTS, overview_html, write_verdicts
from analysis.panels import PANELS
from analysis.panels.base import COMPARED, CellKey
from analysis.stats.claims import MAIN, PAPER_SYSTEMS, Verdict, cells_of
from analysis.stats.paper import FULL, NO_MCA, read_paper
from analysis.stats.runs import RESULTS, find_runs
from tests.analysis.synthetic_runs import write_run


@pytest.fixture(scope="module")
def found():
    return find_runs(RESULTS).readable


@pytest.fixture(scope="module")
def html(found):
    return overview_html(found, RESULTS)


def text(cell):
    return unescape(re.sub("<[^>]+>", " ", cell)).split()


def test_the_table_is_that_of_the_runs_and_of_the_paper(found, html):
    body = html.partition("<tbody>")[2].partition("</tbody>")[0]
    rows = [re.findall(r"<td.*?</td>", row, re.S) for row in body.split("<tr")[1:]]
    cells = [key for key in found.cells if PAPER_SYSTEMS & found.of(*key).keys()]
    systems = list(read_paper().accuracy)
    for name, row in zip(systems, rows, strict=False):
        assert float(text(row[0])[0]) == pytest.approx(100 * read_paper().accuracy[name], abs=0.06)
        for key, cell in zip(cells, row[1:], strict=True):
            run = found.of(*key).get(name)
            if run is None:
                assert text(cell) == ["-"]
                continue
            table = run.with_errors  # a second way: the mean over seeds of scikit-learn's
            scores = [
                balanced_accuracy_score(t["label"], t["answer"]) for _, t in table.groupby("seed")
            ]
            assert int(text(cell)[0]) == pytest.approx(100 * sum(scores) / len(scores), abs=1.01)


def test_the_matrices_are_scikit_learns(found, html):
    tables = re.findall(r"<caption>([^<]*)</caption>(.*?)</table>", html, re.S)
    key = next(k for k in found.cells if found.of(*k).keys() >= set(COMPARED))
    assert len(tables) == len(COMPARED)
    for system, (_, table) in zip(COMPARED, tables, strict=True):
        run = found.of(*key)[system]
        expected = confusion_matrix(
            run.with_errors["label"], run.with_errors["answer"], labels=run.labels, normalize="true"
        )
        shown = [int(x) for x in re.findall(r"<td[^>]*>(\d+)</td>", table)]
        assert shown == pytest.approx(list(100 * expected.ravel()), abs=0.51)


def test_every_link_leads_to_a_panel_that_has_the_cell(found, html):
    panels = {panel.name: panel for panel in PANELS}
    links = {unescape(link) for link in re.findall(r'href="\?([^"]+)"', html)}
    assert len(links) > 10
    for link in links:
        wanted = {name: values[0] for name, values in parse_qs(link).items()}
        cells = panels[wanted["view"]].cells(found)
        assert wanted["tab"] == "analysis"
        if panels[wanted["view"]].by_protocol:
            assert CellKey(wanted["corpus"], wanted["split"]) in cells, link
        else:
            assert wanted["corpus"] in {cell.dataset for cell in cells}, link


@pytest.mark.parametrize(
    ("skill", "heading"),
    [({FULL: 3.0, NO_MCA: -1.0}, "all"), ({FULL: -1.0, NO_MCA: 3.0}, "against")],
)
def test_the_sentence_is_that_of_the_verdicts(tmp_path, skill, heading):
    for system, own in skill.items():
        write_run(tmp_path, system, own, seeds=(0, 1))
    found = find_runs(tmp_path).readable
    assert "<h2>" not in overview_html(found, tmp_path)  # without verdicts it counts none
    write_verdicts(cells_of(found.runs), tmp_path)
    counts = json.loads((tmp_path / VERDICTS).read_text())
    assert counts[Verdict.CONFIRMED.value] == (heading == "all")
    assert unescape(overview_html(found, tmp_path)).count(HEADINGS[heading]) == 1


def test_what_was_not_run_is_not_invented(tmp_path):
    assert overview_html(find_runs(tmp_path), tmp_path) == ""
    write_run(tmp_path, "resnet18", dataset="esc10")
    html = overview_html(find_runs(tmp_path).readable, tmp_path)
    assert "Figures 5, 6, 7" not in html
    assert "own corpus" not in html
    scores = find_runs(tmp_path).of("esc10", "baby")["resnet18"].evaluation.metrics[MAIN]
    assert f">{100 * scores.value:.0f}</a>" in html
