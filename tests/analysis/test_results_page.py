"""Check docs/results.md, README's table and the overview against rescored predictions."""

import json
import re
import shutil
from html import unescape
from urllib.parse import parse_qs

import pytest

from analysis.__main__ import main
from analysis.overview import HEADINGS, VERDICTS, overview_html, write_verdicts
from analysis.panels import PANELS
from analysis.panels.base import CellKey
from analysis.results_page import (
    BEGIN,
    END,
    ablation_rows,
    count_rows,
    fitting_rows,
    held_out_rows,
    page,
    verdict_rows,
    write_readme_table,
)
from analysis.results_studies import hybrid_rows
from analysis.stats.claims import MAIN, PAPER_SYSTEMS, Verdict, cells_of
from analysis.stats.paper import CLAIMS, FULL, NO_DIFFERENTIAL, NO_MCA, NO_RSE, read_paper
from analysis.stats.runs import RESULTS, ResultsError, find_runs
from cry_model.networks.registry import HYBRID, get_system
from tests.analysis.synthetic_runs import change_record, write_run
from tests.conftest import ROOT
from tests.plain import rows_of, score

SKILLS = {FULL: 2.6, NO_MCA: 0.2, NO_RSE: 2.6, NO_DIFFERENTIAL: 2.5, "ecapa-tdnn": -0.5}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Write runs on Donate-a-Cry under two protocols, on ESC-10 under one; one is unfinished."""
    root = tmp_path_factory.mktemp("results")
    for system, skill in SKILLS.items():
        write_run(root, system, skill, seeds=(0, 1), protocol="clip")
        write_run(root, system, min(skill, 0.0), seeds=(0,), protocol="baby")
    write_run(root, FULL, -1.0, dataset="esc10", protocol="baby")
    folder = write_run(root, "resnet18", protocol="baby")
    change_record(folder, metrics={})
    return root


@pytest.fixture(scope="module")
def cells(root):
    return cells_of(find_runs(root))


def test_generated_files_equal_the_committed_ones(tmp_path):
    out, readme = tmp_path / "results.md", tmp_path / "README.md"
    readme.write_bytes((ROOT / "README.md").read_bytes())
    copy = shutil.copytree(RESULTS, tmp_path / "results")
    (copy / VERDICTS).unlink()
    arguments = ["--results", str(copy), "--out", str(out), "--readme", str(readme)]
    assert main(["results", *arguments]) == 0
    for written, committed in (
        (out, "docs/results.md"),
        (readme, "README.md"),
        (copy / VERDICTS, f"assets/results/{VERDICTS}"),
    ):
        assert written.read_bytes() == (ROOT / committed).read_bytes(), "python -m analysis results"


def test_verdict_tables_match_the_judged_claims(cells):
    rows = {row["balanced accuracy"]: row for row in verdict_rows(cells, MAIN)}
    clip, baby, esc10 = (cell.title for cell in cells)
    assert rows["MCA helps"][clip].startswith("**confirmed** +")
    assert rows["MCA helps"][baby].startswith("**undecided**° ")  # no better than chance
    assert rows["RSE helps"][clip].startswith("**undecided** ")
    assert rows["MCA helps"][esc10] == "not run"
    assert {row[clip] for name, row in rows.items() if "ResNet18" in name} == {"not run"}
    for row in count_rows(cells):
        counts = [int(row[verdict.value]) for verdict in Verdict]
        assert sum(counts) == len(cells) * len(CLAIMS)
    lost = ablation_rows(cells)[0]
    assert (lost["lost without"], lost["the paper (accuracy)"]) == ("MCA", "+0.038")
    values = [score(cells[0].runs[s], MAIN) for s in (FULL, NO_MCA)]
    assert lost[clip].startswith(f"{values[0] - values[1]:+.3f} [")


def test_models_with_other_settings_have_their_own_row(tmp_path):
    write_run(tmp_path, FULL, epochs=12)
    folder = write_run(tmp_path, "resnet18", samples_per_epoch=384)
    change_record(folder, configuration={"settings": {"width": 8}})
    first, second = fitting_rows(cells_of(find_runs(tmp_path)))
    assert (first["models"], first["preset"]) == (get_system(FULL).title, "best")
    assert (second["models"], second["preset"]) == ("ResNet18", "best, width=8")
    epochs = [row["epochs (paper: 700)"] for row in (first, second)]
    assert epochs == ["12", "30 of 384 pieces"]


def test_held_out_fold_is_scored_alone(cells):
    (row,) = held_out_rows(cells)
    table, truth, p = rows_of(cells[2].runs[FULL], by=("seed", "fold"))
    right = (p.argmax(1) == truth)[table["fold"] == 0]
    assert list(row.values()) == [get_system(FULL).title, f"{right.mean():.3f}"]


def test_page_names_unfinished_runs(root, cells):
    text = page(find_runs(root), cells, root)
    assert "## Pruning" not in text  # as it was not measured
    assert "Not finished, and left out: donateacry/baby/resnet18." in text


def test_hybrid_is_compared_on_common_seeds(tmp_path):
    write_run(tmp_path, HYBRID, 1.0, seeds=(1,))
    assert hybrid_rows(cells_of(find_runs(tmp_path))) == []
    write_run(tmp_path, FULL, 0.0, seeds=(0, 1))
    cells = cells_of(find_runs(tmp_path))
    (row,) = hybrid_rows(cells)
    values = [score(cells[0].runs[name], MAIN, [1]) for name in (HYBRID, FULL)]
    assert list(row.values())[1:3] == [f"{value:.3f}" for value in values]
    assert row["difference"].startswith(f"{values[0] - values[1]:.3f} [")
    assert row["seeds"] == "1"


@pytest.mark.parametrize("text", ["no place", BEGIN, f"{END}\n{BEGIN}\n"])
def test_page_without_a_place_for_the_table_is_unchanged(text, tmp_path):
    (tmp_path / "page.md").write_text(text, encoding="utf-8")
    with pytest.raises(ResultsError, match="no place for the table"):
        write_readme_table(RESULTS, tmp_path / "page.md")
    assert (tmp_path / "page.md").read_text(encoding="utf-8") == text


# The overview, compared with scores that scikit-learn computes from the predictions


@pytest.fixture(scope="module")
def found():
    return find_runs(RESULTS).readable


@pytest.fixture(scope="module")
def html(found):
    return overview_html(found, RESULTS)


def text(cell):
    return unescape(re.sub("<[^>]+>", " ", cell)).split()


def test_overview_table_matches_the_runs_and_the_paper(found, html):
    body = html.partition("<tbody>")[2].partition("</tbody>")[0]
    rows = [re.findall(r"<td.*?</td>", row, re.S) for row in body.split("<tr")[1:]]
    cells = [key for key in found.cells if PAPER_SYSTEMS & found.of(*key).keys()]
    for (name, stated), row in zip(read_paper().accuracy.items(), rows, strict=False):
        assert float(text(row[0])[0]) == pytest.approx(100 * stated, abs=0.06)
        for key, cell in zip(cells, row[1:], strict=True):
            run = found.of(*key).get(name)
            if run is None:
                assert text(cell) == ["-"]
            else:
                assert int(text(cell)[0]) == pytest.approx(100 * score(run, MAIN), abs=0.51)


def test_overview_bars_match_recomputed_scores(found, html):
    bars = re.findall(r'href="\?([^"]+)">([^<]+)</a></span>.*?<b>(\d+)</b>', html, re.S)
    named = [(parse_qs(unescape(link)), title, int(value)) for link, title, value in bars]
    named = [bar for bar in named if bar[0]["view"] == ["systems"]]
    assert len(named) > 4
    for link, title, value in named:
        runs = found.of(link["corpus"][0], link["split"][0])
        (run,) = (run for name, run in runs.items() if get_system(name).title == title)
        assert value == pytest.approx(100 * score(run, MAIN), abs=0.51)


def test_every_link_leads_to_a_panel_with_that_cell(found, html):
    panels = {panel.name: panel for panel in PANELS}
    links = {unescape(link) for link in re.findall(r'href="\?([^"]+)"', html)}
    assert len(links) > 10
    for link in links:
        wanted = {name: values[0] for name, values in parse_qs(link).items()}
        assert wanted["tab"] == "analysis"
        panel = panels[wanted["view"]]
        cells = [cell if panel.by_protocol else cell.dataset for cell in panel.cells(found)]
        cell = CellKey(wanted["corpus"], wanted["split"])
        assert (cell if panel.by_protocol else cell.dataset) in cells, link


@pytest.mark.parametrize(
    ("skill", "heading"),
    [({FULL: 3.0, NO_MCA: -1.0}, "all"), ({FULL: -1.0, NO_MCA: 3.0}, "against")],
)
def test_heading_follows_the_verdicts(tmp_path, skill, heading):
    for system, own in skill.items():
        write_run(tmp_path, system, own, seeds=(0, 1))
    found = find_runs(tmp_path).readable
    assert "<h2>" not in overview_html(found, tmp_path)  # no file of verdicts yet
    write_verdicts(cells_of(found), tmp_path)
    verdicts = json.loads((tmp_path / VERDICTS).read_text())
    html = unescape(overview_html(found, tmp_path))
    assert html.count(HEADINGS[heading]) == 1
    judged = [verdicts[v.value] for v in (Verdict.CONFIRMED, Verdict.CONTRADICTED)]
    assert [len(names) for names in judged] == ([1, 0] if heading == "all" else [0, 1])
    assert all(name in html for names in judged for name in names)


def test_overview_omits_what_was_not_run(tmp_path):
    assert overview_html(find_runs(tmp_path), tmp_path) == ""
    write_run(tmp_path, "resnet18", dataset="esc10")
    found = find_runs(tmp_path).readable
    html = overview_html(found, tmp_path)
    assert "Figures 5, 6, 7" not in html
    assert "own corpus" not in html
    assert f">{100 * score(found.runs[0], MAIN):.0f}</a>" in html
