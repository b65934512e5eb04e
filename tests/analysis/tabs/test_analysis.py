"""The Analysis tab: what an address shows, and the same as data for programs."""

import json
from html import unescape

import pandas as pd
import plotly.graph_objects as go
import pytest

from analysis.panels.base import (
    NOTHING,
    CellKey,
    Exhibit,
    Option,
    Panel,
    Selector,
    cells_with,
)
from analysis.panels.html import GONE, view_html, view_of
from analysis.stats.runs import NO_RUNS, ResultsError, find_runs
from analysis.tabs.analysis import asked, exhibits_of, shown
from tests.analysis.synthetic_runs import write_run

CELL = CellKey("donateacry", "baby")
ONE, OTHER = "improved-ecapa-tdnn", "ecapa-tdnn"


def systems(found, cell):
    return [Option(name, name) for name in found.of(*cell)]


def draw(found, cell, system, counts):
    if system == "resnet18":
        raise ResultsError("The file of <resnet18> is damaged; fit the run again.")
    data = pd.DataFrame({"cell": ["/".join(cell)], "system": [system], "counts": [float("nan")]})
    return (Exhibit(f"made-{system}", f"{system} & others", data, go.Figure(), note="How."),)


PANEL = Panel(
    "made",
    "Made up",
    "For tests.",
    draw,
    cells_with,
    (
        Selector("system", "System", systems, first=1),
        Selector("counts", "Counts", kind="switch"),
    ),
)


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    root = tmp_path_factory.mktemp("results")
    write_run(root, ONE)
    write_run(root, OTHER, 0.5)
    write_run(root, "resnet18")
    write_run(root, "feature-mlp", protocol="clip")
    write_run(root, OTHER, dataset="esc10", protocol="recording")
    return find_runs(root)


def ask(panel, found, cell=("", ""), **chosen):
    """What the panel shows for an address."""
    return view_of(panel, found, {"corpus": cell[0], "split": cell[1], **chosen})


def chosen(view):
    return {field.name: field.value for field in view.fields}


def test_what_an_address_asks_for_is_drawn(found):
    view = ask(PANEL, found, CELL, system=ONE, counts="True")
    assert chosen(view) == {"corpus": CELL[0], "split": CELL[1], "system": ONE, "counts": "True"}
    corpus, split, *_ = view.fields
    assert [value for _, value in corpus.options] == ["donateacry", "esc10"]
    assert [value for _, value in split.options] == ["clip", "baby"]  # from most shared to none
    html = view_html(view)
    assert f">{ONE} &amp; others</h3>" in html
    assert f'download="made-{ONE}.csv"' in html
    assert "<p>How.</p>" in html
    assert not view.problem


def test_what_the_new_cell_lacks_gives_way_to_the_first_choice(found):
    view = ask(PANEL, found, ("esc10", "recording"), system=ONE)
    assert chosen(view)["system"] == OTHER
    assert view.exhibits[0].title.startswith(OTHER)
    assert chosen(ask(PANEL, found, CELL))["system"] == OTHER  # the second is the first
    assert ask(PANEL, found).cell == PANEL.cells(found)[0]
    assert view_of(PANEL, found, {"split": "clip"}).cell == (CELL.dataset, "clip")
    assert ask(PANEL, found, ("esc10", "baby")).cell == ("esc10", "recording")
    gone = ask(PANEL, found, ("mine", "own"))
    assert GONE in view_html(gone)
    odd = ask(PANEL, found, ("<b>", "\0"), system="'\"><script>", counts="perhaps", more="x")
    assert (odd.cell, chosen(odd)["counts"]) == (CELL, "False")
    assert "<script>alert" not in view_html(odd)


def test_what_cannot_be_read_is_a_sentence_and_the_choice_stays(found):
    def broken(found, cell, group=None):
        raise ResultsError("Its predictions cannot be read.")

    panel = Panel("b", "B", "", broken, cells_with, (Selector("group", "Group", broken),))
    assert "cannot be read" in view_html(ask(panel, found, CELL, group="007"))
    view = ask(PANEL, found, CELL, system="resnet18")
    assert chosen(view)["system"] == "resnet18"
    assert "The file of &lt;resnet18&gt; is damaged" in view_html(view)
    assert not view.exhibits


def test_without_runs_there_is_a_sentence():
    assert NOTHING in view_html(ask(PANEL, NO_RUNS))
    assert NOTHING in shown(NO_RUNS, [PANEL], {})["html"]


@pytest.mark.parametrize(
    "address", [None, [], {"view": 7}, {"view": "x" * 10**6}, {1: "made"}, {"view": "none"}]
)
def test_an_address_that_names_no_view_is_the_overview(found, address):
    assert shown(found, [PANEL], asked(address))["view"] == "overview"


def test_the_view_and_the_ways_to_the_others_are_told(found):
    told = shown(found, [PANEL], {"view": "made", "corpus": "esc10"})
    assert told["view"] == "made"
    assert '&view=made" aria-current="page">Made up</a>' in unescape(told["html"])
    assert f">{OTHER} &amp; others</h3>" in told["html"]


def test_the_data_of_a_panel_is_json(found):
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
        ("other", CELL, {}, "There is no panel 'other'; take one of made."),
        ("made", CellKey("esc10", "clip"), {}, "nothing for esc10/clip; it has donateacry/baby"),
        (["made"], CELL, {}, "There is no panel"),
        ("made", CellKey(None, ["clip"]), {}, "nothing for None/"),
        ("made", CELL, "text", "Choices are an object"),
        ("made", CELL, [1], "Choices are an object"),
        ("made", CELL, {"seed": 1}, "has no choice seed, but system, counts."),
        ("made", CELL, {"system": "x"}, f"has no system 'x'; take one of {ONE}, {OTHER}"),
        ("made", CELL, {"counts": "much"}, "has no counts 'much'; take one of False, True."),
    ],
)
def test_what_is_not_there_is_one_sentence(found, name, cell, choices, sentence):
    with pytest.raises(ResultsError, match=sentence):
        exhibits_of(found, [PANEL], name, cell, choices)
