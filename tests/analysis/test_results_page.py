"""docs/results.md and the table of README: the committed ones, and some of synthetic runs."""

import json
import re
import shutil
from dataclasses import asdict
from html import unescape
from itertools import takewhile
from urllib.parse import parse_qs

import pytest
from sklearn.metrics import balanced_accuracy_score, confusion_matrix

from analysis.__main__ import main
from analysis.overview import HEADINGS, VERDICTS, overview_html, write_verdicts
from analysis.panels import PANELS
from analysis.panels.base import COMPARED, CellKey
from analysis.results_page import (
    BEGIN,
    END,
    ablation_rows,
    count_rows,
    fitting_rows,
    held_out_rows,
    measured_rows,
    page,
    scores_by_split,
    verdict_rows,
    write_readme_table,
)
from analysis.results_studies import (
    attention_rows,
    hybrid_rows,
    map_rows,
    map_test_rows,
    pruning_rows,
)
from analysis.stats.claims import MAIN, PAPER_SYSTEMS, Verdict, cells_of
from analysis.stats.paper import FULL, NO_DIFFERENTIAL, NO_MCA, NO_RSE, read_paper
from analysis.stats.runs import RESULTS, ResultsError, find_runs
from cry_model.networks.registry import get_system
from tests.analysis.synthetic_runs import pruning_effect, write_run
from tests.conftest import ROOT
from tests.plain import rows_of

