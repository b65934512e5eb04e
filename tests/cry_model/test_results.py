"""Result files that a full disk, a copy or an editor has spoilt, as both readers meet them."""

import json
import shutil

import pytest

from analysis.panels import PANELS
from analysis.report import write_report
from analysis.stats.runs import ResultsError, find_runs
from cry_model.results import LARGEST_JSON, read_record
from tests.analysis.synthetic_runs import write_run
from train.data.corpus import DataError
from train.scoring import results

PLACE = ("donateacry", "baby", "resnet18")


def lines_of(table):
    return table.decode().splitlines(keepends=True)


def cell(column, value):
    """Another value in the fifth row."""

    def change(table):
        lines = lines_of(table)
        fields = lines[5].rstrip("\n").split(",")
        fields[column] = value
        return "".join([*lines[:5], ",".join(fields) + "\n", *lines[6:]]).encode()

    return change


TABLES = {
    "empty": lambda t: b"",
    "header alone": lambda t: lines_of(t)[0].encode(),
    "cut in a row": lambda t: t[: t.rindex(b",")],
    "cut in a number": lambda t: t[:-4],
    "one row twice": lambda t: t + lines_of(t)[3].encode(),
    "a column twice": lambda t: t.replace(b"p_hungry", b"p_tired"),
    "semicolons": lambda t: t.replace(b",", b";"),
    "a longer row": lambda t: t.replace(b"\n", b",1\n").replace(b",1\n", b"\n", 1),
    "utf-16": lambda t: t.decode().encode("utf-16"),
    "an open quote": lambda t: t.replace(b"r003#0", b'"r003#0'),
    "no probability": cell(6, ""),
    "infinity": cell(6, "inf"),
    "below 0": cell(6, "-0.5"),
    "a sum far from 1": cell(6, "1.0"),
    "half a fold": cell(3, "0.5"),
    "a huge seed": cell(4, "9" * 30),
    "an unknown label": cell(5, "bored"),
    "no recording": cell(1, ""),
    "another group": cell(2, "999"),
}
HARMLESS = {
    "a byte order mark": lambda t: b"\xef\xbb\xbf" + t,
    "CRLF": lambda t: t.replace(b"\n", b"\r\n"),
    "no last newline": lambda t: t.rstrip(b"\n"),
    "blank lines": lambda t: t + b"\n\n",
}
RECORDS = {
    "empty": b"",
    "a list": b"[]",
    "an empty object": b"{}",
    "deep": b"[" * 100_000,
    "binary": bytes(range(256)),
    "huge": b'{"a": "' + b"x" * LARGEST_JSON + b'"}',
    "an endless number": b'{"a": ' + b"9" * 5000 + b"}",
}
CHANGES = {
    "NaN": {"parameters": float("nan")},
    "infinity": {"wall_seconds": {"seed 0, fold 0": float("inf")}},
    "half a character": {"environment": {"device_name": "\ud800"}},
    "configuration": {"configuration": []},
    "no folds": {"configuration": {"dataset": "d", "protocol": "baby", "system": "resnet18"}},
    "labels": {"labels": {"a": 1}},
    "seeds": {"seeds": "0"},
    "metrics": {"metrics": [1]},
    "times": {"wall_seconds": {"seed 0, fold 0": "long"}},
    "joined": {"joined": [5]},
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Three runs and one under another split."""
    root = tmp_path_factory.mktemp("runs")
    for system in ("resnet18", "improved-ecapa-tdnn", "ecapa-tdnn"):
        write_run(root, system, 2.0)
    write_run(root, "improved-ecapa-tdnn", 3.0, protocol="clip")
    return root


@pytest.fixture
def root(runs, tmp_path):
    """A copy of them, to be damaged."""
    return shutil.copytree(runs, tmp_path / "runs")


def left_out(root, file):
    """The others are found, and one sentence names this file."""
    found = find_runs(root, strict=False).readable
    (problem,) = found.problems
    assert str(root.joinpath(*PLACE, file)) in problem
    assert "\n" not in problem
    assert len(found.runs) == 3
    assert all(run.system != "resnet18" for run in found.runs)
    return found


def refused_in_train(folder, file, read):
    with pytest.raises(DataError) as caught:
        read(folder)
    assert str(folder / file) in str(caught.value)
    assert "restore" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("damage", TABLES)
def test_a_damaged_table_is_named_and_takes_no_other_run_with_it(root, damage):
    path = root.joinpath(*PLACE, "predictions.csv")
    path.write_bytes(TABLES[damage](path.read_bytes()))
    labels = ("burping", "hungry", "tired")
    refused_in_train(path.parent, path.name, lambda f: results.read_predictions(f, labels))
    left_out(root, path.name)


@pytest.mark.parametrize("harmless", HARMLESS)
def test_what_an_editor_does_to_line_ends_changes_nothing(root, harmless):
    path = root.joinpath(*PLACE, "predictions.csv")
    before = results.read_predictions(path.parent)
    path.write_bytes(HARMLESS[harmless](path.read_bytes()))
    assert results.read_predictions(path.parent).equals(before)
    assert len(find_runs(root, strict=False).readable.runs) == 4


@pytest.mark.parametrize("damage", ["cut", *RECORDS, *CHANGES])
def test_a_damaged_record_is_named_and_takes_no_other_run_with_it(root, damage):
    path = root.joinpath(*PLACE, "run.json")
    record = path.read_bytes()
    if damage in CHANGES:
        path.write_text(json.dumps({**json.loads(record), **CHANGES[damage]}))
    else:
        path.write_bytes(RECORDS.get(damage, record[:200]))
    refused_in_train(path.parent, path.name, results.read_run)
    left_out(root, path.name)


@pytest.mark.parametrize("file", ["predictions.csv", "run.json"])
@pytest.mark.parametrize("damage", ["folder", "disk"])
def test_what_cannot_be_read_is_named(root, file, damage, monkeypatch):
    path, read_bytes = root.joinpath(*PLACE, file), type(root).read_bytes

    def failing(self):
        if self == path:
            raise OSError(5, "Input/output error")
        return read_bytes(self)

    if damage == "folder":
        path.unlink()
        path.mkdir()
    else:
        monkeypatch.setattr(type(root), "read_bytes", failing)
    read = results.read_run if file == "run.json" else results.read_predictions
    refused_in_train(path.parent, file, read)
    found = left_out(root, file)
    write_report(root, root / "report.html", PANELS[:1])
    assert file in (root / "report.html").read_text()
    assert found.cells == (("donateacry", "clip"), ("donateacry", "baby"))


def test_rows_that_are_gone_without_a_trace_are_missed(root):
    path = root.joinpath(*PLACE, "predictions.csv")
    path.write_text("".join(lines_of(path.read_bytes())[:-2]))
    left_out(root, path.name)
    with pytest.raises(ResultsError, match="has not the 90 recordings"):
        _ = find_runs(root).of(*PLACE[:2])["resnet18"].predictions


@pytest.mark.parametrize("part", ["dataset", "protocol", "system"])
def test_a_record_of_another_run_is_told_to_move(root, part):
    path = root.joinpath(*PLACE, "run.json")
    record = json.loads(path.read_text())
    record["configuration"][part] = "other"
    path.write_text(json.dumps(record))
    left_out(root, path.name)


@pytest.mark.parametrize("damage", ["baselines", "chance.json", "permuted"])
def test_what_stands_beside_the_runs_takes_none_of_them_away(root, damage):
    folder = root.joinpath("donateacry", "clip", "improved-ecapa-tdnn")
    if damage == "baselines":
        record = json.loads((folder / "run.json").read_text())
        record["baselines"] = {"sample_rate": {"accuracy": {"value": "high"}}}
        (folder / "run.json").write_text(json.dumps(record))
    elif damage == "chance.json":
        (folder.parent / damage).write_text("[]")
    else:
        (folder / "permuted-0").mkdir()
        (folder / "permuted-0" / "run.json").write_text("{")
    found = find_runs(root, strict=False).readable
    (panel,) = (panel for panel in PANELS if panel.name == "leakage")
    scores, lost = panel.exhibits(found, panel.cells(found)[0], {"metric": "accuracy"})
    assert "json is " in scores.note
    assert len(scores.data[scores.data["mark"] == "system"]) == 4
    assert len(lost.data)


@pytest.mark.parametrize(
    "content", [b"", b"recording\nr1\n", b"recording,t_a\nr1,x\n", b"recording,t_a\nr1,1\nr1,1\n"]
)
def test_a_damaged_table_of_a_teacher_is_named(tmp_path, content):
    (tmp_path / "teacher.csv").write_bytes(content)
    refused_in_train(tmp_path, "teacher.csv", lambda f: results.read_teacher(f, ("a",)))


def test_a_record_of_the_last_release_is_read_under_the_names_of_today(tmp_path):
    configuration = {"dataset": "d", "protocol": "baby", "system": "s", "folds": 5, "preset": {}}
    old = {"configuration": {**configuration, "shuffled": 3}, "beside": {"sample_rate": {}}}
    (tmp_path / "run.json").write_text(json.dumps(old))
    found = read_record(tmp_path / "run.json")
    assert found["configuration"]["permuted_labels"] == 3
    assert found["baselines"] == {"sample_rate": {}}
    assert "beside" not in found


@pytest.mark.parametrize(("under", "same"), [(None, True), (1, False)])
def test_a_field_that_is_gone_is_left_out_of_a_record_where_it_did_nothing(tmp_path, under, same):
    preset = {"epochs": 60, "augmentation": {"mixup": 0.0}}
    former = {"tries": 1, "augmentation": {"under": under, "under_db": [-5.0, 20.0], "mixup": 0.0}}
    facts = {"system": "a", "protocol": "baby", "folds": 5, "dataset": "b", "settings": {}}
    record = {"configuration": {**facts, "preset": {**preset, **former}}}
    (tmp_path / "run.json").write_text(json.dumps(record))
    (tmp_path / "predictions.csv").touch()
    if same:
        assert results.resume(tmp_path, {**facts, "preset": preset})
    else:
        with pytest.raises(DataError, match="other settings"):
            results.resume(tmp_path, {**facts, "preset": preset})
