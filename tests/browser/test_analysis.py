"""Use the Analysis tab and the report in a real Chromium, as a researcher does.

The results are the committed ones. Their recordings are replaced by a clip under the same names.
"""

import contextlib

import numpy as np
import pytest
from playwright.sync_api import expect

from analysis.panels import PANELS
from analysis.panels.ablation import ABLATION
from analysis.panels.confusion import cell_list, count_confusions
from analysis.panels.errors import ERRORS
from analysis.panels.html import view_of
from analysis.panels.systems import SYSTEMS
from analysis.report import write_report
from analysis.stats.paper import FULL
from analysis.stats.runs import RESULTS, find_runs
from analysis.tabs.recordings import NOT_FOUND
from cry_model.records import words
from tests.analysis.synthetic_runs import write_run
from tests.browser.conftest import watch
from tests.stand_ins import PLAYED, most_confident_error

pytestmark = pytest.mark.browser

FOUND = find_runs(RESULTS)
SIZES = pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])


class Panels:
    """Drive the Analysis tab in a browser window."""

    def __init__(self, seen, address=""):
        self.seen, self.page = seen, seen.page
        if address:
            self.page.goto(f"{self.page.url.partition('?')[0]}?tab=analysis&{address}")
        else:
            self.page.get_by_role("tab", name="Analysis", exact=True).click()
            self.drawn("overview")

    def go(self, panel):
        """Choose a view."""
        self.page.locator(".views").get_by_role("link", name=panel.title, exact=True).click()
        self.drawn(panel.name)

    def drawn(self, name):
        """Wait for the view and all its figures."""
        self.page.wait_for_selector(f".analysis[aria-busy=false] #view-{name}")

    def choose(self, field, value):
        """Select another value in the bar, by a menu or a button."""
        place = self.page.locator(f"#choose-{field.name}")
        if field.kind == "menu":
            place.focus()
            place.select_option(value)
        else:
            (place if field.kind == "switch" else place.locator(f"[value='{value}']")).click()

    def told(self, panel, **asked):
        """Wait for the figures, and the heading and numbers that ``view_of`` gives."""
        first = view_of(panel, FOUND, asked).exhibits[0]
        expect(self.page.locator(f"#{panel.name}-0-heading")).to_have_text(first.title)
        numbers = first.note.split("\n\n")[0]
        expect(self.page.locator(f"#{panel.name}-0-words")).to_contain_text(numbers)
        self.drawn(panel.name)


@pytest.fixture
def panels(visit):
    return Panels(visit())


def others(field):
    """Return the values that are not selected."""
    values = ["True", "False"] if field.kind == "switch" else [value for _, value in field.options]
    return [value for value in values if value != field.value]


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel.name)
def test_every_choice_changes_the_view_and_back_restores_it(panels, panel):
    page = panels.page
    panels.go(panel)
    for field in view_of(panel, FOUND, {}).fields:
        drawn = (v for v in others(field) if view_of(panel, FOUND, {field.name: v}).exhibits)
        if (other := next(drawn, None)) is None:
            continue
        panels.choose(field, other)
        panels.told(panel, **{field.name: other})
        assert f"{field.name}={other}" in page.url
        assert page.evaluate("document.activeElement.id").startswith(f"choose-{field.name}")
        page.go_back()
        panels.told(panel)
    page.go_back()
    panels.drawn("overview")
    page.go_back()
    page.locator("#listen").wait_for()


@SIZES
def test_overview_number_opens_its_panel_and_the_choice_persists(visit, width, scheme):
    """Keep the choice on a reload, in the next view, and on return to the tab."""
    panels = Panels(visit(width=width, scheme=scheme))
    page = panels.page
    panels.seen.check()
    asked = {"corpus": "donateacry", "split": "baby"}  # not the default of any view
    page.locator(".overview a[href*='view=systems&corpus=donateacry&split=baby']").first.click()
    panels.told(SYSTEMS, **asked)
    assert page.url.endswith("?tab=analysis&view=systems&corpus=donateacry&split=baby")
    page.reload()
    panels.told(SYSTEMS, **asked)
    panels.go(ABLATION)
    panels.told(ABLATION, **asked)
    page.get_by_role("tab", name="About", exact=True).click()
    page.get_by_role("tab", name="Analysis", exact=True).click()
    page.wait_for_url("**view=ablation**")
    panels.told(ABLATION, **asked)


