"""Check that a user's table becomes a run that the panels can draw, or a one-sentence error."""

import subprocess
import sys
import unicodedata

import numpy as np
import pandas as pd
import pytest

from analysis.panels import PANELS
from analysis.panels.base import CellKey
from analysis.panels.html import CARDS
from analysis.stats.own_results import place, read_own_results
from analysis.stats.runs import NO_RUNS, OWN, RESULTS, ResultsError, find_runs
from cry_model.metrics import METRICS
from tests.analysis.synthetic_runs import BABY
from tests.conftest import ROOT
from tests.plain import score

OURS = find_runs(RESULTS)
BAD = "<img src=x onerror=alert(1)>"
LABELS = ("fan", "gear box", "=cmd()")


def predictions(rows=120, labels=LABELS, **columns):
    rng = np.random.default_rng(0)
    truth = rng.integers(len(labels), size=rows)
    p = rng.dirichlet(np.ones(len(labels)), rows) + np.eye(len(labels))[truth]
    words = {"clip": [f"c{i}" for i in range(rows)], "label": np.array(labels)[truth]}
    shares = pd.DataFrame(p / 2, columns=[f"p_{label}" for label in labels])
    return pd.concat([pd.DataFrame(words), shares], axis=1).assign(**columns)


def answers(table):
    columns = [name for name in table if name.startswith("p_")]
    predicted = table[columns].idxmax(axis=1).str.removeprefix("p_")
    return pd.DataFrame({"y_pred": predicted, "y_true": table["label"]})


def of_our_recordings(**columns):
    """Return one seed of a committed run, shuffled, without its folds, groups and seed."""
    table = OURS.of(*BABY)["resnet18"].predictions
    table = table[table["seed"] == 0].drop(columns=["fold", "group", "seed"])
    return table.sample(frac=1, random_state=0).assign(**columns)


def read(folder, table, name="mine"):
    path = folder / "table.csv"
    if isinstance(table, pd.DataFrame):
        table = table.to_csv(index=False)
    path.write_bytes(table if isinstance(table, bytes) else table.encode())
    return read_own_results(path, name)


FORMS = {
    "clips": predictions(labels=(BAD, "b", "c"), recording=[f"{BAD}{i}" for i in range(120)]),
    "answers": answers(predictions()),
    "ours": of_our_recordings(),
    "ours, answers": answers(of_our_recordings()).assign(recording=of_our_recordings()["clip"]),
}


@pytest.mark.parametrize("form", ["clips", "answers", "ours", "ours, answers"])
def test_every_panel_draws_it_and_escapes_markup(form, tmp_path):
    beside = OURS if "ours" in form else NO_RUNS
    found = place(read(tmp_path, FORMS[form]), beside)
    (mine,) = (own for own in found.runs if own.system == "mine")
    cell, joined, shown = (mine.dataset, mine.protocol), form == "ours", set()
    assert cell == (BABY if joined else ("mine", OWN))
    assert mine.scored == ("answers" not in form)
    assert set(found.of(*cell)) == {"mine", *(beside.of(*cell))}
    for panel in (panel for panel in PANELS if cell in panel.cells(found)):
        shown.add(panel.name)
        first = {s.name: "mine" for s in panel.selectors if s.name in ("system", "run_a")}
        for exhibit in panel.exhibits(found, CellKey(*cell), panel.settle(found, cell, first)):
            assert exhibit.note
            figure = exhibit.figure.to_json() if exhibit.figure is not None else ""
            html = CARDS.table(exhibit) if exhibit.table is not None else ""
            assert "<img" not in "".join((figure, html, exhibit.note, exhibit.title, exhibit.name))
    needed = {"systems", "confusion", "per-class", "errors"}
    needed |= {"ablation", "compare"} if joined else set()
    needed |= {"calibration"} if mine.scored else set()
    assert shown - {"leakage"} == needed


PLAIN = predictions(20, ("a", "b"))
CSV = PLAIN.to_csv(index=False)


