"""Reading results folders: what is there, what is not, and what is said about it."""

import json

import pandas as pd
import pytest

from analysis.panels import PANELS
from analysis.stats.runs import (
    RESULTS,
    ResultsError,
    UnfinishedRunError,
    find_runs,
    join_runs,
    read_run,
)
from app import results_folder
from cry_model.metrics import METRICS
from tests.analysis.plain import rows_of, score
from tests.analysis.synthetic_runs import LABELS, write_run


def change(folder, **fields):
    """Other fields in the record of a run; ``configuration`` is added to."""
    record = json.loads((folder / "run.json").read_text())
    record["configuration"] |= fields.pop("configuration", {})
    (folder / "run.json").write_text(json.dumps({**record, **fields}))


def test_a_run_is_read_as_it_was_written(tmp_path):
    run = read_run(write_run(tmp_path, "ecapa-tdnn", seeds=(2, 0), epochs=7))
    assert (run.dataset, run.protocol, run.system) == ("donateacry", "baby", "ecapa-tdnn")
    assert (run.labels, set(run.seeds), run.folds) == (LABELS, {0, 2}, 3)
    assert (run.parameters, run.multiply_adds, run.wall_seconds) == (1000, 2000, 360.0)
    assert (run.preset["epochs"], run.fitted_with("device")) == (7, "cpu")
    assert len(run.predictions) == 2 * 2 * 90
    pd.testing.assert_frame_equal(run.recordings, rows_of(run)[0])  # 007 is no number
    means = run.recordings.groupby("recording")["p_hungry"].mean()
    over_seeds = run.judged_over_seeds.set_index("recording")["p_hungry"]
    pd.testing.assert_series_equal(over_seeds, means)


def test_runs_are_found_and_the_tables_are_not_read(tmp_path):
    write_run(tmp_path, "resnet18", protocol="baby")
    folder = write_run(tmp_path, "resnet18", protocol="clip")
    (folder / "predictions.csv").write_text("nothing that can be read\n")
    found = find_runs(tmp_path)
    assert [run.protocol for run in found.runs] == ["clip", "baby"]
    with pytest.raises(ResultsError, match="has no column"):
        _ = found.runs[0].predictions


@pytest.mark.parametrize("question", [{"within": {"fold": 0}}, {"permuted_labels": 0}])
def test_what_answers_another_question_is_not_reported(tmp_path, question):
    write_run(tmp_path, "resnet18", protocol="baby")
    change(write_run(tmp_path, "ecapa-tdnn", protocol="baby"), configuration=question)
    assert [run.system for run in find_runs(tmp_path).runs] == ["resnet18"]


def test_an_unfinished_run_is_told_apart_from_a_damaged_one(tmp_path):
    folder = write_run(tmp_path, "resnet18")
    change(folder, metrics={})
    assert find_runs(tmp_path).unfinished == (folder,)
    with pytest.raises(UnfinishedRunError, match="not finished"):
        read_run(folder)
    (folder / "run.json").write_text("{")
    with pytest.raises(ResultsError, match="damaged"):
        find_runs(tmp_path)


def test_what_cannot_be_read_leaves_a_sentence_and_the_rest_if_that_is_wanted(tmp_path):
    write_run(tmp_path, "ecapa-tdnn", protocol="baby")
    write_run(tmp_path, "resnet18", protocol="baby")
    damaged = write_run(tmp_path, "resnet18", protocol="clip")
    (damaged / "run.json").write_text("{")
    found = find_runs(tmp_path, strict=False)
    assert [run.system for run in found.runs] == ["ecapa-tdnn", "resnet18"]
    assert found.readable is found  # figures are kept by it
    (problem,) = found.problems
    assert problem.startswith(f"{damaged / 'run.json'} is damaged: ")
    assert found.cells == (("donateacry", "baby"),)
    assert list(found.of("donateacry", "baby")) == ["ecapa-tdnn", "resnet18"]  # as registered
    assert found.of("donateacry", "clip") == {}
    (problem,) = find_runs(tmp_path / "missing", strict=False).problems
    assert "There is no results folder" in problem


@pytest.mark.parametrize("field", ["configuration", "labels", "parameters", "wall_seconds"])
def test_a_record_without_a_field_is_malformed(tmp_path, field):
    folder = write_run(tmp_path, "resnet18")
    record = json.loads((folder / "run.json").read_text())
    del record[field]
    (folder / "run.json").write_text(json.dumps(record))
    with pytest.raises(ResultsError, match=field):
        read_run(folder)


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda table: table[table["fold"] != 1], "not all 3 folds of seed 0"),
        (lambda table: table[table["recording"] != "r007"], "has not the 90 recordings"),
        (lambda table: table.replace("tired", "bored"), "labels that run.json has not"),
    ],
)
def test_predictions_of_another_run_are_refused(tmp_path, damage, sentence):
    """Damaged ones: tests/cry_model/test_results.py."""
    folder = write_run(tmp_path, "resnet18")
    path = folder / "predictions.csv"
    damage(pd.read_csv(path, dtype={"group": str})).to_csv(path, index=False)
    with pytest.raises(ResultsError, match=sentence):
        _ = read_run(folder).predictions


def test_missing_folders_and_files_are_named(tmp_path):
    with pytest.raises(ResultsError, match="no results folder"):
        find_runs(tmp_path / "nowhere")
    with pytest.raises(ResultsError, match=r"run\.json is no file"):
        read_run(tmp_path)
    folder = write_run(tmp_path, "resnet18")
    (folder / "predictions.csv").unlink()
    with pytest.raises(ResultsError, match=r"predictions\.csv is no file"):
        _ = read_run(folder).predictions


def test_the_committed_scores_are_those_of_the_committed_predictions():
    found = find_runs(RESULTS)
    assert {"donateacry", "esc10"} <= {run.dataset for run in found.runs}
    assert "cries" not in {run.dataset for run in found.runs}  # a student, not checked on labels
    for run in found.runs:
        for metric in METRICS:
            expected = run.evaluation.metrics[metric].value
            assert score(run, metric) == pytest.approx(expected, abs=1e-9)


def test_other_results_are_shown_beside_ours(tmp_path):
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    for root in (ours, theirs):
        write_run(root, "ecapa-tdnn", skill=3.0 if root == theirs else 0.0)
    write_run(theirs, "wav2vec", dataset="my-cries")
    found = join_runs(find_runs(ours), find_runs(theirs))
    assert found.cells == (("donateacry", "baby"), ("my-cries", "baby"))
    both = found.of("donateacry", "baby")
    scores = [run.evaluation.metrics["accuracy"].value for run in both.values()]
    assert list(both) == ["ecapa-tdnn", "ecapa-tdnn-other"]
    assert scores[0] < 0.6 < scores[1]
    drawn = [p for p in PANELS for cell in p.cells(found) if p.exhibits(found, cell)]
    assert len({panel.name for panel in drawn}) >= 6


def test_the_folder_of_other_results_has_to_be_there(tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("CRY_RESULTS", raising=False)
    assert results_folder([]) is None
    monkeypatch.setenv("CRY_RESULTS", str(tmp_path))
    assert results_folder([]) == tmp_path
    with pytest.raises(SystemExit):
        results_folder(["--results", str(tmp_path / "gone")])
    assert "There is no results folder" in capsys.readouterr().err
