"""Below the cards: the cells to choose, by dropdown or click, their lists and the player."""

import json

import gradio as gr
import pytest

from analysis.panels.base import CellKey
from analysis.panels.confusion import CONFUSION
from analysis.panels.errors import ERRORS
from analysis.stats.runs import NO_RUNS, find_runs
from analysis.tabs.analysis import build_analysis_tab, cell_list, cell_value
from analysis.tabs.recordings import ClassifyTab
from tests.analysis.synthetic_runs import write_run

ONE, OTHER = "improved-ecapa-tdnn", "ecapa-tdnn"


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    root = tmp_path_factory.mktemp("results")
    write_run(root, ONE)
    write_run(root, OTHER, 0.5)
    write_run(root, "feature-mlp", protocol="clip")
    return find_runs(root)


def page_with(found):
    with gr.Blocks(analytics_enabled=False) as page, gr.Tabs() as tabs:
        with gr.Tab("Classify", id="classify"):
            recorder = gr.Audio(type="filepath", elem_id="recording")
        with gr.Tab("Analysis", id="analysis") as tab:
            classify = ClassifyTab(recorder, tabs)
            build_analysis_tab(found, tab, [CONFUSION, ERRORS], classify)
    return page


@pytest.fixture(scope="module")
def page(found):
    return page_with(found)


def handler(page, elem_id, event):
    """The event's function, and its outputs by the id that they have on the page."""
    (fn,) = (
        fn
        for fn in page.fns.values()
        for block, name in fn.targets
        if name == event and getattr(page.blocks.get(block), "elem_id", None) == elem_id and fn.fn
    )
    return fn


def outputs(fn, values):
    """Id on the page -> what the event puts there."""
    assert len(values) == len(fn.outputs)
    return {block.elem_id: value for block, value in zip(fn.outputs, values, strict=True)}


def chosen(page, *choices):
    fn = handler(page, "confusion-system", "input")
    return outputs(fn, fn.fn(*choices))


def offered(shown):
    """The models whose cells the dropdown offers."""
    return {json.loads(value)[0] for _, value in shown["confusion-cell"].choices}


def test_the_cells_are_those_of_the_systems_that_are_drawn(page):
    shown = chosen(page, "donateacry", "baby", ONE, OTHER, "shares", False, False)
    assert offered(shown) == {ONE, OTHER}
    alone = chosen(page, "donateacry", "baby", OTHER, OTHER, "shares", False, False)
    assert offered(alone) == {OTHER}
    # Another protocol, which has neither of the systems.
    other = chosen(page, "donateacry", "clip", ONE, OTHER, "shares", False, False)
    assert offered(other) == {"feature-mlp"}


def test_what_was_listed_and_played_goes_when_something_else_is_drawn(page):
    shown = chosen(page, "donateacry", "baby", ONE, OTHER, "shares", False, True)
    for place in ("confusion-list-heading", "confusion-list", "confusion-listening"):
        assert shown[place].visible is False
    assert shown["confusion-player"] == ""
    fn = handler(page, "errors-system", "input")
    shown = outputs(fn, fn.fn("donateacry", "baby", "all", "all", "all"))
    assert shown["errors-listening"].visible is False
    assert shown["errors-player"] == ""


def test_choosing_a_cell_lists_its_recordings_and_awaits_a_row(page, found):
    fn = handler(page, "confusion-cell", "input")
    shown = outputs(fn, fn.fn("donateacry", "baby", cell_value(ONE, "tired", "hungry")))
    expected = cell_list(found.of("donateacry", "baby")[ONE], "tired", "hungry")
    assert len(expected) > 0
    heading = shown["confusion-list-heading"].value
    assert heading.endswith(f"tired classified as hungry: {len(expected)} of {len(expected)}")
    assert shown["confusion-list"].value["data"] == expected.values.tolist()
    assert shown["confusion-listening"].visible
    assert not shown["confusion-open"].visible


@pytest.mark.parametrize("by_similarity", [False, True])
def test_a_click_on_a_heat_map_chooses_the_cell_that_is_drawn_there(page, found, by_similarity):
    drawn = ["donateacry", "baby", ONE, OTHER, "shares", False, by_similarity]
    fn = handler(page, "confusion-clicks", "select")
    cell, choices = CellKey("donateacry", "baby"), {"by_similarity": by_similarity}
    labels = CONFUSION.exhibits(found, cell, choices)[1].data["true"].unique()
    for row, true in enumerate(labels):
        for column, answer in enumerate(labels):
            event = gr.SelectData(None, {"index": [1, row, column], "value": ""})
            shown = outputs(fn, fn.fn(event, *drawn))
            listed = cell_list(found.of("donateacry", "baby")[OTHER], true, answer)
            if len(listed):
                assert shown["confusion-cell"] == cell_value(OTHER, true, answer)
                assert shown["confusion-list"].value["data"] == listed.values.tolist()
            else:
                assert set(map(str, shown.values())) == {str(gr.skip())}
    event = gr.SelectData(None, {"index": [2, 0, 0], "value": ""})  # the difference
    assert set(map(str, fn.fn(event, *drawn))) == {str(gr.skip())}


def test_lists_can_be_heard_and_opened(page):
    for table in ("confusion-list", "errors-0-table", "errors-1-table"):
        assert handler(page, table, "select").inputs[0].elem_id == f"{table.split('-')[0]}-dataset"
    for name in ("confusion", "errors"):
        opened = handler(page, f"{name}-open", "click")
        assert opened.outputs[0].elem_id == "recording"


def test_none_of_it_is_offered_to_programs(page):
    names = {
        name for fn in page.fns.values() if (name := fn.api_name) and fn.api_visibility == "public"
    }
    assert names == {"analysis"}


def test_without_runs_or_without_a_classify_tab_the_page_is_built(found):
    empty = page_with(NO_RUNS)
    fn = handler(empty, "confusion-system", "input")
    shown = outputs(fn, fn.fn("", "", None, None, None, False, False))
    assert shown["confusion-cell"].choices == []
    with gr.Blocks(analytics_enabled=False) as page, gr.Tab("Analysis") as tab:
        build_analysis_tab(found, tab, [CONFUSION, ERRORS])
    ids = {getattr(block, "elem_id", None) for block in page.blocks.values()}
    assert "confusion-cell" not in ids
    assert "confusion-0" in ids