def test_figure_can_be_downloaded(panels):
    panel = PANELS[0]
    panels.go(panel)
    first = view_of(panel, FOUND, {}).exhibits[0]
    place = panels.page.locator(f"#{panel.name}-0")
    name, content = panels.seen.save(place.get_by_role("button", name="Figure (PNG)"))
    assert (name, content[:4]) == (f"{first.name}.png", b"\x89PNG")
    name, content = panels.seen.save(place.get_by_role("button", name="Figure (SVG)"))
    assert (name, content[:4]) == (f"{first.name}.svg", b"<svg")
    assert b"fill: rgb(255, 255, 255)" in content  # readable on any background
    assert first.title.split()[0] in content.decode()


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "light"), (390, "dark")])
def test_every_view_shows_its_cards_and_fits_the_page(visit, width, scheme):
    panels = Panels(visit(width=width, scheme=scheme))
    for panel in PANELS:
        panels.go(panel)
        titles = [exhibit.title for exhibit in view_of(panel, FOUND, {}).exhibits]
        expect(panels.page.locator(f"#view-{panel.name} .exhibit h3")).to_have_text(titles)
        panels.seen.check()


DROP = """(place, text) => {
  const dataTransfer = new DataTransfer(), options = { bubbles: true, cancelable: true };
  dataTransfer.items.add(new File([text], "my-cnn.csv"));
  place.dispatchEvent(new DragEvent("drop", { dataTransfer, ...options }));
}"""


def test_dropped_table_is_shown_beside_ours_and_can_be_removed(visit, server, tmp_path):
    theirs = next(iter(FOUND.of(*FOUND.cells[0]).values()))
    table = theirs.predictions[theirs.predictions["seed"] == theirs.seeds[0]]
    (tmp_path / "bad.csv").write_bytes(b"\x00\x01")
    seen = visit(width=390, scheme="dark")
    page = Panels(seen, "view=yours").page
    page.locator("#own-file").set_input_files(str(tmp_path / "bad.csv"))
    page.get_by_role("alert").wait_for()
    page.locator(".drop").evaluate(DROP, table.to_csv(index=False))
    page.locator("#view-yours h3", has_text="my-cnn").wait_for()
    page.locator("#view-yours a", has_text="Compare").click()
    page.locator("#compare-0-heading", has_text="my-cnn").wait_for()
    for title in ("Table 1", "Unseen babies"):  # which show only our results
        page.locator(".views a", has_text=title).click()
        page.locator(".views [aria-current]", has_text=title).wait_for()
        page.locator(".analysis[aria-busy=false] .exhibit").first.wait_for()
    page.locator(".views a", has_text="Your results").click()
    page.locator("[data-remove]").click()
    page.locator("#view-yours [data-remove]").wait_for(state="detached")
    page.locator(".views a", has_text="Compare").click()
    page.locator("#view-compare .exhibit").first.wait_for()
    assert "my-cnn" not in page.locator(".bar").inner_text()
    assert server.kept(30) == []  # nothing stays on the server


# From a cell of a confusion matrix, or an error, to a recording: play it and classify it

CELL = f"corpus={PLAYED.dataset}&split={PLAYED.protocol}"
SILENT = most_confident_error(FOUND, PLAYED)
"""The one recording whose sound is missing."""


def by_keyboard(page, _, **cell):
    for name, value in cell.items():
        page.locator(f"#choose-{name}").press_sequentially(words(value))
        page.keyboard.press("Enter")
        page.wait_for_url(f"**{name}={value}**")
        page.wait_for_selector(".analysis[aria-busy=false]")


def by_mouse(page, labels, true, answer):
    heat = page.locator("#confusion-0-figure .heatmaplayer image").first
    heat.scroll_into_view_if_needed()
    box = heat.bounding_box()
    x = box["x"] + box["width"] * (labels.index(answer) + 0.5) / len(labels)
    y = box["y"] + box["height"] * (labels.index(true) + 0.5) / len(labels)
    page.mouse.move(x - 2, y)
    page.mouse.move(x, y)
    page.wait_for_selector("#confusion-0-figure .hoverlayer text")
    page.mouse.click(x, y)
    expect(page.locator("#choose-true")).to_have_value(true)


def play(seen, recording):
    """Play a recording by its row, wherever the list is scrolled to."""
    seen.page.locator(f".play-row[data-recording='{recording}']").first.click()


