"""What a researcher does on the Analysis tab, in a real Chromium, with all of our results."""

import csv
from pathlib import Path
from urllib.parse import parse_qs

import pytest

from analysis.panels import PANELS
from analysis.panels.base import CellKey
from analysis.stats.comparison import ComparisonError
from analysis.stats.runs import RESULTS, find_runs
from analysis.tabs.panel_view import resolve_cell
from cry_model.records import dataset_title
from tests.browser.conftest import contrast

pytestmark = pytest.mark.browser

FOUND = find_runs(RESULTS)
UNTIL_DRAWN = 60_000


class Panels:
    """The Analysis tab in a browser window."""

    def __init__(self, seen):
        self.seen, self.page = seen, seen.page
        self.page.get_by_role("tab", name="Analysis", exact=True).click()
        self.page.locator(".overview").wait_for(timeout=UNTIL_DRAWN)

    def go(self, panel):
        """Chooses a sub-tab; a narrow page keeps some of them in a menu."""
        tab = self.page.locator("#panels").get_by_role("tab", name=panel.title, exact=True)
        if tab.count() and tab.first.is_visible():
            tab.first.click()
        else:
            self.page.locator("#panels .overflow-menu button").first.click()
            self.page.locator(".overflow-dropdown button", has_text=panel.title).click()
        self.drawn(panel)

    def place(self, panel, number=0):
        return self.page.locator(f"#{panel.name}-{number}")

    def drawn(self, panel):
        """Waits for the first exhibit and for every figure that is to be seen."""
        self.place(panel).wait_for(timeout=UNTIL_DRAWN)
        self.page.wait_for_function(
            """(name) => [...document.querySelectorAll(`[id^="${name}-"][id$="-figure"]`)]
            .filter((e) => e.offsetParent).every((e) => e.querySelector(".main-svg"))""",
            arg=panel.name,
            timeout=UNTIL_DRAWN,
        )

    def headings(self, panel):
        return [
            self.page.locator(f"#{panel.name}-{i}-heading").inner_text()
            for i in range(panel.places)
            if self.place(panel, i).is_visible()
        ]

    def choose(self, panel, selector, title):
        """Another choice in a dropdown, by what it says."""
        self.page.locator(f"#{panel.name}-{selector} input").click()
        self.page.get_by_role("option", name=title, exact=True).click()

    def switch(self, panel, selector):
        """The other state of a switch."""
        self.page.locator(f"#{panel.name}-{selector} input[type=checkbox]").click()

    def told(self, panel, exhibit):
        """Waits for the heading and the numbers of the first exhibit."""
        for part, words in (("heading", exhibit.title), ("words", exhibit.note.split("\n\n")[0])):
            self.page.wait_for_function(
                """([place, words]) => document.querySelector(place)?.innerText
                .replace(/\\s+/g, " ").trim().startsWith(words)""",
                arg=[f"#{panel.name}-0-{part}", plain(words)],
                timeout=UNTIL_DRAWN,
            )


@pytest.fixture
def panels(visit):
    return Panels(visit())


def expected(panel, cell=None, **choices):
    cells = panel.cells(FOUND)
    return panel.exhibits(FOUND, resolve_cell(cells, cell) if cell else cells[0], choices)


def can_be_drawn(panel, cell, selector, value, now):
    """Whether it is another choice than now; a run is not compared with itself."""
    try:
        return value != now and bool(expected(panel, cell, **{selector.name: value}))
    except ComparisonError:
        return False


def plain(text):
    return " ".join(text.split())


