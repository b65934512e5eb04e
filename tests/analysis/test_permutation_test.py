"""Scores of permuted labels, as the page and docs/results.md show them."""

import json
from dataclasses import asdict

import pytest

from analysis.panels.leakage import LEAKAGE
from analysis.results_page import permutation_rows
from analysis.stats.claims import cells_of
from analysis.stats.paper import FULL
from analysis.stats.recordings import ResultsError
from analysis.stats.runs import find_runs
from analysis.stats.side_results import read_permutation_test, without_truth
from tests.analysis.synthetic_runs import FOLDS, write_run
from train.studies.permutation_test import Chance, against

CLIP = [0.30 + 0.001 * i for i in range(100)]
BABY = [0.30 + 0.0005 * i for i in range(100)]


def write_chance(root, protocol, value, draws, dataset="donateacry", folds=FOLDS):
    scores = dict.fromkeys(
        ("accuracy", "balanced_accuracy", "macro_f1", "macro_auc"), against(value, draws)
    )
    kept = {"hungry": 0.6, "tired": 0.2}
    facts = Chance(dataset, "x", protocol, folds, 0, len(draws), "log-mel", kept, scores)
    text = json.dumps(asdict(facts))
    (root / dataset / protocol / "chance.json").write_text(text, encoding="utf-8")


@pytest.fixture
def root(tmp_path):
    for protocol, skill in (("clip", 2.5), ("baby", -3.0)):
        write_run(tmp_path, FULL, skill, protocol=protocol)
        write_run(tmp_path, "ecapa-tdnn", 2.5, protocol=protocol)
    write_run(tmp_path, FULL, 2.0, dataset="esc10", protocol="recording")
    write_chance(tmp_path, "clip", 0.35, CLIP)
    write_chance(tmp_path, "baby", 0.9, BABY)
    return tmp_path


def test_each_protocol_has_its_own_and_none_where_none_was_asked(root):
    found = find_runs(root)
    level = read_permutation_test(found.of("donateacry", "clip")[FULL])
    one = level.scores["macro_auc"]
    assert level.permutations == 100
    assert (one.value, one.permuted.value) == (0.35, pytest.approx(0.3495))
    assert (one.permuted.low, one.permuted.high) == (
        pytest.approx(0.302475),
        pytest.approx(0.396525),
    )
    assert one.p == pytest.approx(51 / 101)
    assert (level.unchanged, level.front_end) == (pytest.approx(0.4), "log-mel")
    assert read_permutation_test(found.of("esc10", "recording")[FULL]) is None
    ways = without_truth(found.runs, "macro_f1")
    assert sorted((way.dataset, way.protocol) for way in ways) == [
        ("donateacry", "baby"),
        ("donateacry", "clip"),
    ]
    write_chance(root, "clip", 0.35, CLIP, folds=FOLDS + 1)
    assert [way.protocol for way in without_truth(found.runs, "macro_f1")] == ["baby"]


def test_the_panel_shows_them_beside_the_systems(root):
    found = find_runs(root)
    cell = next(cell for cell in LEAKAGE.cells(found) if cell.dataset == "donateacry")
    scores = LEAKAGE.exhibits(found, cell, {"metric": "balanced_accuracy"})[0]
    line = next(t for t in scores.figure.data if "permuted" in t.name)
    assert list(line.x) == ["random segments", "unseen babies"]
    assert list(line.y) == pytest.approx([0.3495, 0.32475])
    row = scores.table.set_index("balanced accuracy").loc["linear classifier, permuted labels"]
    assert row["random segments"] == "0.350 [0.302, 0.397]"


def test_the_page_has_a_row_for_each_split_and_metric(root):
    rows = list(permutation_rows(cells_of(find_runs(root).runs)))
    assert [row["metric"] for row in rows] == ["balanced accuracy", "macro AUC"] * 2
    clip, baby = rows[1], rows[3]
    assert clip["linear classifier, per recording"] == "Donate-a-Cry, random segments"
    assert (clip["true labels"], clip["permuted labels"]) == ("0.350", "0.350 [0.302, 0.397]")
    assert (clip["p"], clip["permutations"], clip["labels unchanged"]) == ("0.505", "100", "40%")
    assert baby["true labels"] == "0.900"


def test_without_the_test_there_are_no_rows(tmp_path):
    write_run(tmp_path, FULL)
    assert list(permutation_rows(cells_of(find_runs(tmp_path).runs))) == []


@pytest.mark.parametrize("text", ["{", "[]", '{"scores": {"macro_auc": {"value": 1}}}'])
def test_a_damaged_file_is_one_sentence(root, text):
    (root / "donateacry" / "clip" / "chance.json").write_text(text)
    with pytest.raises(ResultsError, match=r"chance\.json is not as .* permutation-test writes it"):
        read_permutation_test(find_runs(root).of("donateacry", "clip")[FULL])
