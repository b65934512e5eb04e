"""Check the Analysis tab: views by URL, their data as JSON, and a visitor's own table."""

import gc
import json
import weakref
from dataclasses import replace
from html import unescape

import pandas as pd
import plotly.graph_objects as go
import pytest

from analysis.panels import PANELS
from analysis.panels.base import NOTHING, CellKey, Exhibit, Option, Panel, Selector, cells_with
from analysis.panels.html import GONE, view_html, view_of
from analysis.stats.runs import NO_RUNS, ResultsError, find_runs
from analysis.tabs.analysis import (
    FULL,
    MOST_TABLES,
    add_results,
    asked,
    exhibits_of,
    shown,
    your_results_html,
)
from tests.analysis.synthetic_runs import write_run

CELL = CellKey("donateacry", "baby")
ONE, OTHER = "improved-ecapa-tdnn", "ecapa-tdnn"


def draw(found, cell, system, counts):
    if system == "resnet18":
        raise ResultsError("The file of <resnet18> is damaged; fit the run again.")
    data = pd.DataFrame({"cell": ["/".join(cell)], "system": [system], "counts": [float("nan")]})
    return (Exhibit(f"made-{system}", f"{system} & others", data, go.Figure(), note="How."),)


def systems(found, cell):
    return [Option(name, name) for name in found.of(*cell)]


SELECTORS = Selector("system", "System", systems, first=1), Selector("counts", "")
PANEL = Panel("made", "Made up", "For tests.", draw, cells_with, SELECTORS)


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    root = tmp_path_factory.mktemp("results")
    write_run(root, ONE)
    write_run(root, OTHER, 0.5)
    write_run(root, "resnet18")
    write_run(root, "feature-mlp", protocol="clip")
    write_run(root, OTHER, dataset="esc10", protocol="recording")
    return find_runs(root)


AT_CELL = {"corpus": CELL.dataset, "split": CELL.protocol}


def chosen(view):
    return {field.name: field.value for field in view.fields}


def test_view_follows_the_url(found):
    address = {**AT_CELL, "system": ONE, "counts": "True"}
    view = view_of(PANEL, found, address)
    assert chosen(view) == address
    corpus, split, *_ = view.fields
    assert [value for _, value in corpus.options] == ["donateacry", "esc10"]
    assert [value for _, value in split.options] == ["clip", "baby"]  # loosest first
    for part in (f">{ONE} &amp; others</h3>", f'download="made-{ONE}.csv"', "<p>How.</p>"):
        assert part in view_html(view)
    assert not view.problem


@pytest.mark.parametrize(
    ("address", "cell", "system"),
    [
        ({}, CELL, OTHER),  # the second option is the default
        ({"split": "clip"}, ("donateacry", "clip"), "feature-mlp"),
        ({"corpus": "esc10", "split": "recording", "system": ONE}, ("esc10", "recording"), OTHER),
        ({"corpus": "esc10", "split": "baby"}, ("esc10", "recording"), OTHER),
        ({**AT_CELL, "system": "'\"><script>", "x": "y"}, CELL, OTHER),
        ({"corpus": "<b>", "split": "\0"}, CELL, OTHER),
    ],
)
def test_invalid_choices_fall_back_to_the_nearest(found, address, cell, system):
    view = view_of(PANEL, found, {**address, "counts": "perhaps"})
    assert (view.cell, chosen(view)["system"], chosen(view)["counts"]) == (cell, system, "False")
    assert view.exhibits[0].title.startswith(system)
    assert "'\"><script>" not in view_html(view)


def test_undrawable_view_gives_a_sentence_and_keeps_the_choice(found):
    def broken(found, cell, group=None):
        raise ResultsError("Its predictions cannot be read.")

    unread = Panel("b", "B", "", broken, cells_with, (Selector("group", "Group", broken),))
    assert "cannot be read" in view_html(view_of(unread, found, {"group": "007"}))
    view = view_of(PANEL, found, {**AT_CELL, "system": "resnet18"})
    assert chosen(view)["system"] == "resnet18"
    assert "The file of &lt;resnet18&gt; is damaged" in view_html(view)
    assert not view.exhibits
    assert GONE in view_html(view_of(PANEL, found, {"corpus": "mine", "split": "own"}))
    for name in ("made", "overview"):
        assert NOTHING in shown(NO_RUNS, [PANEL], {"view": name})["html"]


@pytest.mark.parametrize(
    "address", [None, [], {"view": 7}, {"view": "x" * 10**6}, {1: "made"}, {"view": "none"}]
)
def test_url_without_a_valid_view_shows_the_overview(found, address):
    assert shown(found, [PANEL], asked(address))["view"] == "overview"


