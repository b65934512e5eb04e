"""The Analysis tab: panels as they are drawn and as data, and the cells of a confusion matrix."""

import json

import gradio as gr
import pandas as pd
import plotly.graph_objects as go
import pytest

from analysis.panels.base import CellKey, Exhibit, Option, Panel, Selector, cells_with
from analysis.panels.confusion import CONFUSION
from analysis.panels.errors import ERRORS
from analysis.stats.runs import NO_RUNS, ResultsError, find_runs
from analysis.tabs.analysis import build_analysis_tab, cell_list, cell_value, exhibits_of
from analysis.tabs.panel_view import NOTHING, CardBlocks, resolve, resolve_cell, values
from tests.analysis.synthetic_runs import write_run

PLACES, BLOCKS = 2, len(CardBlocks._fields)
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
    PLACES,
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


def show(panel, found, cell, chosen):
    """Dataset, protocol, the selectors, the problem, and the blocks of each place."""
    shown = values(panel, found, *resolve(panel, found, cell, chosen))
    head = 2 + len(panel.selectors)
    places = [shown[head + 1 + BLOCKS * i :][:BLOCKS] for i in range(panel.places)]
    assert len(shown) == head + 1 + BLOCKS * panel.places
    return shown[:head], shown[head], [CardBlocks(*place) for place in places]


def test_what_is_chosen_is_drawn_and_places_without_an_exhibit_are_hidden(found):
    head, problem, places = show(PANEL, found, CELL, [ONE, True])
    assert [component.value for component in head] == [*CELL, ONE, True]
    assert [value for _, value in head[0].choices] == ["donateacry", "esc10"]
    assert [value for _, value in head[1].choices] == ["clip", "baby"]  # from most shared to none
    assert not problem.visible
    card = places[0]
    assert card.column.visible
    assert card.heading == f"### {ONE} &amp; others"
    assert card.figure.visible
    assert not card.table.visible
    assert card.note == "How."
    assert card.images.visible
    assert f'download="made-{ONE}.csv"' in card.link
    assert not places[1].column.visible


def test_what_the_new_cell_lacks_gives_way_to_the_first_choice(found):
    head, _, places = show(PANEL, found, CellKey("esc10", "recording"), [ONE, False])
    assert head[2].value == OTHER
    assert [value for _, value in head[2].choices] == [OTHER]
    assert places[0].heading.startswith(f"### {OTHER}")
    head, *_ = show(PANEL, found, CELL, [None, False])
    assert head[2].value == OTHER  # the second in the order of the registry is the first
    assert cells_with(found)[0] == CELL  # the one with most systems


def test_a_run_that_cannot_be_read_is_a_sentence_and_the_choice_stays(found):
    head, problem, places = show(PANEL, found, CELL, ["resnet18", False])
    assert head[2].value == "resnet18"
    assert problem.visible
    assert "The file of &lt;resnet18&gt; is damaged" in problem.value
    assert not any(place.column.visible for place in places)


def test_choices_that_cannot_be_read_leave_the_page_as_it_is(found):
    def broken(found, cell, group=None):
        raise ResultsError("Its predictions cannot be read.")

    panel = Panel("b", "B", "", broken, cells_with, 1, (Selector("group", "Group", broken),))
    head, problem, _ = show(panel, found, CELL, ["007"])
    assert head[2].value is None
    assert "cannot be read" in problem.value
    with gr.Blocks(), gr.Tabs(), gr.Tab("Analysis") as tab:
        build_analysis_tab(found, tab, [panel])


def test_without_runs_there_is_a_sentence():
    _, problem, places = show(PANEL, NO_RUNS, CellKey("", ""), ["", False])
    assert NOTHING in problem.value
    assert not any(place.column.visible for place in places)


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (("a", "clip"), ("a", "clip")),
        (("a", "recording"), ("a", "baby")),
        (("c", "clip"), ("b", "clip")),
    ],
)
def test_a_cell_that_is_not_there_gives_way_to_one_of_its_dataset(wanted, expected):
    cells = [CellKey("b", "clip"), CellKey("a", "baby"), CellKey("a", "clip")]
    assert resolve_cell(cells, CellKey(*wanted)) == expected


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


def page_with(found):
    with gr.Blocks(analytics_enabled=False) as page, gr.Tab("Analysis") as tab:
        build_analysis_tab(found, tab, [CONFUSION, ERRORS])
    return page


