"""The Live tab in a real Chromium whose microphone plays a file."""

import csv
import io
from pathlib import Path

import numpy as np
import pytest
import soundfile
from playwright.sync_api import expect

from analysis.words import LANGUAGES
from tests.browser.conftest import contrast, picture
from tests.stand_ins import RATE, scene

pytestmark = pytest.mark.browser


class Live:
    """The tab, opened."""

    def __init__(self, visit):
        self.visit, self.page = visit, visit.page
        self.page.get_by_role("tab", name="Live").click()
        self.page.wait_for_selector("[data-live=button]")

    def part(self, name):
        return self.page.locator(f"[data-live={name}]")

    def press(self, name="Start listening"):
        self.page.get_by_role("button", name=name).click()

    def reached(self, state):
        self.page.wait_for_selector(f"[data-live=root][data-state={state}]", timeout=60_000)


@pytest.fixture
def live(visit):
    return lambda **options: Live(visit(**options))


@pytest.fixture(scope="module")
def story(tmp_path_factory):
    """Cry, other sound, cry, with silence between them."""
    silence, (hum, cry) = np.zeros(5 * RATE), np.split(scene(4, 4), 2)
    wave = np.concatenate([silence[:RATE], cry, silence, hum, silence, cry, silence])
    path = tmp_path_factory.mktemp("microphone") / "story.wav"
    soundfile.write(path, wave, RATE, subtype="PCM_16")
    return path


def test_cry_other_sound_cry_end_in_the_log_and_nowhere_else(live, visit, story, server, examples):
    tab = live(heard=story)
    sent = []
    tab.page.on("request", lambda r: sent.append(r.url))
    tab.part("button").focus()
    tab.page.keyboard.press("Enter")
    tab.reached("cry")
    tab.page.wait_for_selector("[data-live=answer] h2")
    assert tab.part("picture").get_attribute("src").startswith("data:image/png")
    assert "cry" in tab.part("frame").get_attribute("aria-label")
    tab.reached("quiet")
    tab.reached("sound")
    assert tab.page.locator("[data-live=answer] h2").count() == 0
    tab.page.wait_for_selector("[data-live=rows] tr:nth-child(3)", timeout=60_000)
    assert server.recordings() == []  # while it listens, too
    other = visit(heard=story)  # is answered while somebody listens
    other.upload(examples / "synthetic_whimper.wav")
    other.answered()
    assert other.errors == []
    tab.press("Stop")
    tab.reached("stopped")
    expect(tab.part("status")).to_contain_text("deleted")
    with tab.page.expect_download() as download:
        tab.page.get_by_role("link", name="Download this list (CSV)").click()
    rows = list(csv.DictReader(io.StringIO(Path(download.value.path()).read_text())))
    assert [row["heard"] for row in rows][:3] == ["cry", "rejected", "cry"]
    assert [bool(row["hungry"]) for row in rows][:3] == [True, False, True]
    assert not any("upload" in url or "queue/join" in url for url in sent)
    assert tab.visit.errors == []
    assert tab.visit.outside == []
    assert server.kept() == []
    assert "Traceback" not in server.log.read_text()


WATCH = """() => {
  window.told = [];
  window.Notification = class {
    static permission = "default";
    static async requestPermission() { return (this.permission = "granted"); }
    constructor(sentence) { window.told.push(sentence); }
  };
  navigator.wakeLock.request = async (kind) => {
    window.told.push(kind);
    return { release: () => window.told.push("released") };
  };
}"""
HIDE = "Object.defineProperty(document, 'hidden', { get: () => true })"


def test_the_screen_stays_on_and_a_hidden_page_tells_of_a_cry_if_asked_to(live, story):
    tab = live(heard=story)
    tab.page.evaluate(WATCH)
    tab.press("Tell me when a cry begins")
    tab.page.get_by_text("I will tell you of a cry").wait_for()
    tab.press()
    tab.page.evaluate(HIDE)
    tab.reached("cry")
    tab.press("Stop")
    tab.reached("stopped")
    assert tab.page.evaluate("window.told") == ["screen", "A cry began.", "released"]


def test_a_server_that_fails_is_a_sentence(live):
    tab = live()
    tab.page.route("**/component_server/**", lambda route: route.abort())
    tab.press()
    tab.reached("problem")
    assert "cannot be reached" in tab.part("status").inner_text()
    assert tab.part("button").inner_text() == "Start listening"


def test_when_the_time_is_up_it_says_so_and_offers_to_go_on(live):
    tab = live()
    tab.page.route(
        "**/component_server/**",
        lambda route: (
            route.fulfill(json={**route.fetch().json(), "over": True})
            if "live_hear" in route.request.post_data
            else route.continue_()
        ),
    )
    tab.press()
    tab.reached("over")
    assert "10 minutes are over" in tab.part("status").inner_text()
    tab.page.unroute("**/component_server/**")
    tab.press("Listen for 10 more minutes")
    tab.page.wait_for_selector("[data-live=root]:not([data-state=over]):not([data-state=asking])")


@pytest.mark.parametrize(
    ("scheme", "width", "language"), [("light", 1280, "en"), ("dark", 390, "de")]
)
def test_it_fits_the_screen_and_can_be_read(live, scheme, width, language, story, tmp_path):
    say = LANGUAGES[language]
    tab = live(width=width, scheme=scheme, heard=story, locale=language)
    for key in ("live.about", "live.caption", "live.privacy", "live.idle", "live.no_cry"):
        tab.page.get_by_text(say(key), exact=True).wait_for()
    tab.press(say("live.start"))
    tab.page.wait_for_selector("[data-live=rows] tr", timeout=60_000)
    picture(tab.visit, tmp_path, f"live-{scheme}-{width}")
    tab.reached("cry")
    assert tab.part("status").inner_text() == say("heard.cry")
    tab.page.wait_for_selector("[data-live=answer] h2", timeout=60_000)
    picture(tab.visit, tmp_path, f"live-cry-{scheme}-{width}")
    assert tab.visit.overflow() <= 1
    for selector in (
        "[data-live=button]",
        "[data-live=status]",
        ".live-threshold",
        ".live-scale span",
        ".live-seconds span",
        "[data-live=rows] td:last-child",
        ".live .small",
    ):
        assert contrast(tab.page, selector) >= 4.5, selector
