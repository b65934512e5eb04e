"""The Live tab in a real Chromium whose microphone plays a file."""

import csv
import io
import os
from pathlib import Path

import librosa
import numpy as np
import pytest
import soundfile

from analysis.words import LANGUAGES
from cry_model.detector import DEFAULT_DETECTOR, CryDetector
from cry_model.sound import audio
from tests.browser.conftest import contrast
from tests.server import serve
from tests.stand_ins import cry, page_root

pytestmark = pytest.mark.browser

RATE = 48_000  # Hz, Chromium's own
REFUSE = """() => { navigator.mediaDevices.getUserMedia =
  () => Promise.reject(new DOMException("no", "NotAllowedError")); }"""


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

    def kinds(self):
        """Of the log's lines, oldest first."""
        return self.page.locator("[data-live=rows] tr").evaluate_all(
            "rows => rows.reverse().map(row => row.className)"
        )


@pytest.fixture
def live(visit):
    return lambda **options: Live(visit(**options))


def silence(seconds):
    return np.zeros(seconds * RATE, np.float32)


@pytest.fixture(scope="module")
def story(tmp_path_factory):
    """What the stand-in takes for a cry, and silence, by turns."""
    path = tmp_path_factory.mktemp("microphone") / "story.wav"
    wave = np.concatenate([silence(1), cry(4, RATE), silence(5)])
    soundfile.write(path, wave, RATE, subtype="PCM_16")
    return path


def waveform(path):
    wave, _ = librosa.load(path, sr=RATE)
    return (0.5 * wave / np.abs(wave).max()).astype("f4")


@pytest.fixture(scope="module")
def bundled(tmp_path_factory):
    """The page with the detector that is bundled, for real cries and speech."""
    if not DEFAULT_DETECTOR.is_dir():
        pytest.skip("no detector is bundled")
    root = page_root(tmp_path_factory.mktemp("root"), DEFAULT_DETECTOR)
    with serve(tmp_path_factory.mktemp("server"), root) as running:
        yield running


