"""A panel on the page: what is chosen, what is drawn, and what happens to what cannot be."""

import gradio as gr
import pandas as pd
import plotly.graph_objects as go
import pytest

from analysis.panels.base import CellKey, Exhibit, Option, Panel, Selector, cells_with
from analysis.stats.runs import NO_RUNS, ResultsError, find_runs
from analysis.tabs.analysis import build_analysis_tab
from analysis.tabs.panel_view import NOTHING, resolve, resolve_cell, values
from tests.analysis.synthetic_runs import write_run

PLACES, BLOCKS = 2, 7


def systems(found, cell):
    return [Option(name, name) for name in found.of(*cell)]


def draw(found, cell, system, counts):
    if system == "resnet18":
        raise ResultsError("The file of <resnet18> is damaged; fit the run again.")
    data = pd.DataFrame({"cell": ["/".join(cell)], "system": [system], "counts": [counts]})
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
    for system in ("improved-ecapa-tdnn", "ecapa-tdnn", "resnet18"):
        write_run(root, system)
    write_run(root, "ecapa-tdnn", protocol="clip")
    write_run(root, "ecapa-tdnn", dataset="esc10", protocol="recording")
    return find_runs(root)


def show(panel, found, cell, chosen):
    return values(panel, found, *resolve(panel, found, cell, chosen))


def parts(shown):
    """Dataset, protocol, the two selectors, the problem, and the blocks of each place."""
    *head, problem = shown[:5]
    places = [shown[5 + BLOCKS * i : 5 + BLOCKS * (i + 1)] for i in range(PLACES)]
    assert len(shown) == 5 + BLOCKS * PLACES
    return head, problem, places


def test_what_is_chosen_is_drawn_and_places_without_an_exhibit_are_hidden(found):
    head, problem, places = parts(
        show(PANEL, found, CellKey("donateacry", "baby"), ["improved-ecapa-tdnn", True])
    )
    assert [component.value for component in head] == [
        "donateacry",
        "baby",
        "improved-ecapa-tdnn",
        True,
    ]
    assert not problem.visible
    column, heading, figure, table, note, images, link = places[0]
    assert column.visible
    assert heading == "### improved-ecapa-tdnn &amp; others"
    assert figure.visible
    assert not table.visible
    assert note == "How."
    assert images.visible
    assert 'download="made-improved-ecapa-tdnn.csv"' in link
    assert not places[1][0].visible


def test_a_system_that_the_new_cell_lacks_gives_way_to_the_first_choice(found):
    head, _, places = parts(
        show(PANEL, found, CellKey("esc10", "recording"), ["improved-ecapa-tdnn", False])
    )
    assert head[2].value == "ecapa-tdnn"
    assert [value for _, value in head[2].choices] == ["ecapa-tdnn"]
    assert places[0][1].startswith("### ecapa-tdnn")


def test_the_protocols_are_those_of_the_dataset(found):
    head, _, _ = parts(show(PANEL, found, CellKey("donateacry", "baby"), [None, False]))
    assert [value for _, value in head[1].choices] == ["clip", "baby"]  # from most shared to none
    assert [value for _, value in head[0].choices] == ["donateacry", "esc10"]
    assert head[2].value == "ecapa-tdnn"  # the second in the order of the registry is the first


def test_a_run_that_cannot_be_read_is_a_sentence_and_the_choice_stays(found):
    head, problem, places = parts(
        show(PANEL, found, CellKey("donateacry", "baby"), ["resnet18", False])
    )
    assert head[2].value == "resnet18"
    assert problem.visible
    assert "The file of &lt;resnet18&gt; is damaged" in problem.value
    assert not any(place[0].visible for place in places)


def test_choices_that_cannot_be_read_leave_the_page_as_it_is(found):
    def broken(found, cell, group=None):
        raise ResultsError("Its predictions cannot be read.")

    panel = Panel("b", "B", "", broken, cells_with, 1, (Selector("group", "Group", broken),))
    shown = show(panel, found, CellKey("donateacry", "baby"), ["007"])
    assert shown[2].value is None
    assert "cannot be read" in shown[3].value
    with gr.Blocks(), gr.Tabs(), gr.Tab("Analysis") as tab:
        build_analysis_tab(found, tab, [panel])


def test_without_runs_there_is_a_sentence():
    shown = show(PANEL, NO_RUNS, CellKey("", ""), ["", False])
    _, problem, places = parts(shown)
    assert NOTHING in problem.value
    assert not any(place[0].visible for place in places)


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


def test_the_cells_with_most_systems_come_first(found):
    assert cells_with(found)[0] == ("donateacry", "baby")
    assert cells_with(found, lambda runs: "resnet18" in runs) == (("donateacry", "baby"),)


def test_the_wiring_builds_on_a_page(found):
    with gr.Blocks() as page, gr.Tabs(), gr.Tab("Analysis") as tab:
        build_analysis_tab(found, tab, [PANEL])
    config = page.get_config_file()
    ids = {c["props"].get("elem_id") for c in config["components"]}
    assert {"made-dataset", "made-protocol", "made-system", "made-counts", "made-1"} <= ids
