"""What a researcher does on the Analysis tab, in a real Chromium, with all of our results."""

import csv
from pathlib import Path
from urllib.parse import parse_qs

import pytest

from analysis.panels import PANELS
from analysis.panels.html import view_of
from analysis.stats.runs import RESULTS, find_runs
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
        """Chooses a view."""
        self.page.locator(".views").get_by_role("link", name=panel.title, exact=True).click()
        self.drawn(panel)

    def place(self, panel, number=0):
        return self.page.locator(f"#{panel.name}-{number}")

    def drawn(self, panel):
        """Waits for the view and for every figure of it."""
        self.page.locator(f"#view-{panel.name}").wait_for(timeout=UNTIL_DRAWN)
        self.page.locator(".analysis[aria-busy=false]").wait_for(timeout=UNTIL_DRAWN)

    def headings(self, panel):
        return self.page.locator(f"#view-{panel.name} .exhibit h3").all_inner_texts()

    def choose(self, field, value):
        """Another choice in the bar, by a menu or a button."""
        place = self.page.locator(f"#choose-{field.name}")
        if field.kind == "menu":
            place.focus()
            place.select_option(value)
        elif field.kind == "switch":
            place.click()
        else:
            place.locator(f"input[value='{value}']").check()

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


def view(panel, **asked):
    return view_of(panel, FOUND, asked)


def expected(panel, **asked):
    return view(panel, **asked).exhibits


def others(field):
    """The other values that can be chosen."""
    values = ["True", "False"] if field.kind == "switch" else [value for _, value in field.options]
    return [value for value in values if value != field.value]


def plain(text):
    return " ".join(text.split())


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel.name)
def test_every_choice_changes_what_is_shown_and_back_goes_back(panels, panel):
    panels.go(panel)
    page, first = panels.page, expected(panel)[0]
    for field in view(panel).fields:
        other = next((v for v in others(field) if expected(panel, **{field.name: v})), None)
        if other is None:
            continue
        page.locator(f"#choose-{field.name}").scroll_into_view_if_needed()
        panels.choose(field, other)
        panels.told(panel, expected(panel, **{field.name: other})[0])
        panels.drawn(panel)
        assert f"{field.name}={other}" in page.url
        assert page.evaluate("document.activeElement.id").startswith(f"choose-{field.name}")
        page.evaluate("history.back()")
        page.wait_for_function("name => !location.search.includes(name)", arg=f"{field.name}=")
        panels.told(panel, first)
        panels.drawn(panel)
    page.evaluate("history.back()")
    page.locator(".overview").wait_for(timeout=UNTIL_DRAWN)
    page.evaluate("history.back()")
    page.locator("#listen").wait_for(timeout=UNTIL_DRAWN)
    assert panels.seen.errors == []


def test_what_was_chosen_goes_along_to_the_next_view_and_the_next_visit_of_the_tab(panels):
    first, second = PANELS[0], PANELS[1]
    panels.go(first)
    corpus, *_ = view(first).fields
    metric = next(field for field in view(first).fields if field.name == "metric")
    chosen = {"corpus": others(corpus)[0], "metric": "macro_f1"}
    panels.choose(corpus, chosen["corpus"])
    panels.told(first, expected(first, corpus=chosen["corpus"])[0])
    panels.choose(metric, "macro_f1")
    panels.told(first, expected(first, **chosen)[0])
    panels.go(second)
    panels.told(second, expected(second, **chosen)[0])
    panels.page.get_by_role("tab", name="About", exact=True).click()
    panels.page.get_by_role("tab", name="Analysis", exact=True).click()
    panels.told(second, expected(second, **chosen)[0])
    panels.page.wait_for_function("location.search.includes('view=systems')")
    panels.page.reload()
    panels.told(second, expected(second, **chosen)[0])


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


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "light"), (390, "dark")])
def test_every_view_shows_its_cards_and_is_no_wider_than_the_page(visit, width, scheme):
    panels = Panels(visit(width=width, height=844, scheme=scheme))
    for panel in PANELS:
        panels.go(panel)
        shown = [plain(heading) for heading in panels.headings(panel)]
        assert shown == [plain(exhibit.title) for exhibit in expected(panel)]
        assert panels.seen.overflow() <= 1, panel.name
    assert panels.seen.errors == []
    assert panels.seen.outside == []


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
        first = expected(panel, corpus=wanted["corpus"], split=wanted["split"])[0]
        panels.told(panel, first)
        assert page.url.endswith(link)
        page.reload()
        panels.told(panel, first)
        page.goto(page.url.partition("?")[0] + "?tab=analysis")
        page.locator(".overview").wait_for(timeout=UNTIL_DRAWN)
    assert panels.seen.errors == []


def test_a_dropped_table_is_shown_beside_ours_and_goes(visit, server, tmp_path):
    cell = FOUND.cells[0]
    theirs = next(iter(FOUND.of(*cell).values()))
    table = theirs.predictions[theirs.predictions["seed"] == theirs.seeds[0]]
    table.to_csv(tmp_path / "my-cnn.csv", index=False)
    (tmp_path / "bad.csv").write_bytes(b"\x00\x01")
    seen = visit(width=390, scheme="dark")
    page = seen.page
    page.goto(page.url.partition("?")[0] + "?tab=analysis&view=yours")
    page.locator("#own-file").set_input_files(str(tmp_path / "bad.csv"))
    page.get_by_role("alert").wait_for(timeout=UNTIL_DRAWN)
    drop = "([place, text]) => { const data = new DataTransfer(); data.items.add(new File([text], "
    drop += "'my-cnn.csv')); place.dispatchEvent(new DragEvent('drop', "
    drop += "{ dataTransfer: data, bubbles: true, cancelable: true })); }"
    place = page.locator(".drop").element_handle()
    page.evaluate(drop, [place, (tmp_path / "my-cnn.csv").read_text()])
    page.locator("#view-yours h3", has_text="my-cnn").wait_for(timeout=UNTIL_DRAWN)
    page.locator("#view-yours a", has_text="Compare").click()
    page.locator("#compare-0-heading", has_text="my-cnn").wait_for(timeout=UNTIL_DRAWN)
    assert seen.overflow() <= 1
    page.locator(".views a", has_text="Your results").click()
    page.locator("[data-remove]").click()
    page.locator("#view-yours [data-remove]").wait_for(state="detached")
    page.locator(".views a", has_text="Compare").click()
    page.locator("#view-compare").wait_for()
    assert "my-cnn" not in page.locator(".bar").inner_text()
    assert server.kept(30) == []  # nothing of it on the server
    assert seen.errors == []
    assert seen.outside == []