@pytest.fixture(scope="module")
def page(found):
    return page_with(found)


def handler(page, elem_id, event):
    """The event's function."""
    (fn,) = (
        fn
        for fn in page.fns.values()
        for block, name in fn.targets
        if name == event and getattr(page.blocks.get(block), "elem_id", None) == elem_id and fn.fn
    )
    return fn


def outputs(fn, *given):
    """Id on the page -> what the event puts there."""
    values = fn.fn(*given)
    assert len(values) == len(fn.outputs)
    return {block.elem_id: value for block, value in zip(fn.outputs, values, strict=True)}


@pytest.mark.parametrize(
    ("protocol", "first", "expected"),
    [("baby", ONE, {ONE, OTHER}), ("baby", OTHER, {OTHER}), ("clip", ONE, {"feature-mlp"})],
)
def test_the_cells_are_those_of_the_systems_that_are_drawn(page, protocol, first, expected):
    fn = handler(page, "confusion-system", "input")
    shown = outputs(fn, "donateacry", protocol, first, OTHER, "shares", False, False)
    assert {json.loads(value)[0] for _, value in shown["confusion-cell"].choices} == expected


def test_what_was_listed_and_played_goes_when_something_else_is_drawn(page):
    fn = handler(page, "confusion-system", "input")
    shown = outputs(fn, "donateacry", "baby", ONE, OTHER, "shares", False, True)
    for place in ("confusion-list-heading", "confusion-list", "confusion-listening"):
        assert shown[place].visible is False
    assert shown["confusion-player"] == ""
    shown = outputs(
        handler(page, "errors-system", "input"), "donateacry", "baby", "all", "all", "all"
    )
    assert shown["errors-listening"].visible is False
    assert shown["errors-player"] == ""


def test_choosing_a_cell_lists_its_recordings_and_awaits_a_row(page, found):
    fn = handler(page, "confusion-cell", "input")
    shown = outputs(fn, *CELL, cell_value(ONE, "tired", "hungry"))
    expected = cell_list(found.of(*CELL)[ONE], "tired", "hungry")
    assert len(expected) > 0
    heading = shown["confusion-list-heading"].value
    assert heading.endswith(f"tired classified as hungry: {len(expected)} of {len(expected)}")
    assert shown["confusion-list"].value["data"] == expected.values.tolist()
    assert shown["confusion-listening"].visible
    assert not shown["confusion-open"].visible


@pytest.mark.parametrize("by_similarity", [False, True])
def test_a_click_on_a_heat_map_chooses_the_cell_that_is_drawn_there(page, found, by_similarity):
    drawn = [*CELL, ONE, OTHER, "shares", False, by_similarity]
    fn = handler(page, "confusion-clicks", "select")
    data = CONFUSION.exhibits(found, CELL, {"by_similarity": by_similarity})[1].data
    labels = data["true"].unique()
    for row, true in enumerate(labels):
        for column, answer in enumerate(labels):
            event = gr.SelectData(None, {"index": [1, row, column], "value": ""})
            shown = outputs(fn, event, *drawn)
            listed = cell_list(found.of(*CELL)[OTHER], true, answer)
            if len(listed):
                assert shown["confusion-cell"] == cell_value(OTHER, true, answer)
                assert shown["confusion-list"].value["data"] == listed.values.tolist()
            else:
                assert set(map(str, shown.values())) == {str(gr.skip())}
    event = gr.SelectData(None, {"index": [2, 0, 0], "value": ""})  # the difference
    assert set(map(str, fn.fn(event, *drawn))) == {str(gr.skip())}


def test_lists_can_be_heard_and_none_of_it_is_offered_to_programs(page):
    for table in ("confusion-list", "errors-0-table", "errors-1-table"):
        assert handler(page, table, "select").inputs[0].elem_id == f"{table.split('-')[0]}-dataset"
    public = [fn.api_name for fn in page.fns.values() if fn.api_visibility == "public"]
    assert [name for name in public if name] == ["analysis"]


def test_without_runs_the_page_is_built():
    fn = handler(page_with(NO_RUNS), "confusion-system", "input")
    assert outputs(fn, "", "", None, None, None, False, False)["confusion-cell"].choices == []