SKILLS = {FULL: 2.6, NO_MCA: 0.2, NO_RSE: 2.6, NO_DIFFERENTIAL: 2.5, "ecapa-tdnn": -0.5}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Donate-a-Cry under two protocols, ESC-10 under one; one run that was cut off."""
    root = tmp_path_factory.mktemp("results")
    for system, skill in SKILLS.items():
        write_run(root, system, skill, seeds=(0, 1), protocol="clip", epochs=12)
        write_run(root, system, min(skill, 0.0), seeds=(0,), protocol="baby")
    write_run(root, FULL, -1.0, dataset="esc10", protocol="baby")
    folder = write_run(root, "resnet18", protocol="baby")
    record = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps({**record, "metrics": {}}))
    return root


@pytest.fixture(scope="module")
def cells(root):
    return cells_of(find_runs(root).runs)


def test_what_is_generated_equals_what_is_committed(tmp_path, capsys):
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
    lines = out.read_text(encoding="utf-8").splitlines()
    first = takewhile(lambda line: line.startswith("|"), lines[lines.index("## Settings") + 4 :])
    assert next(first).startswith("| 220 cuts of the paper's corpus")


def test_verdicts_are_those_of_the_claims(cells):
    rows = {row["balanced accuracy"]: row for row in verdict_rows(cells, MAIN)}
    clip, baby, esc10 = (cell.title for cell in cells)
    assert rows["MCA helps"][clip].startswith("**confirmed** +")
    assert rows["MCA helps"][baby].startswith("**undecided**° ")  # no better than chance
    assert rows["RSE helps"][clip].startswith("**undecided** ")
    assert rows["MCA helps"][esc10] == "not run"
    assert {row[clip] for name, row in rows.items() if "ResNet18" in name} == {"not run"}
    for metric in ("balanced accuracy", "accuracy"):
        row = next(row for row in count_rows(cells) if row["verdicts"] == f"{metric}, recordings")
        counts = [int(row[name]) for name in ("confirmed", "contradicted", "undecided")]
        assert sum(counts) + int(row["not run"]) == 3 * 7


def test_verdicts_on_synthetic_cries_are_counted_apart(tmp_path):
    for system, skill in (("ecapa-tdnn", 2.6), ("resnet18", -2.0)):
        write_run(tmp_path, system, skill, dataset="synthetic6")
        write_run(tmp_path, system, 0.0)
    real, synthetic, *_ = count_rows(cells_of(find_runs(tmp_path).runs))
    assert (real["verdicts"], real["confirmed"]) == ("balanced accuracy, recordings", "0")
    assert (synthetic["verdicts"], synthetic["confirmed"]) == (
        "balanced accuracy, synthetic cries",
        "1",
    )


def test_verdicts_below_the_constant_answer_are_marked(tmp_path):
    """By accuracy, where always giving one label is right more often than either model."""
    for system, skill in (("ecapa-tdnn", 0.0), ("resnet18", -9.0)):
        folder = write_run(tmp_path, system, skill)
        record = json.loads((folder / "run.json").read_text())
        record["metrics"]["recording"]["majority_accuracy"] = 0.99
        (folder / "run.json").write_text(json.dumps(record))
    cells = cells_of(find_runs(tmp_path).runs)
    for metric, marked in (("accuracy", True), ("balanced_accuracy", False)):
        row = verdict_rows(cells, metric)[1]
        assert row[cells[0].title].startswith("**confirmed**")
        assert ("†" in row[cells[0].title]) == marked


def test_the_scores_are_those_of_the_files(cells, root):
    record = json.loads((root / "donateacry" / "clip" / NO_RSE / "run.json").read_text())
    measured = record["metrics"]["recording"]["metrics"]
    rows = {row["per recording"]: row for row in measured_rows(cells[0])}
    row = rows[get_system(NO_RSE).title]
    titles = ("accuracy", "balanced accuracy", "macro AUC")
    for title, name in zip(titles, ("accuracy", "balanced_accuracy", "macro_auc"), strict=True):
        one = measured[name]
        assert row[title] == f"{one['value']:.3f} [{one['low']:.3f}, {one['high']:.3f}]"
    assert (row["seeds"], row["parameters"]) == ("0, 1", "0.00 M")
    share = record["metrics"]["recording"]["majority_accuracy"]
    constant = rows['always "hungry"']
    assert [constant[title] for title in titles] == [f"{share:.3f}", "0.333", "0.500"]


def test_an_ablation_is_the_difference_of_two_scores(cells):
    row = ablation_rows(cells, read_paper())[0]
    assert (row["lost without"], row["the paper (accuracy)"]) == ("MCA", "+0.038")
    values = [cells[0].runs[s].evaluation.metrics[MAIN].value for s in (FULL, NO_MCA)]
    assert row[cells[0].title].startswith(f"{values[0] - values[1]:+.3f} [")
    assert ablation_rows(cells[2:], read_paper()) == []


def test_models_fitted_otherwise_have_a_row_of_their_own(cells, tmp_path):
    clip, baby = list(fitting_rows(cells, read_paper()))[:2]
    assert (clip["models"], clip["epochs (paper: 700)"], clip["seeds"]) == ("all", "12", "0, 1")
    assert (baby["models"], baby["epochs (paper: 700)"], baby["seeds"]) == ("all", "30", "0")
    assert (clip["batch"], clip["front end"], clip["folds"]) == ("32", "log-mel", "3")
    write_run(tmp_path, FULL, seeds=(0,))
    folder = write_run(tmp_path, "resnet18", seeds=(0,), draws=384)
    record = json.loads((folder / "run.json").read_text())
    record["configuration"]["settings"] = {"width": 8}
    (folder / "run.json").write_text(json.dumps(record))
    first, second = fitting_rows(cells_of(find_runs(tmp_path).runs), read_paper())
    assert (first["models"], first["preset"]) == (get_system(FULL).title, "best")
    assert (second["models"], second["preset"]) == ("ResNet18", "best, width=8")
    assert second["epochs (paper: 700)"] == "30 of 384 pieces"


def test_the_held_out_fold_is_scored_alone(cells):
    (row,) = held_out_rows(cells)
    table, truth, p = rows_of(cells[2].runs[FULL], by=("seed", "fold"))
    right = (p.argmax(1) == truth)[table["fold"] == 0]
    assert list(row.values()) == [get_system(FULL).title, f"{right.mean():.3f}"]


def test_the_page_has_a_section_for_what_was_measured_alone(root):
    text = page(find_runs(root), read_paper(), {})
    assert "## Attention ablation" not in text
    assert "## Permutation test" not in text
    assert "Not finished, and left out: donateacry/baby/resnet18." in text


def effect_record():
    """As ``train.studies.attention_ablation`` documents it; other fields are left out."""
    estimate = {"value": 0.9, "low": 0.85, "high": 0.95}
    share = {"value": 0.25, "low": 0.2, "high": 0.3}

    def change(low, high):
        difference = {"value": (low + high) / 2, "low": low, "high": high}
        metric = {"fitted": estimate, "neutral": estimate, "difference": difference}
        return {"metrics": {"balanced_accuracy": metric}, "changed": share, "distance": share}

    return {
        "seeds": [0],
        "ablated": {"differential": change(-0.02, 0.02), "temporal": change(-0.2, -0.1)},
        "differential": {
            "tokens": 4,
            "entropy_1": estimate,
            "entropy_2": estimate,
            "weight": {"seed 0, fold 0": 0.7, "seed 0, fold 1": 0.5},
        },
    }


def test_an_attention_ablation_is_two_tables(tmp_path):
    folder = write_run(tmp_path, FULL)
    (folder / "attention_effect.json").write_text(json.dumps(effect_record()))
    cells = cells_of(find_runs(tmp_path).runs)
    (row,) = attention_rows(cells)
    assert list(row.values())[1:] == [
        "+0.000 [-0.020, +0.020], 25%",
        "**-0.150 [-0.200, -0.100], 25%**",
    ]
    (row,) = map_rows(cells)
    assert row["entropy of A1"] == "0.900 [0.850, 0.950]"
    assert row["lambda"] == "0.500 to 0.700"
    record = {**effect_record(), "differential": None}  # as of a model without it
    (folder / "attention_effect.json").write_text(json.dumps(record))
    assert len(attention_rows(cells)) == 1
    assert map_rows(cells) == []


@pytest.mark.parametrize("text", ["{", "[]", '{"seeds": [0]}', '{"ablated": {"x": 1}}'])
def test_a_damaged_ablation_is_one_sentence(tmp_path, text):
    folder = write_run(tmp_path, FULL)
    (folder / "attention_effect.json").write_text(text)
    with pytest.raises(ResultsError, match=r"attention_effect\.json is not as .* writes it"):
        attention_rows(cells_of(find_runs(tmp_path).runs))


def test_the_hybrid_is_compared_and_its_map_tested(tmp_path):
    folder = write_run(tmp_path, "hybrid-ecapa-tdnn", 1.0)
    cells = cells_of(find_runs(tmp_path).runs)
    assert hybrid_rows(cells) == map_test_rows(cells) == []
    write_run(tmp_path, FULL, 0.0)
    one = dict.fromkeys(("value", "low", "high"), 0.5)
    scores = dict.fromkeys(
        ("kept", "elsewhere", "removed", "ahead", "kept_more", "removed_more"), one
    )
    record = {"recordings": 7, "whole": one, "maps": {"temporal_attention": scores}}
    record["maps"]["spectral_attention"] = {**scores, "kept_more": None, "removed_more": None}
    (folder / "explanations.json").write_text(json.dumps(record))
    cells = cells_of(find_runs(tmp_path).runs)
    (row,) = hybrid_rows(cells)
    difference = float(row["Hybrid ECAPA-TDNN"]) - float(row["Improved ECAPA-TDNN"])
    assert float(row["difference"].split()[0]) == pytest.approx(difference, abs=0.0011)
    known, unknown = map_test_rows(cells)
    assert known["kept, less A<sub>t</sub>'s"] == known["kept - elsewhere"]
    assert unknown["kept, less A<sub>t</sub>'s"] == "-"


def test_pruned_models_are_a_table_where_they_were_measured(tmp_path):
    folder = write_run(tmp_path, FULL)
    cells = cells_of(find_runs(tmp_path).runs)
    assert list(pruning_rows(cells)) == []
    (folder / "pruning.json").write_text(json.dumps(asdict(pruning_effect())))
    rows = list(pruning_rows(cells))
    assert [(row["channels"], row["numbers"]) for row in rows[:3]] == [
        ("128", "float32"), ("128", "int8"), ("90", "float32"),
    ]  # fmt: skip
    assert rows[-1]["difference"] == "-0.060 [-0.110, -0.010]"
    assert "## Pruning and int8" in page(find_runs(tmp_path), read_paper(), {})


def test_a_model_that_was_not_measured_has_a_dash(tmp_path):
    write_run(tmp_path, "ecapa-tdnn")
    rows = scores_by_split(find_runs(tmp_path).runs)
    column = {row["balanced accuracy"]: row["Donate-a-Cry, unseen babies"] for row in rows}
    assert (column["ResNet18"], column["chance level"]) == ("-", "0.333")
    assert column["ECAPA-TDNN"] == str(find_runs(tmp_path).runs[0].evaluation.metrics[MAIN])


@pytest.mark.parametrize("text", ["no place", BEGIN, f"{END}\n{BEGIN}\n"])
def test_a_page_without_a_place_for_the_table_stays_as_it_is(text, tmp_path):
    (tmp_path / "page.md").write_text(text, encoding="utf-8")
    with pytest.raises(ResultsError, match="no place for the table"):
        write_readme_table(RESULTS, tmp_path / "page.md")
    assert (tmp_path / "page.md").read_text(encoding="utf-8") == text


def test_the_command_says_what_is_wrong(tmp_path, capsys):
    out = tmp_path / "page.md"
    arguments = ["results", "--results", str(tmp_path / "none"), "--out", str(out)]
    assert main(arguments) == 2
    assert "no results folder" in capsys.readouterr().err
    assert not out.exists()
    (tmp_path / "none").mkdir()
    assert main(arguments) == 2
    said = capsys.readouterr().err
    assert "No model of the paper" in said
    assert said.count("\n") == 1


# The overview against the runs that it sums up, of our results and of synthetic ones


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
