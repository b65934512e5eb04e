"""Test both readers of result files on ones damaged by a full disk, a copy or an editor."""

import json
import shutil

import pytest

from analysis.panels import PANELS
from analysis.report import write_report
from analysis.stats.runs import find_runs
from cry_model.results import LARGEST_JSON, PREDICTIONS, RUN
from tests.analysis.synthetic_runs import LABELS, write_run
from train.data.corpus import DataError
from train.scoring import results

PLACE = ("donateacry", "baby", "resnet18")
READERS = {
    PREDICTIONS: lambda folder: results.existing_predictions(folder, LABELS),
    RUN: results.existing_record,
    "teacher.csv": lambda folder: results.read_teacher(folder, ("a",)),
}


def cell(column, value):
    """Return a function that sets a cell in the fifth row of a table."""

    def change(table):
        lines = table.decode().splitlines()
        fields = lines[5].split(",")
        fields[column] = value
        return "\n".join([*lines[:5], ",".join(fields), *lines[6:], ""]).encode()

    return change


def facts(**changes):
    """Return a function that changes top-level facts of a record."""
    return lambda record: json.dumps({**json.loads(record), **changes}).encode()


def configured(**changes):
    """Return a function that changes the configuration in a record."""
    return lambda r: facts(configuration={**json.loads(r)["configuration"], **changes})(r)


