"""Check reading results folders: complete, unfinished and damaged runs, and files beside them."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest

from analysis.panels.leakage import LEAKAGE
from analysis.results_studies import attention_rows, map_test_rows
from analysis.stats.claims import cells_of
from analysis.stats.paper import FULL
from analysis.stats.runs import FoundRuns, ResultsError, find_runs, join_runs, read_run
from analysis.stats.side_results import (
    permuted_label_runs,
    read_permutation_test,
    read_pruning,
    without_truth,
)
from app import results_folder
from cry_model.metrics import SCORES
from tests.analysis.synthetic_runs import (
    BABY,
    CLIP,
    FOLDS,
    LABELS,
    change_record,
    change_table,
    write_run,
)
from tests.plain import rows_of


def test_run_is_read_as_written(tmp_path):
    run = read_run(write_run(tmp_path, "ecapa-tdnn", seeds=(2, 0), epochs=7))
    assert (run.dataset, run.protocol, run.system) == ("donateacry", "baby", "ecapa-tdnn")
    assert (run.labels, set(run.seeds), run.folds) == (LABELS, {0, 2}, 3)
    assert (run.parameters, run.multiply_adds, run.wall_seconds) == (1000, 2000, 360.0)
    assert (run.preset["epochs"], run.fitted_with("device")) == (7, "cpu")
    assert len(run.predictions) == 2 * 2 * 90
    pd.testing.assert_frame_equal(run.recordings, rows_of(run)[0])  # 007 stays text
    means = run.recordings.groupby("recording")["p_hungry"].mean()
    over_seeds = run.judged_over_seeds.set_index("recording")["p_hungry"]
    pd.testing.assert_series_equal(over_seeds, means)


@pytest.mark.parametrize("question", [{"within": {"fold": 0}}, {"permuted_labels": 0}])
def test_runs_within_a_fold_or_with_permuted_labels_are_not_reported(tmp_path, question):
    write_run(tmp_path, "resnet18")
    change_record(write_run(tmp_path, "ecapa-tdnn"), configuration=question)
    assert [run.system for run in find_runs(tmp_path).runs] == ["resnet18"]


def test_unfinished_and_damaged_runs_are_distinguished(tmp_path):
    folder = write_run(tmp_path, "resnet18")
    change_record(folder, metrics={})
    assert find_runs(tmp_path).unfinished == (folder,)
    with pytest.raises(ResultsError, match="not finished"):
        read_run(folder)
    (folder / "run.json").write_text("{")
    (problem,) = find_runs(tmp_path).problems
    assert "damaged" in problem


def test_runs_are_in_the_order_of_the_registry(tmp_path):
    for system in ("resnet18", "ecapa-tdnn"):
        write_run(tmp_path, system)
    found = find_runs(tmp_path)
    assert found.readable is found  # it keys the cache of figures
    assert found.cells == (BABY,)
    assert list(found.of(*BABY)) == ["ecapa-tdnn", "resnet18"]
    assert found.of(*CLIP) == {}
    (problem,) = find_runs(tmp_path / "missing").problems
    assert "There is no results folder" in problem


def test_predictions_without_a_fold_are_refused(tmp_path):
    """Refuse a missing fold or file; for other damage see tests/cry_model/test_results.py."""
    folder = write_run(tmp_path, "resnet18")
    change_table(folder, lambda table: table[table["fold"] != 1])
    with pytest.raises(ResultsError, match="some of the 3 folds of seed 0"):
        _ = read_run(folder).predictions
    (folder / "predictions.csv").unlink()
    with pytest.raises(ResultsError, match=r"predictions\.csv is no file"):
        _ = read_run(folder).predictions


def test_other_results_are_joined_with_ours(tmp_path):
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    for root in (ours, theirs):
        write_run(root, "ecapa-tdnn", skill=3.0 if root == theirs else 0.0)
    write_run(theirs, "wav2vec", dataset="my-cries")
    found = join_runs(find_runs(ours), find_runs(theirs))
    assert found.cells == (BABY, ("my-cries", "baby"))
    both = found.of(*BABY)
    scores = [run.evaluation.metrics["accuracy"].value for run in both.values()]
    assert list(both) == ["ecapa-tdnn", "ecapa-tdnn-other"]
    assert scores[0] < 0.6 < scores[1]


def test_missing_folder_of_other_results_is_refused(tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("CRY_RESULTS", raising=False)
    assert results_folder([]) is None
    monkeypatch.setenv("CRY_RESULTS", str(tmp_path))
    assert results_folder([]) == tmp_path
    with pytest.raises(SystemExit):
        results_folder(["--results", str(tmp_path / "gone")])
    assert "There is no results folder" in capsys.readouterr().err


# Scores with permuted labels, of a linear classifier and of models, as read and in the panel


AGAINST = {
    "clip": {"value": 0.35, "mean": 0.3496, "low": 0.302475, "high": 0.396525, "p": 51 / 101},
    "baby": {"value": 0.9, "mean": 0.32475, "low": 0.301, "high": 0.348, "p": 1 / 101},
}


def write_chance(root, protocol, folds=FOLDS):
    facts = {"folds": folds, "seed": 0, "permutations": 100, "front_end": "log-mel"}
    facts["unchanged"] = {"hungry": 0.6, "tired": 0.2}
    facts["scores"] = dict.fromkeys(SCORES, AGAINST[protocol])
    path = root / "donateacry" / protocol / "chance.json"
    path.write_text(json.dumps(facts), encoding="utf-8")


@pytest.fixture
def root(tmp_path):
    """Write permutation tests of two splits, with one and two models fitted to permuted labels."""
    root = tmp_path / "results"
    for protocol in AGAINST:
        write_run(root, FULL, 0.5, protocol=protocol)
        write_chance(root, protocol)
    write_run(root, FULL, 2.0, dataset="esc10", protocol="recording")
    for number, protocol, skill in ((0, "clip", 2.5), (3, "baby", -2.0), (4, "baby", 1.0)):
        folder = write_run(tmp_path / "permuted", FULL, skill, protocol=protocol)
        change_record(folder, configuration={"permuted_labels": number})
        shutil.move(folder, root / "donateacry" / protocol / FULL / f"permuted-{number}")
    return root


@pytest.fixture
def found(root):
    return find_runs(root)


def test_permutation_test_is_read_for_its_split(found, root):
    level = read_permutation_test(found.of(*CLIP)[FULL])
    assert level.scores.loc["macro_auc"].to_dict() == AGAINST["clip"]
    assert (level.permutations, level.front_end, level.seed) == (100, "log-mel", 0)
    assert level.unchanged == pytest.approx(0.4)
    assert read_permutation_test(found.of("esc10", "recording")[FULL]) is None
    write_chance(root, "clip", folds=FOLDS + 1)
    assert read_permutation_test(found.of(*CLIP)[FULL]) is None


def cell_of(run):
    return cells_of(FoundRuns((run,), ()))


@pytest.mark.parametrize("text", ["{", '{"seeds": [0], "scores": {"macro_auc": {"value": 1}}}'])
@pytest.mark.parametrize(
    ("name", "writer", "read"),
    [
        ("../chance.json", "permutation-test", read_permutation_test),
        ("attention_effect.json", "ablate-attention", lambda r: attention_rows(cell_of(r))),
        (
            "explanations.json",
            "check-explanations of commit cf36738",
            lambda r: [*map_test_rows(cell_of(r))],
        ),
        ("pruning.json", "measure-pruning of commit cf36738", lambda r: read_pruning(r.folder)),
    ],
)
def test_damaged_file_beside_a_run_gives_a_one_sentence_error(tmp_path, name, writer, read, text):
    run = read_run(write_run(tmp_path, FULL))
    (run.folder / name).write_text(text)
    with pytest.raises(ResultsError, match=rf"json is not as .* {writer} writes it"):
        read(run)


def test_permuted_label_models_are_listed_separately(found):
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


def test_permuted_label_model_with_another_preset_is_refused(found):
    run = found.of(*CLIP)[FULL]
    change_record(run.folder / "permuted-0", configuration={"preset": {"epochs": 99}})
    with pytest.raises(ResultsError, match="was not fitted like"):
        permuted_label_runs(run)


def test_panel_shows_both_beside_the_systems(found):
    exhibit = LEAKAGE.exhibits(found, LEAKAGE.cells(found)[0])[0]
    lines = {line.name: line for line in exhibit.figure.data if line.name}
    linear = lines["linear classifier, permuted labels"]
    assert np.round(linear.x).tolist() == [0, 1]  # random segments, unseen babies
    assert list(linear.y) == pytest.approx([0.3496, 0.32475])
    row = exhibit.table.set_index("balanced accuracy").loc[linear.name]
    assert row["random segments"] == "0.350 [0.302, 0.397]"
    assert any(name.endswith("permuted labels<br>(mean and range of 2)") for name in lines)