def test_every_sub_tab_says_what_its_data_say(panels):
    for panel in PANELS:
        panels.go(panel)
        shown = [plain(heading) for heading in panels.headings(panel)]
        assert shown == [plain(exhibit.title) for exhibit in expected(panel)]
    assert panels.seen.errors == []
    assert panels.seen.outside == []


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel.name)
def test_every_selector_changes_what_is_shown_and_back(panels, panel):
    panels.go(panel)
    cell = panel.cells(FOUND)[0]
    (first, *_) = expected(panel, cell)
    for selector in panel.selectors:
        now = selector.settle(FOUND, cell)
        if selector.kind == "switch":
            other = not now
            panels.switch(panel, selector.name)
        else:
            titles = {o.value: o.title for o in selector.options(FOUND, cell)}
            other = next((v for v in titles if can_be_drawn(panel, cell, selector, v, now)), None)
            if other is None:
                continue
            panels.choose(panel, selector.name, titles[other])
        panels.told(panel, expected(panel, cell, **{selector.name: other})[0])
        panels.drawn(panel)
        if selector.kind == "switch":
            panels.switch(panel, selector.name)
        else:
            panels.choose(panel, selector.name, titles[now])
        panels.told(panel, first)
    assert panels.seen.errors == []


def test_the_cell_that_was_chosen_goes_along_to_the_next_sub_tab(panels):
    first, second = PANELS[0], PANELS[1]
    cells = first.cells(FOUND)
    other = next(c for c in cells if c.dataset != cells[0].dataset)
    panels.go(first)
    panels.choose(first, "dataset", dataset_title(other.dataset))
    cell = resolve_cell(cells, other._replace(protocol=cells[0].protocol))
    panels.told(first, expected(first, cell)[0])
    panels.go(second)
    panels.told(second, expected(second, cell)[0])


def test_a_figure_and_its_data_can_be_taken_away(panels):
    panel = PANELS[0]
    panels.go(panel)
    first = expected(panel)[0]
    place = panels.place(panel)
    for kind, begins in (("SVG", b"<svg"), ("PNG", b"\x89PNG")):
        with panels.page.expect_download() as download:
            place.get_by_role("button", name=f"Figure ({kind})").click()
        assert download.value.suggested_filename == f"{first.name}.{kind.lower()}"
        content = Path(download.value.path()).read_bytes()
        assert content.startswith(begins)
        if kind == "SVG":
            text = content.decode()
            assert "fill: rgb(255, 255, 255)" in text  # readable wherever it is put
            assert first.title.split()[0] in text
    with panels.page.expect_download() as download:
        place.get_by_role("link", name="Data (CSV)").click()
    rows = list(csv.reader(Path(download.value.path()).read_text().splitlines()))
    assert rows[0] == list(first.data.columns)
    assert len(rows) == 1 + len(first.data)
    assert (
        panels.place(panel).locator(".js-plotly-plot").evaluate("plot => plot.layout.paper_bgcolor")
        == first.figure.layout.paper_bgcolor
    )  # as it was


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_on_a_phone_nothing_is_wider_than_the_page(visit, scheme):
    panels = Panels(visit(width=390, height=844, scheme=scheme))
    for panel in PANELS:
        panels.go(panel)
        assert panels.seen.overflow() <= 1, panel.name
    assert panels.seen.errors == []


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_each_number_of_the_overview_opens_its_panel_and_the_address_does_it_again(
    visit, width, scheme
):
    panels = Panels(visit(width=width, scheme=scheme))
    page = panels.page
    assert panels.seen.overflow() <= 1
    for selector in (".overview h2", ".overview a", ".overview .caption", ".overview td.paper"):
        assert contrast(page, selector) >= 4.5, selector
    links = page.locator(".overview a").evaluate_all("all => all.map((a) => a.search)")
    for link in {parse_qs(link[1:])["view"][0]: link for link in links}.values():
        wanted = {name: values[0] for name, values in parse_qs(link[1:]).items()}
        panel = next(panel for panel in PANELS if panel.name == wanted["view"])
        page.locator(f".overview a[href='{link}']").first.click()
        cell = resolve_cell(panel.cells(FOUND), CellKey(wanted["corpus"], wanted["split"]))
        panels.told(panel, expected(panel, cell)[0])
        assert page.url.endswith(link)
        page.reload()
        panels.told(panel, expected(panel, cell)[0])
        page.goto(page.url.partition("?")[0] + "?tab=analysis")
        page.locator(".overview").wait_for(timeout=UNTIL_DRAWN)
    assert panels.seen.errors == []