TABLES = {
    "empty": lambda t: b"",
    "header alone": lambda t: t.splitlines(True)[0],
    "cut in a row": lambda t: t[: t.rindex(b",")],
    "cut in a number": lambda t: t[:-4],
    "one row twice": lambda t: t + t.splitlines(True)[3],
    "a column twice": lambda t: t.replace(b"p_hungry", b"p_tired"),
    "longer rows": lambda t: t.replace(b"\n", b",1\n").replace(b",1\n", b"\n", 1),
    "utf-16": lambda t: t.decode().encode("utf-16"),
    "an open quote": lambda t: t.replace(b"r003#0", b'"r003#0'),
    "no probability": cell(6, ""),
    "below 0": cell(6, "-0.5"),
    "half a fold": cell(3, "0.5"),
    "a huge seed": cell(4, "9" * 30),
    "an unknown label": cell(5, "bored"),
    "no recording": cell(1, ""),
    "another group": cell(2, "999"),
}
RECORDS = {
    "empty": lambda r: b"",
    "cut": lambda r: r[:200],
    "a list": lambda r: b"[]",
    "an empty object": lambda r: b"{}",
    "deep": lambda r: b"[" * 100_000,
    "huge": lambda r: b'{"a": "' + b"x" * LARGEST_JSON + b'"}',
    "an endless number": lambda r: b'{"a": ' + b"9" * 5000 + b"}",
    "NaN": facts(parameters=float("nan")),
    "half a character": facts(environment={"device_name": "\ud800"}),
    "configuration": facts(configuration=[]),
    "no folds": configured(folds=None),
    "folds as text": configured(folds="5"),
    "seeds as text": facts(seeds=["0"]),
    "from an earlier release": configured(shuffled=3),
    "labels": facts(labels=[1]),
    "metrics": facts(metrics=[1]),
    "times": facts(wall_seconds={"seed 0, fold 0": "long"}),
    "joined": facts(joined=[5]),
}
OF_ANOTHER_RUN = {
    "rows gone": (PREDICTIONS, lambda t: b"".join(t.splitlines(True)[:-2])),
    "dataset": (RUN, configured(dataset="other")),
    "protocol": (RUN, configured(protocol="other")),
    "system": (RUN, configured(system="other")),
}
HARMLESS = {
    "a byte order mark": lambda t: b"\xef\xbb\xbf" + t,
    "CRLF": lambda t: t.replace(b"\n", b"\r\n"),
    "no last newline": lambda t: t.rstrip(b"\n"),
    "blank lines": lambda t: t + b"\n\n",
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Write three runs and one under another protocol; return their folder."""
    root = tmp_path_factory.mktemp("runs")
    for system in ("resnet18", "improved-ecapa-tdnn", "ecapa-tdnn"):
        write_run(root, system, 2.0)
    write_run(root, "improved-ecapa-tdnn", 3.0, protocol="clip")
    return root


@pytest.fixture
def root(runs, tmp_path):
    """Return a copy of the runs that a test may damage."""
    return shutil.copytree(runs, tmp_path / "runs")


def change(path, damage):
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(damage(path.read_bytes() if path.exists() else b"{}"))


def left_out(root, path):
    """Assert that the other runs are found and one sentence names this file."""
    found = find_runs(root).readable
    (problem,) = found.problems
    assert str(path) in problem
    assert "\n" not in problem
    assert len(found.runs) == 3
    assert "resnet18" not in {run.system for run in found.runs}


def refused_in_train(path):
    with pytest.raises(DataError, match="restore") as caught:
        READERS[path.name](path.parent)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("file", "damage"), [*((PREDICTIONS, t) for t in TABLES), *((RUN, r) for r in RECORDS)]
)
def test_a_damaged_file_is_named_and_other_runs_are_kept(root, file, damage):
    path = root.joinpath(*PLACE, file)
    change(path, (TABLES if file == PREDICTIONS else RECORDS)[damage])
    refused_in_train(path)
    left_out(root, path)


@pytest.mark.parametrize(("file", "damage"), OF_ANOTHER_RUN.values(), ids=OF_ANOTHER_RUN)
def test_files_of_another_run_are_left_out(root, file, damage):
    change(root.joinpath(*PLACE, file), damage)
    left_out(root, root.joinpath(*PLACE, file))


@pytest.mark.parametrize("harmless", HARMLESS)
def test_line_endings_and_bom_do_not_matter(root, harmless):
    folder = root.joinpath(*PLACE)
    before = results.existing_predictions(folder)
    change(folder / PREDICTIONS, HARMLESS[harmless])
    assert results.existing_predictions(folder).equals(before)
    assert len(find_runs(root).readable.runs) == 4


@pytest.mark.parametrize("file", [PREDICTIONS, RUN])
def test_an_unreadable_file_is_named_in_the_report(root, file, monkeypatch):
    path, read_bytes = root.joinpath(*PLACE, file), type(root).read_bytes

    def failing(self):
        if self == path:
            raise OSError(5, "Input/output error")
        return read_bytes(self)

    monkeypatch.setattr(type(root), "read_bytes", failing)
    refused_in_train(path)
    left_out(root, path)
    write_report(root, root / "report.html", PANELS[:1])
    assert file in (root / "report.html").read_text()


FULL = "improved-ecapa-tdnn"


@pytest.mark.parametrize(
    ("file", "damage"),
    [
        (f"{FULL}/{RUN}", facts(baselines={"sample_rate": {"accuracy": {"value": "high"}}})),
        (f"{FULL}/permuted-0/{RUN}", lambda nothing: b"{"),
        ("chance.json", lambda nothing: b"[]"),
    ],
)
def test_damaged_extra_files_do_not_remove_runs(root, file, damage):
    change(root / "donateacry" / "clip" / file, damage)
    found = find_runs(root).readable
    (panel,) = (panel for panel in PANELS if panel.name == "leakage")
    scores, lost = panel.exhibits(found, panel.cells(found)[0], {"metric": "accuracy"})
    assert "json is " in scores.note
    assert len(scores.data[scores.data["mark"] == "system"]) == 4
    assert len(lost.data)


@pytest.mark.parametrize(
    "content", [b"", b"recording\nr1\n", b"recording,t_a\nr1,x\n", b"recording,t_a\nr1,1\nr1,1\n"]
)
def test_a_damaged_teacher_table_is_named(tmp_path, content):
    (tmp_path / "teacher.csv").write_bytes(content)
    refused_in_train(tmp_path / "teacher.csv")