@pytest.fixture(scope="module")
def played(data_root, bundled, tmp_path_factory):
    """Cry, silence, speech, cry: real ones, those of a few that the detector is surest of as
    files."""
    detector = CryDetector.from_pretrained()

    def score(wave):
        return detector.scan(audio.load(wave, RATE)).score

    cries = [waveform(p) for p in sorted((data_root / "esc10" / "004 - Baby cry").iterdir())[:12]]
    cries.sort(key=score)
    talks = []
    for speaker in ("george", "jackson", "nicolas", "theo"):
        digits = sorted((data_root / "speech").glob(f"*_{speaker}_*.wav"))[:12]
        pause = np.zeros(RATE // 8, np.float32)
        talk = np.concatenate([part for path in digits for part in (waveform(path), pause)])
        talks.append(talk[: 5 * RATE])
    talk = min(talks, key=score)
    if score(cries[-2]) < detector.threshold or score(talk) >= detector.threshold:
        pytest.fail("The detector does not tell these cries from this speech as files already.")
    parts = [silence(1), cries[-1], silence(5), talk, silence(4), cries[-2], silence(5)]
    path = tmp_path_factory.mktemp("microphone") / "played.wav"
    soundfile.write(path, np.concatenate(parts), RATE, subtype="PCM_16")
    return path


def test_cry_silence_speech_cry_end_in_the_log_and_nowhere_else(live, played, bundled):
    tab = live(heard=played, server=bundled)
    sent = []
    tab.page.on("request", lambda r: sent.append(r.url))
    tab.press()
    tab.reached("cry")
    tab.page.wait_for_selector("[data-live=answer] h2")
    assert tab.part("picture").get_attribute("src").startswith("data:image/png")
    assert "cry" in tab.part("frame").get_attribute("aria-label")
    tab.reached("quiet")
    tab.reached("sound")
    assert tab.page.locator("[data-live=answer] h2").count() == 0
    tab.page.wait_for_selector("[data-live=rows] tr:nth-child(3)", timeout=60_000)
    assert bundled.recordings() == []  # while it listens, too
    assert tab.kinds()[:3] == ["cry", "sound", "cry"]
    tab.press("Stop")
    tab.reached("stopped")
    with tab.page.expect_download() as download:
        tab.page.get_by_role("link", name="Download this list (CSV)").click()
    rows = list(csv.DictReader(io.StringIO(Path(download.value.path()).read_text())))
    assert [row["heard"] for row in rows][:3] == ["cry", "rejected", "cry"]
    assert rows[0]["hungry"]
    assert not rows[1]["hungry"]
    assert not any("upload" in url or "queue/join" in url for url in sent)
    assert tab.visit.errors == []
    assert tab.visit.outside == []
    assert bundled.kept() == []
    assert "Traceback" not in bundled.log.read_text()


def test_it_starts_and_stops_by_keyboard_and_goes_on(live):
    tab = live()
    tab.part("button").focus()
    tab.page.keyboard.press("Enter")
    tab.page.wait_for_function("document.querySelector('[data-live=elapsed]').innerText > '0:01'")
    assert tab.part("status").get_attribute("role") == "status"
    tab.page.keyboard.press("Enter")
    tab.reached("stopped")
    assert "deleted" in tab.part("status").inner_text()
    heard = tab.part("elapsed").inner_text()
    tab.page.keyboard.press("Enter")
    tab.page.wait_for_function(
        f"document.querySelector('[data-live=elapsed]').innerText > '{heard}'"
    )
    assert tab.visit.errors == []


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


def test_a_refused_microphone_is_a_sentence_and_can_be_tried_again(live):
    tab = live()
    tab.page.evaluate(REFUSE)
    tab.press()
    tab.reached("refused")
    assert "Allow it in your browser" in tab.part("status").inner_text()
    tab.page.evaluate("delete navigator.mediaDevices.getUserMedia")
    tab.press()
    tab.page.wait_for_selector("[data-live=picture][src^='data:image/png']")


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


def test_another_visitor_is_answered_while_somebody_listens(live, visit, examples):
    tab = live()
    tab.press()
    tab.page.wait_for_selector("[data-live=picture][src^='data:image/png']")
    other = visit()
    other.upload(examples / "synthetic_whimper.wav")
    other.answered()
    assert other.errors == []
    assert tab.part("button").inner_text() == "Stop"


def test_it_speaks_the_language_of_the_browser(live, story):
    say = LANGUAGES["de"]
    tab = live(locale="de-DE", width=390, heard=story)
    for key in ("live.about", "live.caption", "live.privacy", "live.idle", "live.no_cry"):
        tab.page.get_by_text(say(key), exact=True).wait_for()
    tab.press(say("live.start"))
    tab.reached("cry")
    assert tab.part("status").inner_text() == say("heard.cry")
    tab.page.get_by_text(say("heard.row.cry"), exact=True).wait_for(timeout=60_000)
    tab.press(say("live.stop"))
    tab.reached("stopped")
    assert tab.part("status").inner_text() == say("live.stopped")
    assert tab.visit.overflow() <= 1


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 390)])
def test_it_fits_the_screen_and_can_be_read(live, scheme, width, story, tmp_path):
    tab = live(width=width, scheme=scheme, heard=story)
    tab.press()
    tab.page.wait_for_selector("[data-live=rows] tr", timeout=60_000)
    folder = Path(os.environ.get("CRY_SCREENSHOTS", tmp_path))
    tab.page.screenshot(path=folder / f"live-{scheme}-{width}.png", full_page=True)
    tab.page.wait_for_selector("[data-live=answer] h2", timeout=60_000)
    tab.page.screenshot(path=folder / f"live-cry-{scheme}-{width}.png", full_page=True)
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
