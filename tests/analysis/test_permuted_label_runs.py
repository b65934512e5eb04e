"""Models that were fitted to permuted labels."""

import json
import shutil

import pytest

from analysis.panels.leakage import LEAKAGE
from analysis.results_page import permuted_label_rows
from analysis.stats.claims import cells_of
from analysis.stats.paper import FULL
from analysis.stats.recordings import ResultsError
from analysis.stats.runs import find_runs
from analysis.stats.side_results import permuted_label_runs, without_truth
from tests.analysis.synthetic_runs import write_run


@pytest.fixture
def root(tmp_path):
    """Under two splits; a permutation that is learnt as well, and one that is not."""
    root = tmp_path / "results"
    for protocol in ("clip", "baby"):
        write_run(root, FULL, 0.5, protocol=protocol)
    move(write_run(tmp_path / "a", FULL, 2.5, protocol="clip"), root, 0)
    move(write_run(tmp_path / "b", FULL, -2.0, protocol="baby"), root, 3)
    return root


def move(folder, root, permutation, system=FULL):
    record = json.loads((folder / "run.json").read_text())
    record["configuration"]["permuted_labels"] = permutation
    (folder / "run.json").write_text(json.dumps(record))
    shutil.move(
        folder, root / "donateacry" / folder.parent.name / system / f"permuted-{permutation}"
    )


def test_they_are_found_beside_the_run_and_are_no_runs_of_their_own(root):
    found = find_runs(root)
    assert [run.protocol for run in found.runs] == ["clip", "baby"]
    for run in found.runs:
        (permuted,) = permuted_label_runs(run)
        assert permuted.folder.parent == run.folder
    (clip, baby) = without_truth(found.runs, "macro_auc")
    assert clip.estimate == permuted_label_runs(found.runs[0])[0].evaluation.metrics["macro_auc"]
    assert clip.title == "Improved ECAPA-TDNN, permuted labels"
    assert (clip.protocol, baby.protocol) == ("clip", "baby")


def test_the_page_has_each_permutation(root):
    rows = list(permuted_label_rows(cells_of(find_runs(root).runs)))
    assert [row["metric"] for row in rows] == ["balanced accuracy", "macro AUC"] * 2
    run = find_runs(root).of("donateacry", "clip")[FULL]
    true, permuted = (r.evaluation.metrics["macro_auc"] for r in (run, permuted_label_runs(run)[0]))
    assert rows[1]["true labels"] == f"{true.value:.3f} (seed 0)"
    assert rows[1]["permuted labels"] == f"{permuted} (seed 0)"
    for protocol, number in (("clip", 0), ("baby", 3)):
        shutil.rmtree(root / "donateacry" / protocol / FULL / f"permuted-{number}")
    assert list(permuted_label_rows(cells_of(find_runs(root).runs))) == []


def test_of_several_dealings_it_is_the_mean_and_how_far_they_reach(root, tmp_path):
    move(write_run(tmp_path / "c", FULL, 1.0, protocol="clip"), root, 4)
    found = find_runs(root)
    every = [run.evaluation.metrics["accuracy"] for run in permuted_label_runs(found.runs[0])]
    assert len(every) == 2
    values = [one.value for one in every]
    (shown,) = (y for y in without_truth(found.runs, "accuracy") if y.protocol == "clip")
    assert shown.estimate.value == pytest.approx(sum(values) / 2)
    assert (shown.estimate.low, shown.estimate.high) == (min(values), max(values))
    assert shown.title.endswith("permuted labels (mean and range of 2)")
    row = list(permuted_label_rows(cells_of(found.runs)))[1]
    scores = [run.evaluation.metrics["macro_auc"] for run in permuted_label_runs(found.runs[0])]
    assert row["permuted labels"] == ", ".join(f"{score} (seed 0)" for score in scores)


def test_the_panel_shows_them_in_grey(root):
    found = find_runs(root)
    scores = LEAKAGE.exhibits(found, LEAKAGE.cells(found)[0], {"metric": "accuracy"})[0]
    line = next(t for t in scores.figure.data if "permuted" in t.name)
    values = [y.estimate.value for y in without_truth(found.runs, "accuracy")]
    assert list(line.y) == pytest.approx(values)
    assert line.name in list(scores.table["accuracy"])


def test_what_was_fitted_otherwise_is_refused(root):
    path = root / "donateacry" / "clip" / FULL / "permuted-0" / "run.json"
    record = json.loads(path.read_text())
    record["configuration"]["preset"]["epochs"] = 99
    path.write_text(json.dumps(record))
    with pytest.raises(ResultsError, match="was not fitted as"):
        permuted_label_runs(find_runs(root).of("donateacry", "clip")[FULL])