def test_view_is_returned_with_links_to_all_views(found):
    told = shown(found, [PANEL], {"view": "made", "corpus": "esc10"})
    assert told["view"] == "made"
    assert '&view=made" aria-current="page">Made up</a>' in unescape(told["html"])
    assert f">{OTHER} &amp; others</h3>" in told["html"]


def test_panel_data_is_json(found):
    told = exhibits_of(found, [PANEL], "made", CELL, {"system": ONE})
    assert json.loads(json.dumps(told, allow_nan=False)) == [
        {
            "name": f"made-{ONE}",
            "title": f"{ONE} & others",
            "note": "How.",
            "rows": [{"cell": "donateacry/baby", "system": ONE, "counts": None}],
        }
    ]
    (first,) = exhibits_of(found, [PANEL], "made", CELL, None)
    assert first["rows"][0]["system"] == OTHER


@pytest.mark.parametrize(
    ("name", "cell", "choices", "sentence"),
    [
        ("other", CELL, {}, "There is no panel 'other'; choose one of made."),
        (["made"], CELL, {}, "There is no panel"),
        ("made", CellKey("esc10", "clip"), {}, "nothing for esc10/clip; it has donateacry/baby"),
        ("made", CellKey(None, ["clip"]), {}, "nothing for None/"),
        ("made", CELL, [1], "Choices must be an object"),
        ("made", CELL, {"seed": 1}, "has no choice seed; it has system, counts."),
        ("made", CELL, {"system": "x"}, f"has no system 'x'; choose one of {ONE}, {OTHER}"),
        ("made", CELL, {"counts": "much"}, "has no counts 'much'; choose one of False, True."),
    ],
)
def test_invalid_request_gives_a_one_sentence_error(found, name, cell, choices, sentence):
    with pytest.raises(ResultsError, match=sentence):
        exhibits_of(found, [PANEL], name, cell, choices)


@pytest.fixture(scope="module")
def ours(found):
    return replace(found, runs=tuple(r for r in found.runs if (r.dataset, r.protocol) == CELL))


@pytest.fixture
def same(tmp_path):
    """Write predictions of another model on our recordings; return the path."""
    return str(write_run(tmp_path, "resnet18", 3.0) / "predictions.csv")


@pytest.fixture
def others(tmp_path):
    """Write labels only, of recordings that are not ours; return the path."""
    rows = [("dog", "dog"), ("dog", "<b>cat</b>"), ("<b>cat</b>", "dog")] * 5
    pd.DataFrame(rows, columns=["y_true", "y_pred"]).to_csv(tmp_path / "o.csv", index=False)
    return str(tmp_path / "o.csv")


def panel(name):
    return next(panel for panel in PANELS if panel.name == name)


def test_table_of_our_recordings_is_shown_beside_ours(ours, same):
    before = set(ours.of(*CELL))
    joined = add_results(ours, same, "my cnn.csv")
    html = your_results_html(ours, joined, PANELS)
    for name in ("systems", "confusion", "per-class", "calibration", "errors", "compare"):
        assert f"view={name}&amp;corpus=donateacry&amp;split=baby&amp;" in html
    compared = view_of(panel("compare"), joined, {"run_a": "my-cnn", "run_b": ONE})
    assert compared.exhibits[0].title == "Difference between A (my-cnn) and B (Improved ECAPA-TDNN)"
    assert set(ours.of(*CELL)) == before


def test_visitors_run_is_garbage_collected(ours, same):
    joined = add_results(ours, same, "my-cnn.csv")
    for shown_in in PANELS:
        for dataset, split in shown_in.cells(joined):
            view_of(shown_in, joined, {"corpus": dataset, "split": split, "system": "my-cnn"})
    (run,) = (weakref.ref(run) for run in joined.runs if run.table is not None)
    del joined
    gc.collect()
    assert run() is None


def test_invalid_table_gives_a_sentence_and_keeps_earlier_ones(ours, others, tmp_path):
    joined = add_results(ours, others, "animals.csv")
    drawn = view_of(panel("errors"), joined, {"corpus": "animals", "split": "own"})
    assert 'class="play-row"' not in view_html(drawn)  # there is no sound
    (tmp_path / "bad.csv").write_text("a,b\n1,2\n")
    with pytest.raises(ResultsError, match="no column of true labels") as refused:
        add_results(joined, str(tmp_path / "bad.csv"), "bad.csv")
    html = your_results_html(ours, joined, PANELS, str(refused.value))
    assert "no column of true labels" in html
    assert "<h3>animals</h3>" in html
    for number in range(MOST_TABLES - 1):
        joined = add_results(joined, others, f"animals {number}.csv")
    with pytest.raises(ResultsError, match=FULL):
        add_results(joined, others, "more.csv")
