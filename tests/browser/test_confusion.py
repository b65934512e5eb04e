"""From a cell of a confusion matrix to the sound of a recording and its answer, in a Chromium.

The recordings are made up, under the names that the results have: what is tested is the way.
"""

import pytest

from analysis.panels.confusion import cell_list, count_confusions
from analysis.panels.errors import ERRORS
from analysis.stats.paper import FULL
from analysis.stats.runs import RESULTS, find_runs
from analysis.tabs.recordings import NOT_FOUND
from cry_model.records import words
from tests.stand_ins import PLAYED, most_confident_error

pytestmark = pytest.mark.browser

ADDRESS = f"tab=analysis&corpus={PLAYED.dataset}&split={PLAYED.protocol}"
DURATION = "document.querySelector('.listening audio')?.duration"


@pytest.fixture(scope="module")
def found():
    return find_runs(RESULTS)


@pytest.fixture(scope="module")
def silent(found):
    """The most confident error, whose recording the page does not have."""
    return most_confident_error(found, PLAYED)


def open_panel(seen, name):
    """Opens the view by its address and waits until it is drawn."""
    seen.page.set_default_timeout(60_000)
    if f"view={name}" in seen.page.url:
        seen.page.get_by_role("tab", name="Analysis", exact=True).click()
    else:
        seen.page.goto(seen.page.url.partition("?")[0] + f"?{ADDRESS}&view={name}")
    seen.page.locator(f"#view-{name}").wait_for()
    seen.page.locator(".analysis[aria-busy=false]").wait_for()


def busiest(run):
    """True label and answer of the largest confusion, and of the next."""
    counts = count_confusions(run.with_errors, "answer", run.labels).to_numpy().copy()
    counts[range(len(counts)), range(len(counts))] = 0
    for place in counts.ravel().argsort()[::-1][:2]:
        true, answer = divmod(int(place), len(counts))
        yield run.labels[true], run.labels[answer]


def play(seen, recording):
    """Plays the recording's row, wherever the list has been scrolled to."""
    seen.page.locator(f".play-row[data-recording='{recording}']").first.click()


@pytest.mark.parametrize(
    ("width", "scheme"),
    [pytest.param(1280, "light", marks=pytest.mark.smoke), (390, "dark")],
)
def test_a_cell_is_listed_heard_and_answered(
    visit, server, found, models, examples, width, scheme, silent
):
    run = found.of(*PLAYED)[FULL]
    label, answer = list(busiest(run))[1]
    listed = cell_list(run, label, answer)
    recording = next(name for name in listed["Recording"] if name != silent)
    seen = visit(width=width, scheme=scheme)
    open_panel(seen, "confusion")
    for name, value in (("true", label), ("answer", answer)):  # by keyboard alone
        menu = seen.page.locator(f"#choose-{name}")
        menu.focus()
        menu.press_sequentially(words(value))
        menu.press("Enter")
        seen.page.wait_for_function(f"location.search.includes('{name}={value}')")
        seen.page.locator(".analysis[aria-busy=false]").wait_for()
    seen.page.locator("h3", has_text=heading(label, answer, len(listed))).wait_for()
    assert seen.page.locator(".play-row").count() == len(listed)
    play(seen, recording)
    seen.page.wait_for_function(f"{DURATION} > 0")
    assert seen.page.evaluate(DURATION) == pytest.approx(6.5, abs=0.1)
    assert seen.page.locator(".listening .name").inner_text() == recording
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


def heading(label, answer, count):
    return f"{words(label)} taken for {words(answer)}: {count} recordings"


def test_a_click_on_the_heat_map_lists_the_cell_under_it(visit, found):
    run = found.of(*PLAYED)[FULL]
    label, answer = list(busiest(run))[1]
    seen = visit()
    open_panel(seen, "confusion")
    heat = seen.page.locator("#confusion-0-figure .heatmaplayer image").first
    heat.scroll_into_view_if_needed()
    box, size = heat.bounding_box(), len(run.labels)
    x = box["x"] + box["width"] * (run.labels.index(answer) + 0.5) / size
    y = box["y"] + box["height"] * (run.labels.index(label) + 0.5) / size
    seen.page.mouse.move(x - 2, y)
    seen.page.mouse.move(x, y)
    seen.page.wait_for_selector("#confusion-0-figure .hoverlayer text")
    seen.page.mouse.click(x, y)
    title = heading(label, answer, len(cell_list(run, label, answer)))
    seen.page.locator("h3", has_text=title).wait_for()
    assert seen.page.locator("#choose-true").input_value() == label
    assert seen.errors == []


def test_an_error_that_is_not_at_hand_says_so_and_what_is_opened_twice_leaves_no_copy(
    visit, server, found, silent
):
    other = ERRORS.exhibits(found, PLAYED)[0].table["Recording"].iloc[1]
    seen = visit()
    open_panel(seen, "errors")
    play(seen, silent)
    seen.page.locator(".listening", has_text=NOT_FOUND).wait_for()
    assert not seen.page.get_by_role("button", name="Ask about it").is_visible()
    for _ in range(2):
        open_panel(seen, "errors")
        play(seen, other)
        seen.page.wait_for_function(f"{DURATION} > 0")
        seen.page.get_by_role("button", name="Ask about it").click()
        seen.answered()
    assert server.kept(30) == []
    assert seen.errors == []
