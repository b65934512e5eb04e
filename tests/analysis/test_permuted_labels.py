"""Scores of permuted labels, of a linear classifier and of models, in the panel and on the page."""

import json
import shutil
from dataclasses import asdict

import numpy as np
import pytest

from analysis.panels.leakage import LEAKAGE
from analysis.results_page import permutation_rows, permuted_label_rows
from analysis.stats.claims import cells_of
from analysis.stats.paper import FULL
from analysis.stats.runs import ResultsError, find_runs
from analysis.stats.side_results import permuted_label_runs, read_permutation_test, without_truth
from tests.analysis.synthetic_runs import FOLDS, write_run
from train.studies.permutation_test import Against, Chance

CLIP = Against(0.35, 0.3496, 0.302475, 0.396525, 51 / 101)
BABY = Against(0.9, 0.32475, 0.301, 0.348, 1 / 101)
METRICS = ("accuracy", "balanced_accuracy", "macro_f1", "macro_auc")


def write_chance(root, protocol, score, folds=FOLDS):
    kept, scores = {"hungry": 0.6, "tired": 0.2}, dict.fromkeys(METRICS, score)
    facts = Chance("donateacry", "x", protocol, folds, 0, 100, "log-mel", kept, scores)
    path = root / "donateacry" / protocol / "chance.json"
    path.write_text(json.dumps(asdict(facts)), encoding="utf-8")


def move(folder, root, permutation):
    """Make a run one with permuted labels."""
    record = json.loads((folder / "run.json").read_text())
    record["configuration"]["permuted_labels"] = permutation
    (folder / "run.json").write_text(json.dumps(record))
    place = root / "donateacry" / folder.parent.name / FULL
    shutil.move(folder, place / f"permuted-{permutation}")


@pytest.fixture
def root(tmp_path):
    """A test under two splits, and a model that was fitted to permuted labels once, and twice."""
    root = tmp_path / "results"
    for protocol in ("clip", "baby"):
        write_run(root, FULL, 0.5, protocol=protocol)
    write_run(root, FULL, 2.0, dataset="esc10", protocol="recording")
    write_chance(root, "clip", CLIP)
    write_chance(root, "baby", BABY)
    move(write_run(tmp_path / "a", FULL, 2.5, protocol="clip"), root, 0)
    move(write_run(tmp_path / "b", FULL, -2.0, protocol="baby"), root, 3)
    move(write_run(tmp_path / "c", FULL, 1.0, protocol="baby"), root, 4)
    return root


@pytest.fixture
def found(root):
    return find_runs(root)


def cells(root):
    return cells_of(find_runs(root).runs)


def test_the_permutation_test_of_a_split_is_read(found, root):
    level = read_permutation_test(found.of("donateacry", "clip")[FULL])
    assert level.scores.loc["macro_auc"].to_dict() == asdict(CLIP)
    assert (level.permutations, level.front_end, level.seed) == (100, "log-mel", 0)
    assert level.unchanged == pytest.approx(0.4)
    assert read_permutation_test(found.of("esc10", "recording")[FULL]) is None
    write_chance(root, "clip", CLIP, folds=FOLDS + 1)
    assert read_permutation_test(found.of("donateacry", "clip")[FULL]) is None


@pytest.mark.parametrize("text", ["{", "[]", '{"scores": {"macro_auc": {"value": 1}}}'])
def test_a_damaged_test_is_one_sentence(found, root, text):
    (root / "donateacry" / "clip" / "chance.json").write_text(text)
    with pytest.raises(ResultsError, match=r"chance\.json is not as .* permutation-test writes it"):
        read_permutation_test(found.of("donateacry", "clip")[FULL])


def test_models_with_permuted_labels_are_no_runs_of_their_own(found):
    assert [run.protocol for run in found.runs] == ["clip", "baby", "recording"]
    clip, baby, _ = found.runs
    (one,), several = permuted_label_runs(clip), permuted_label_runs(baby)
    first, second = (b for b in without_truth(found.runs, "accuracy") if FULL in b.name)
    assert (first.protocol, first.estimate) == ("clip", one.evaluation.metrics["accuracy"])
    assert first.title == "Improved ECAPA-TDNN, permuted labels"
    values = [run.evaluation.metrics["accuracy"].value for run in several]
    assert second.estimate.value == pytest.approx(sum(values) / 2)
    assert (second.estimate.low, second.estimate.high) == (min(values), max(values))
    assert second.title.endswith("permuted labels (mean and range of 2)")


def test_what_was_fitted_otherwise_is_refused(root):
    path = root / "donateacry" / "clip" / FULL / "permuted-0" / "run.json"
    record = json.loads(path.read_text())
    record["configuration"]["preset"]["epochs"] = 99
    path.write_text(json.dumps(record))
    with pytest.raises(ResultsError, match="was not fitted as"):
        permuted_label_runs(find_runs(root).of("donateacry", "clip")[FULL])


def test_the_panel_shows_both_beside_the_systems(found):
    exhibit = LEAKAGE.exhibits(found, LEAKAGE.cells(found)[0], {"metric": "balanced_accuracy"})[0]
    lines = {line.name: line for line in exhibit.figure.data if line.name}
    linear = lines["linear classifier, permuted labels"]
    assert np.round(linear.x).tolist() == [0, 1]  # random segments, unseen babies
    assert list(linear.y) == pytest.approx([0.3496, 0.32475])
    row = exhibit.table.set_index("balanced accuracy").loc[linear.name]
    assert row["random segments"] == "0.350 [0.302, 0.397]"
    fitted = next(line for name, line in lines.items() if name.endswith("range of 2)"))
    baselines = without_truth(found.runs, "balanced_accuracy")
    values = [own.estimate.value for own in baselines if FULL in own.name]
    assert list(fitted.y) == pytest.approx(values)


def test_the_page_has_a_row_for_each_split_and_metric(root, found):
    rows = list(permutation_rows(cells(root)))
    assert [row["metric"] for row in rows] == ["balanced accuracy", "macro AUC"] * 2
    clip, baby = rows[1], rows[3]
    assert clip["linear classifier, per recording"] == "Donate-a-Cry, random segments"
    assert (clip["true labels"], clip["permuted labels"]) == ("0.350", "0.350 [0.302, 0.397]")
    assert (clip["p"], clip["permutations"], clip["labels unchanged"]) == ("0.505", "100", "40%")
    assert baby["true labels"] == "0.900"
    rows = list(permuted_label_rows(cells(root)))
    assert [row["metric"] for row in rows] == ["balanced accuracy", "macro AUC"] * 2
    for run, row in zip(found.runs, rows[1::2], strict=False):
        true, *null = (r.evaluation.metrics["macro_auc"] for r in (run, *permuted_label_runs(run)))
        assert row["true labels"] == f"{true.value:.3f} (seed 0)"
        assert row["permuted labels"] == ", ".join(f"{score} (seed 0)" for score in null)


def test_without_either_there_are_no_rows(tmp_path):
    write_run(tmp_path, FULL)
    assert list(permutation_rows(cells(tmp_path))) == []
    assert list(permuted_label_rows(cells(tmp_path))) == []