@pytest.mark.parametrize(
    "content",
    [
        CSV.encode("utf-8-sig"),
        CSV.replace(",", ";").encode(),
        CSV.replace(",", ";").replace("0.", "0,").encode(),
        CSV.replace(",", "\t").replace("\n", "\r\n").encode(),
        PLAIN.to_csv(index=False, quoting=1).encode(),
        PLAIN[["p_b", "label", "p_a", "clip"]].to_csv(index=False).encode(),
        PLAIN.round(2).assign(**{"p_a": 1 - PLAIN["p_b"].round(2)}).to_csv(index=False).encode(),
    ],
    ids=["bom", "semicolons", "decimal commas", "tabs", "quoted", "columns", "two digits"],
)
def test_csv_dialects_are_read_alike(content, tmp_path):
    found = read(tmp_path, content).predictions
    np.testing.assert_allclose(found[["p_a", "p_b"]], PLAIN[["p_a", "p_b"]], atol=0.006)
    assert found["clip"].tolist() == PLAIN["clip"].tolist()


def test_groups_folds_and_seeds_are_read(tmp_path):
    number = np.arange(20)
    facts = {"recording": number, "group": number // 4, "fold": number // 10, "seed": 7}
    run = read(tmp_path, PLAIN.assign(**facts, other="ignored"))
    assert (run.evaluation.groups, run.folds, run.seeds) == (5, 2, (7,))


NFC, NFD = (unicodedata.normalize(form, "née") for form in ("NFC", "NFD"))


@pytest.mark.parametrize(
    "labels",
    [("0", "1", "10"), ("2024-01-01", "2024-01-02"), ("A", "a"), ("label", "clip", "p_"),
     (NFC, "b")],
)  # fmt: skip
def test_labels_may_be_any_text(labels, tmp_path):
    table = predictions(60, labels)
    words = answers(table)
    for form in (table, words):
        run = read(tmp_path, form.replace({NFC: NFD}))  # in the other Unicode normal form
        assert sorted(run.labels) == sorted(labels)
        right = (words["y_true"] == words["y_pred"]).mean()
        assert run.evaluation.metrics["accuracy"].value == pytest.approx(right)


def edited(row, column, value):
    table = PLAIN.astype(object)
    table.loc[row, column] = value
    return table


TWO = "clip,label,p_a,p_b\n"


@pytest.mark.parametrize(
    ("table", "says"),
    [
        (b"", "empty"),
        (b"\xef\xbb\xbf\n\n", "empty|no rows"),
        (TWO, "no rows"),
        (b"%PDF-1.7\n1 0 obj", "PDF"),
        (b"PK\x03\x04abc\n\n", "Excel"),
        (CSV.encode("utf-16"), "UTF-16"),
        (CSV.replace("a", "é").encode("latin-1"), "not in UTF-8"),
        (bytes(range(256)) * 40, "not a text table"),
        ("x" * 10_000_000, "no rows|no column"),
        (TWO + "x" * 10_000_000 + ",a,1,0\nd,b,0,1\n", "500 characters"),
        (TWO + 'c,a,"1,0\nd,b,0,1\n', "not a whole table|must be a number"),
        (PLAIN.drop(columns="label"), "no column of true labels"),
        (PLAIN.drop(columns=["p_a", "p_b"]), "no column of probabilities"),
        (PLAIN.drop(columns="p_b"), "one p_ column"),
        (PLAIN.assign(label="a"), "at least two labels"),
        ("clip,label,p_a,p_b,p_a\nc,a,1,0,1\n", "twice"),
        (f"label,p_{NFC},p_{NFD}\n{NFC},1,0\n", "twice"),
        (edited(3, "label", "c"), "Row 5 has the label “c”"),
        (edited(3, "label", ""), "Row 5 has no label"),
        (edited(3, "clip", "c2"), "Row 5 has the clip “c2” for the second time"),
        (edited(3, "p_b", "many"), "Row 5 has “many” in the column “p_b”"),
        (edited(3, "p_b", "=cmd()"), "Row 5 has “=cmd\\(\\)”"),
        (edited(3, "p_b", ""), "Row 5 has nothing"),
        (edited(3, "p_b", "nan"), "Row 5 has"),
        (edited(3, "p_b", "inf"), "Row 5 has no finite number"),
        (edited(3, "p_b", "9" * 400), "Row 5 has"),
        (edited(3, "p_b", -0.2), "Row 5 has a negative number \\(-0.2\\)"),
        (edited(3, "p_b", 3.0), "Row 5 has probabilities that add up to"),
        (PLAIN.assign(p_a=60, p_b=40), "Row 2 has probabilities that add up to 100"),
        (PLAIN.assign(fold=0.5), "Row 2 has the fold 0.5"),
        (PLAIN.assign(seed="9" * 30), "Row 2 has the seed 1e\\+30"),
        (PLAIN.assign(seed="x"), "Row 2 has “x” in the column “seed”"),
        (predictions(300, ("a", "b"), fold=np.arange(300)), "300 folds"),
        (PLAIN.assign(recording="r"), "with another label"),
        (PLAIN.assign(recording=PLAIN["label"], group=np.arange(20)), "with another group"),
        ("y_true,y_pred\n0,0.0\n1,1.0\n", "No predicted label"),
        (pd.DataFrame({"y_true": range(3000), "y_pred": 1}), "3,000 labels; at most 1,000"),
        (pd.DataFrame({"y_true": np.arange(30_000) % 1000, "y_pred": 1}), "rows of"),
    ],
)
def test_invalid_table_gives_a_one_sentence_error(table, says, tmp_path):
    with pytest.raises(ResultsError, match=says) as error:
        read(tmp_path, table)
    text = str(error.value)
    assert len(text) < 300
    assert "\n" not in text
    assert text.endswith(".")


@pytest.mark.parametrize("columns", [{}, {"seed": 42}], ids=["no seed", "another seed"])
def test_table_joins_our_runs_on_the_same_recordings(columns, tmp_path):
    found = place(read(tmp_path, of_our_recordings(**columns)), OURS)
    mine, ours = (found.of(*BABY)[name] for name in ("mine", "resnet18"))
    assert found.problems == ()
    assert (mine.labels, mine.folds) == (ours.labels, ours.folds)
    assert mine.evaluation.groups == ours.evaluation.groups  # its babies, absent from the file
    values = {name: estimate.value for name, estimate in mine.evaluation.metrics.items()}
    assert values == pytest.approx({name: score(ours, name, [0]) for name in METRICS})


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda t: t.assign(fold=np.arange(len(t)) % 3), "labels or folds"),
        (lambda t: t[t["recording"] < "5"], "are among"),
    ],
)
def test_table_that_does_not_fit_ours_is_a_dataset_of_its_own(change, why, tmp_path):
    table = change(of_our_recordings().drop_duplicates("recording"))
    found = place(read(tmp_path, table), OURS)
    assert [run.protocol for run in found.runs if run.system == "mine"] == [OWN]
    (problem,) = found.problems
    assert why in problem