def ask_about_it(seen):
    """Wait for the sound to load, and have the Listen tab classify it."""
    seen.page.wait_for_function("document.querySelector('.listening audio')?.duration > 6.4")
    seen.page.get_by_role("button", name="Ask about it").click()
    seen.answered()


@pytest.mark.parametrize(
    ("width", "scheme", "choose"),
    [pytest.param(1280, "light", by_mouse, marks=pytest.mark.smoke), (390, "dark", by_keyboard)],
)
def test_recordings_of_a_cell_are_listed_played_and_classified(
    visit, server, models, examples, width, scheme, choose
):
    run = FOUND.of(*PLAYED)[FULL]
    counts = count_confusions(run).to_numpy(copy=True)
    np.fill_diagonal(counts, 0)
    second = np.unravel_index(counts.argsort(axis=None)[-2], counts.shape)  # the first is default
    true, answer = (run.labels[i] for i in second)
    listed = cell_list(run, true, answer)
    recording = next(name for name in listed["Recording"] if name != SILENT)
    seen = visit(width=width, scheme=scheme)
    Panels(seen, f"{CELL}&view=confusion").drawn("confusion")
    choose(seen.page, run.labels, true=true, answer=answer)
    title = f"True {words(true)}, predicted {words(answer)}: {len(listed)} recordings"
    seen.page.locator("h3", has_text=title).wait_for()
    assert seen.page.locator(".play-row").count() == len(listed)
    play(seen, recording)
    expect(seen.page.locator(".listening .name")).to_have_text(recording)
    assert server.recordings() == []  # playing writes no file
    ask_about_it(seen)
    assert seen.page.get_by_role("tab", name="Listen").get_attribute("aria-selected") == "true"
    expected = models[0].classifier.predict(examples / "synthetic_rhythmic.wav").answer
    assert seen.page.locator("#answer .answer").get_attribute("data-kind") == expected.kind


def test_missing_recording_is_reported_and_reopening_leaves_no_copy(visit, server):
    other = ERRORS.exhibits(FOUND, PLAYED)[0].table["Recording"].iloc[1]
    panels = Panels(visit(), f"{CELL}&view=errors")
    play(panels.seen, SILENT)
    panels.page.locator(".listening", has_text=NOT_FOUND).wait_for()
    assert not panels.page.get_by_role("button", name="Ask about it").is_visible()
    for _ in range(2):
        panels.page.get_by_role("tab", name="Analysis", exact=True).click()
        play(panels.seen, other)
        ask_about_it(panels.seen)
    assert server.kept(30) == []


# The report, offline

EVIL = '"><img src=x onerror=document.title="taken">'  # no slash: it names a folder
EVIL_LABEL = (
    "</script><script>document.title = 'taken'</script><img src='http://127.0.0.1:9/x.png'>"
)


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    root = tmp_path_factory.mktemp("results")
    for protocol in ("clip", "baby"):
        for system in (FULL, "ecapa-tdnn"):
            folder = write_run(root, system, protocol=protocol, dataset=EVIL)
            for path in folder.iterdir():
                path.write_text(path.read_text().replace("burping", EVIL_LABEL))
    write_report(root, root / "report.html")
    return root / "report.html"


@SIZES
def test_every_figure_of_the_report_is_drawn_offline(browser, report, scheme, width):
    options = {"color_scheme": scheme, "viewport": {"width": width, "height": 900}}
    with contextlib.closing(browser.new_context(offline=True, **options)) as context:
        seen = watch(context, "file:")
        page = seen.page
        page.goto(report.as_uri())
        assert page.locator(".plot").count() > 2
        assert page.locator(".plot.js-plotly-plot").count() == 0  # inside closed folds
        page.locator(".overview a").first.click()  # opens the linked fold
        page.locator(".plot .main-svg").first.wait_for()
        page.locator("details").evaluate_all("all => all.forEach((fold) => { fold.open = true; })")
        for place in page.locator(".plot").all():
            place.scroll_into_view_if_needed()
            place.locator(".main-svg").first.wait_for()
        colour = page.evaluate("getComputedStyle(document.body).color")
        expect(page.locator(".plot .xtick text").first).to_have_css("fill", colour)
        ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (ground == "rgb(255, 255, 255)") == (scheme == "light")
        assert "measured" in page.title()
        assert EVIL in page.locator("main").inner_text()
        seen.check()
