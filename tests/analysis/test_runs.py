"""Reading results folders: what is there, what is not, and what is said about it."""

import json

import pandas as pd
import pytest

from analysis.stats.recordings import ResultsError
from analysis.stats.runs import UnfinishedRunError, find_runs, read_run
from tests.analysis.synthetic_runs import LABELS, write_run
from tests.conftest import ROOT


def test_a_run_is_read_as_it_was_written(tmp_path):
    folder = write_run(tmp_path, "ecapa-tdnn", seeds=(0, 2), epochs=7)
    run = read_run(folder)
    assert (run.dataset, run.protocol, run.system) == ("donateacry", "baby", "ecapa-tdnn")
    assert (run.labels, run.seeds, run.folds) == (LABELS, (0, 2), 3)
    assert (run.parameters, run.multiply_adds, run.wall_seconds) == (1000, 2000, 360.0)
    assert (run.preset["epochs"], run.fitted_with("device")) == (7, "cpu")
    assert len(run.predictions) == 2 * 2 * 90


def test_a_recording_is_the_mean_of_its_pieces_within_a_seed(tmp_path):
    run = read_run(write_run(tmp_path, "resnet18", seeds=(1, 0)))
    plain = {}
    for row in run.predictions.to_dict("records"):
        plain.setdefault((row["seed"], row["recording"]), []).append(row["p_hungry"])
    table = run.recordings
    assert list(zip(table["seed"], table["recording"], strict=True)) == sorted(plain)
    for row in table.to_dict("records"):
        values = plain[row["seed"], row["recording"]]
        assert row["p_hungry"] == pytest.approx(sum(values) / 2)
    assert set(table["group"].str.len()) == {3}  # 007 is no number


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
    folder = write_run(tmp_path, "ecapa-tdnn", protocol="baby")
    record = json.loads((folder / "run.json").read_text())
    record["configuration"] |= question
    (folder / "run.json").write_text(json.dumps(record))
    assert [run.system for run in find_runs(tmp_path).runs] == ["resnet18"]


def test_an_unfinished_run_is_told_apart_from_a_damaged_one(tmp_path):
    folder = write_run(tmp_path, "resnet18")
    record = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps({**record, "metrics": {}}))
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
    assert [run.system for run in found.readable.runs] == ["ecapa-tdnn", "resnet18"]
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


def drop_a_fold(table):
    return table[table["fold"] != 1]


def unknown_label(table):
    return table.assign(label=table["label"].replace("tired", "bored"))


def no_number(table):
    return table.assign(p_tired=table["p_tired"].astype(object).where(table.index > 0, "much"))


def not_finite(table):
    return table.assign(p_tired=table["p_tired"].where(table.index > 0, float("inf")))


def doubled(table):
    return pd.concat([table, table[:1]])


def two_groups(table):
    return table.assign(group=table["group"].where(table.index > 0, "999"))


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (drop_a_fold, "not all 3 folds of seed 0"),
        (unknown_label, "labels that run.json has not"),
        (no_number, "no numbers"),
        (not_finite, "no numbers"),
        (doubled, "a clip twice"),
        (two_groups, "two labels or groups"),
        (lambda table: table.drop(columns="p_tired"), "no column p_tired"),
    ],
)
def test_damaged_predictions_are_named(tmp_path, damage, sentence):
    folder = write_run(tmp_path, "resnet18")
    path = folder / "predictions.csv"
    damage(pd.read_csv(path, dtype={"group": str})).to_csv(path, index=False)
    with pytest.raises(ResultsError, match=sentence):
        _ = read_run(folder).predictions


def test_missing_folders_and_files_are_named(tmp_path):
    with pytest.raises(ResultsError, match="no results folder"):
        find_runs(tmp_path / "nowhere")
    with pytest.raises(ResultsError, match="no readable"):
        read_run(tmp_path)
    folder = write_run(tmp_path, "resnet18")
    (folder / "predictions.csv").unlink()
    with pytest.raises(ResultsError, match=r"no .*predictions\.csv"):
        _ = read_run(folder).predictions


def test_the_committed_runs_are_read_but_for_students():
    found = find_runs(ROOT / "assets" / "results")
    assert ("donateacry", "baby", "improved-ecapa-tdnn") in {
        (run.dataset, run.protocol, run.system) for run in found.runs
    }
    assert "cries" not in {
        run.dataset for run in found.runs
    }  # a student: not checked against labels
    for run in found.runs:
        table = run.recordings
        right = table[[f"p_{label}" for label in run.labels]].to_numpy().argmax(1)
        accuracy = (pd.Series(run.labels).iloc[right].to_numpy() == table["label"]).mean()
        assert run.evaluation.metrics["accuracy"].value == pytest.approx(accuracy, abs=1e-12)