@pytest.mark.parametrize(
    "name", ["resnet18", "donateacry", "../../etc/passwd", "ä b.csv", "<>", ""]
)
def test_its_name_never_equals_one_of_ours(name, tmp_path):
    found = place(read(tmp_path, PLAIN, name), OURS)
    (mine,) = (run for run in found.runs if run.protocol == OWN)
    assert mine.dataset not in {run.dataset for run in OURS.runs}
    assert mine.system not in {run.system for run in OURS.runs}
    assert mine.system
    assert set("/<> ").isdisjoint(mine.system)


LARGE = """
import resource, sys, time
from pathlib import Path
import numpy as np, pandas as pd
from analysis.stats.own_results import read_own_results
start, before = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
run = read_own_results(Path(sys.argv[1]), "large")
run.recordings
print(len(run.predictions), len(run.labels), time.process_time() - start,
      (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
"""


@pytest.mark.slow
@pytest.mark.parametrize(("rows", "classes"), [(200_000, 5), (2_000, 1000)])
def test_large_table_is_read_within_time_and_memory_limits(rows, classes, tmp_path):
    table = predictions(rows, [f"c{i}" for i in range(classes)])
    table.to_csv(tmp_path / "large.csv", index=False, float_format="%.6f")
    command = [sys.executable, "-c", LARGE, str(tmp_path / "large.csv")]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    found = [float(number) for number in done.stdout.split()]
    assert found[:2] == [rows, classes]
    assert found[2] < 10
    assert found[3] < 500
