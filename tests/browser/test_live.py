"""Use the Live tab in a real Chromium whose microphone plays a file."""

import csv
import io

import numpy as np
import pytest
import soundfile
from playwright.sync_api import expect

from analysis.words import LANGUAGES
from tests.stand_ins import RATE, scene

pytestmark = pytest.mark.browser


class Live:
    """Open and drive the tab."""

    def __init__(self, visit, say):
        self.visit, self.page, self.say = visit, visit.page, say
        self.page.get_by_role("tab", name="Live").click()
        self.page.wait_for_selector("[data-live=button]")

    def part(self, name):
        return self.page.locator(f"[data-live={name}]")

    def press(self, key):
        self.page.get_by_role("button", name=self.say(key)).click()

    def reached(self, state, sentence=""):
        """Wait for a state and, if its key is given, for the sentence about it."""
        self.page.wait_for_selector(f"[data-live=root][data-state={state}]")
        if sentence:
            expect(self.part("status")).to_have_text(self.say(sentence))


@pytest.fixture
def live(visit):
    def open_tab(language="en", **options):
        return Live(visit(locale=language, **options), LANGUAGES[language])

    return open_tab


@pytest.fixture(scope="module")
def story(tmp_path_factory):
    """Write a recording of a cry, a hum and a cry, separated by silence; return its path."""
    silence, (hum, cry) = np.zeros(5 * RATE), np.split(scene(4, 4), 2)
    wave = np.concatenate([silence[:RATE], cry, silence, hum, silence, cry, silence])
    path = tmp_path_factory.mktemp("microphone") / "story.wav"
    soundfile.write(path, wave, RATE, subtype="PCM_16")
    return path


@pytest.mark.parametrize(
    ("language", "width", "scheme"), [("en", 1280, "light"), ("de", 390, "dark")]
)
def test_cries_and_another_sound_are_logged_and_not_kept(
    live, visit, story, server, examples, language, width, scheme
):
    tab = live(language, heard=story, width=width, scheme=scheme)
    for key in ("live.about", "live.caption", "live.privacy", "live.idle", "live.no_cry"):
        tab.page.get_by_text(tab.say(key), exact=True).wait_for()
    tab.visit.requests.clear()
    tab.part("button").focus()
    tab.page.keyboard.press("Enter")
    tab.reached("cry", "heard.cry")
    tab.page.wait_for_selector("[data-live=answer] h2")
    assert tab.part("picture").get_attribute("src").startswith("data:image/png")
    tab.reached("quiet")
    tab.reached("sound")
    assert tab.page.locator("[data-live=answer] h2").count() == 0
    tab.page.wait_for_selector("[data-live=rows] tr:nth-child(3)")
    tab.visit.check()
    assert server.recordings() == []  # not even while it listens
    other = visit(heard=story)  # another visitor gets an answer meanwhile
    other.ask(examples / "synthetic_whimper.wav")
    tab.press("live.stop")
    tab.reached("stopped", "live.stopped")  # states that the sound is deleted
    _, table = tab.visit.save(tab.part("download").get_by_role("link"))
    rows = list(csv.DictReader(io.StringIO(table.decode())))
    assert [row["heard"] for row in rows][:3] == ["cry", "rejected", "cry"]
    assert [bool(row["hungry"]) for row in rows][:3] == [True, False, True]
    assert tab.visit.sent("upload") == tab.visit.sent("queue/join") == []
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


def test_screen_stays_on_and_hidden_page_notifies_on_request(live, story):
    tab = live(heard=story)
    tab.page.evaluate(WATCH)
    tab.press("live.notify")
    tab.page.get_by_text(tab.say("live.notified")).wait_for()
    tab.press("live.start")
    tab.page.evaluate(HIDE)
    tab.reached("cry")
    tab.press("live.stop")
    tab.reached("stopped")
    assert tab.page.evaluate("window.told") == ["screen", "I hear crying.", "released"]


def over(route):
    if "live_hear" in route.request.post_data:
        route.fulfill(json={**route.fetch().json(), "over": True})
    else:
        route.continue_()


@pytest.mark.parametrize(
    ("answer", "state", "sentence", "offer"),
    [
        (lambda route: route.abort(), "problem", "unreachable", "live.start"),
        (over, "over", "live.over", "live.more"),
    ],
    ids=["no server", "time is up"],
)
def test_interruption_is_explained_and_listening_can_restart(live, answer, state, sentence, offer):
    tab = live()
    tab.page.route("**/component_server/**", answer)
    tab.press("live.start")
    tab.reached(state, sentence)
    tab.page.unroute("**/component_server/**")
    tab.visit.errors.clear()  # from the aborted request
    tab.press(offer)
    tab.reached("cry")
