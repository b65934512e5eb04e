"""From a cell of a confusion matrix to the sound of a recording and its answer, in a Chromium.

The recordings are made up, under the names that the results have: what is tested is the way.
"""

import pytest

from analysis.panels import PANELS
from analysis.panels.base import cells_with, system_title
from analysis.panels.confusion import count_confusions
from analysis.panels.errors import ERRORS
from analysis.stats.paper import FULL
from analysis.stats.runs import RESULTS, find_runs
from analysis.tabs.analysis import cell_list, list_title
from analysis.tabs.recordings import NOT_FOUND
from cry_model.records import words
from tests.stand_ins import most_confident_error

pytestmark = pytest.mark.browser

DURATION = "document.querySelector('#{}-player audio')?.duration"


@pytest.fixture(scope="module")
def found():
    return find_runs(RESULTS)


@pytest.fixture(scope="module")
def cell(found):
    """The first that the page shows."""
    return cells_with(found)[0]


@pytest.fixture(scope="module")
def silent(found, cell):
    """The most confident error, whose recording the page does not have."""
    return most_confident_error(found, cell)


def open_panel(seen, name):
    """Chooses the panel and waits until it is drawn; drawing it again would clear the list."""
    seen.page.set_default_timeout(60_000)
    seen.page.get_by_role("tab", name="Analysis", exact=True).click()
    seen.page.locator("#panels").wait_for()
    if seen.page.locator(f"#{name}-0").is_visible():
        return
    title = next(panel.title for panel in PANELS if panel.name == name)
    tab = seen.page.get_by_role("tab", name=title, exact=True).first
    if not tab.is_visible():  # on a phone: in the menu of those that have no room
        seen.page.locator("#panels .overflow-menu > button").first.click()
        tab = seen.page.locator(".overflow-dropdown:visible button", has_text=title).first
    tab.click()
    seen.page.locator(f"#{name}-0").wait_for()


def busiest(run):
    """True label and answer of the largest confusion, and of the next."""
    counts = count_confusions(run.with_errors, "answer", run.labels).to_numpy().copy()
    counts[range(len(counts)), range(len(counts))] = 0
    for place in counts.ravel().argsort()[::-1][:2]:
        true, answer = divmod(int(place), len(counts))
        yield run.labels[true], run.labels[answer]


def choose_row(seen, table, recording):
    """A click on the recording's row, wherever the list has been scrolled to."""
    seen.page.locator(f"#{table} [role=gridcell]", has_text=recording).first.click()


@pytest.mark.parametrize(
    ("width", "scheme"),
    [pytest.param(1280, "light", marks=pytest.mark.smoke), (390, "dark")],
)
def test_a_cell_is_listed_heard_and_answered(
    visit, server, found, cell, models, examples, width, scheme, silent
):
    run = found.of(*cell)[FULL]
    label, answer = next(busiest(run))
    listed = cell_list(run, label, answer)
    recording = next(name for name in listed["Recording"] if name != silent)
    seen = visit(width=width, scheme=scheme)
    open_panel(seen, "confusion")
    option = f"{words(label)} → {words(answer)}: {len(listed)} ({system_title(FULL)})"
    dropdown = seen.page.locator("#confusion-cell input")
    dropdown.focus()  # by keyboard alone
    dropdown.press_sequentially(option)
    dropdown.press("Enter")
    title = list_title(run, label, answer, len(listed))
    seen.page.locator("#confusion-list-heading h3", has_text=title).wait_for()
    rows = seen.page.locator("#confusion-list [role=grid]").get_attribute("aria-rowcount")
    assert int(rows) == 1 + len(listed)
    choose_row(seen, "confusion-list", recording)
    seen.page.wait_for_function(f"{DURATION.format('confusion')} > 0")
    assert seen.page.evaluate(DURATION.format("confusion")) == pytest.approx(6.5, abs=0.1)
    assert seen.page.locator("#confusion-player .name").inner_text() == recording
    assert server.recordings() == []  # nothing was written to play it
    seen.page.get_by_role("button", name="Ask about it").click()
    seen.answered()
    assert seen.page.get_by_role("tab", name="Listen").get_attribute("aria-selected") == "true"
    expected = models[0].classifier.predict(examples / "synthetic_rhythmic.wav").answer
    assert seen.page.locator("#answer .answer").get_attribute("data-kind") == expected.kind
    assert server.kept() == []
    assert seen.overflow() <= 1
    assert seen.errors == []
    assert seen.outside == []


def test_a_click_on_the_heat_map_chooses_the_cell_under_it(visit, server, found, cell):
    run = found.of(*cell)[FULL]
    label, answer = list(busiest(run))[1]
    seen = visit()
    open_panel(seen, "confusion")
    seen.page.wait_for_function(  # the figure is drawn after the words
        """name => document.querySelector("#confusion-0-figure .js-plotly-plot")
        ?.data[0].x.includes(name)""",
        arg=words(label),
    )
    heat = seen.page.locator("#confusion-0-figure .heatmaplayer image").first
    heat.scroll_into_view_if_needed()
    box, size = heat.bounding_box(), len(run.labels)
    x = box["x"] + box["width"] * (run.labels.index(answer) + 0.5) / size
    y = box["y"] + box["height"] * (run.labels.index(label) + 0.5) / size
    seen.page.mouse.move(x - 2, y)
    seen.page.mouse.move(x, y)
    seen.page.wait_for_selector("#confusion-0-figure .hoverlayer text")
    seen.page.mouse.click(x, y)
    title = list_title(run, label, answer, len(cell_list(run, label, answer)))
    seen.page.locator("#confusion-list-heading h3", has_text=title).wait_for()
    assert seen.errors == []


def test_an_error_that_is_not_at_hand_says_so_and_another_is_played(
    visit, server, found, cell, silent
):
    other = ERRORS.exhibits(found, cell)[0].table["Recording"].iloc[1]
    seen = visit()
    open_panel(seen, "errors")
    choose_row(seen, "errors-0-table", silent)
    seen.page.locator("#errors-player", has_text=NOT_FOUND).wait_for()
    assert not seen.page.locator("#errors-open").is_visible()
    choose_row(seen, "errors-0-table", other)
    seen.page.wait_for_function(f"{DURATION.format('errors')} > 0")
    assert seen.page.locator("#errors-open").is_visible()
    seen.page.locator("#errors-label input").click()
    seen.page.get_by_role("option").nth(1).click()
    seen.page.wait_for_selector("#errors-listening", state="hidden")
    assert seen.errors == []


def test_what_is_opened_twice_leaves_no_copy(visit, server, found, cell, silent):
    other = ERRORS.exhibits(found, cell)[0].table["Recording"].iloc[1]
    seen = visit()
    for _ in range(2):
        open_panel(seen, "errors")
        choose_row(seen, "errors-0-table", other)
        seen.page.wait_for_function(f"{DURATION.format('errors')} > 0")
        seen.page.get_by_role("button", name="Ask about it").click()
        seen.answered()
    assert server.kept(30) == []
    assert seen.errors == []
