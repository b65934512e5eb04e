"""Use the page in a real Chromium, as a visitor does."""

import contextlib
import re

import numpy as np
import pytest
import soundfile
from playwright.sync_api import expect

from analysis.server import FULL
from analysis.session import classify_all
from analysis.words import LANGUAGES
from tests.browser.conftest import CHROMIUM, FLAGS, visit_page
from tests.stand_ins import RATE, hum, write

pytestmark = pytest.mark.browser
SMOKE = pytest.mark.smoke
REFUSE = """() => { navigator.mediaDevices.getUserMedia =
  () => Promise.reject(new DOMException("no", "NotAllowedError")); }"""


PLAYER = "document.querySelector('[data-listen=player]')"


@pytest.fixture
def cry(examples):
    return examples / "synthetic_rhythmic.wav"


@SMOKE
def test_uploaded_cry_gets_an_answer_and_figures_of_each_model(
    visit, cry, server, models, detector
):
    seen, say = visit(), LANGUAGES["en"]
    seen.ask(cry)
    answer = classify_all(models, str(cry), detector).chosen(models)[1].answer
    card = seen.page.locator("#answer .card")
    assert card.inner_text().startswith(f"{say('maybe')}\n\n{say.label(answer.labels[0])}")
    assert seen.page.locator("#answer[aria-live=polite]").count() == 1
    assert seen.page.locator(".main-svg").count() == 0  # figures are drawn on request only
    seen.open("What I listened to")
    expect(seen.page.locator("#sound-words")).to_contain_text("A recording of 6.5 s")
    seen.open("For researchers")
    expect(seen.page.locator("#map-words")).to_contain_text("Mean weight")
    seen.page.get_by_label(models[1].label).click()
    expect(seen.page.locator("#feature-words")).to_contain_text("All together")
    assert seen.page.locator("#map, #branch, #differential").count() == 0
    seen.page.keyboard.press("ArrowDown")
    seen.page.wait_for_selector("#map-figure .main-svg")
    assert seen.page.locator("#feature").count() == 0
    assert seen.page.get_by_label(models[2].label).is_checked()
    expect(card).to_contain_text("no better than chance")  # on unseen babies
    assert server.kept() == []


def test_recording_reports_crying_and_is_answered(visit, server, cry):
    seen = visit(width=390)
    button = seen.page.locator("[data-listen=record]")
    button.focus()
    seen.page.keyboard.press("Enter")
    seen.page.get_by_text("I hear crying").wait_for()
    expect(button).to_contain_text("Stop")
    assert server.recordings() == []
    clock = "document.querySelector('[data-listen=clock]').innerText"
    seen.page.wait_for_function(f"{clock} >= '0:02'")  # long enough for an answer
    seen.page.keyboard.press("Enter")
    seen.answered()
    expect(button).to_contain_text("Record again")
    button.click()
    seen.page.wait_for_selector("[data-state=recording]")
    seen.ask(cry)  # choosing a file ends the recording
    seen.page.wait_for_timeout(1500)
    assert seen.page.locator("[data-state=answered]").count() == 1
    assert seen.page.evaluate(f"{PLAYER}.duration") == pytest.approx(6.5, abs=0.1)
    assert server.kept() == []


@pytest.mark.parametrize(
    ("tab", "button", "heard"),
    [
        ("Listen", "[data-listen=record]", "[data-state=recording]"),
        ("Live", "[data-live=button]", "[data-live=picture][src^='data:image/png']"),
    ],
)
def test_refused_microphone_is_reported_and_can_be_retried(visit, tab, button, heard):
    seen = visit()
    seen.page.get_by_role("tab", name=tab).click()
    seen.page.evaluate(REFUSE)
    seen.page.locator(button).click()
    seen.page.get_by_text("Allow it in your browser").filter(visible=True).wait_for()
    seen.page.evaluate("delete navigator.mediaDevices.getUserMedia")
    seen.page.locator(button).click()
    seen.page.wait_for_selector(heard)


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_several_cries_have_progress_table_timeline_and_playback(
    visit, models, detector, cry, tmp_path, width, scheme
):
    wave, rate = soundfile.read(cry)
    quiet = np.zeros(5 * rate)
    path = write(tmp_path / "scene.wav", np.concatenate([quiet, *[wave, quiet] * 9]), rate)
    segments = classify_all(models, str(path), detector).chosen(models)[1].segments
    assert len(segments) == 9
    seen = visit(width=width, scheme=scheme)
    seen.upload(path)
    seen.page.get_by_text(re.compile("Listening for cries|Asking the models")).first.wait_for()
    seen.answered()
    seen.open("What I listened to", "sound", "cries")
    assert seen.page.locator("#cries tbody tr").count() == 9
    expect(seen.page.locator("#cries-words")).to_contain_text("9 cries")
    seen.check()
    third = segments[2]
    seen.page.locator("[data-play]").nth(2).click()
    seen.page.wait_for_function(f"!{PLAYER}.paused && {PLAYER}.currentTime > {third.start}")
    seen.page.wait_for_function(f"{PLAYER}.paused")
    assert seen.page.evaluate(f"{PLAYER}.currentTime") == pytest.approx(third.end, abs=0.6)


@pytest.mark.parametrize(
    ("scheme", "width"),
    [("light", 1280), ("dark", 1280), ("light", 390), pytest.param("dark", 390, marks=SMOKE)],
)
def test_every_state_fits_the_screen_and_is_legible(visit, cry, scheme, width, tmp_path):
    seen = visit(width=width, scheme=scheme)
    seen.check()
    fold = seen.page.get_by_role("button", name="What I listened to")
    (bad := tmp_path / "bad.wav").write_bytes(b"no sound in here")
    other = write(tmp_path / "hum.wav", hum(5, RATE))
    for kind, file in (("problem", bad), ("not_a_cry", other), ("set", cry)):
        seen.ask(file, kind)
        fold.wait_for(state="hidden" if kind == "problem" else "visible")
        seen.check()
        card = seen.page.locator("#answer .card, #answer .problem").bounding_box()
        assert seen.page.locator("#answer").bounding_box()["y"] >= 0, kind
        assert card["y"] + card["height"] <= 844, kind  # entirely on the first screen
    seen.page.locator("#answer details.numbers").evaluate("fold => { fold.open = true; }")
    widths = seen.page.locator("#answer .kind .fill").evaluate_all(
        "all => all.map((fill) => fill.getBoundingClientRect().width)"
    )
    assert widths == sorted(widths, reverse=True)
    assert widths[0] > 30  # visible
    seen.open("What I listened to")
    seen.open("For researchers")


@SMOKE
def test_theme_and_tabs_work_by_keyboard_and_persist(visit, server):
    seen = visit()
    dark = "() => document.body.classList.contains('dark')"
    assert not seen.page.evaluate(dark)
    seen.page.locator("#theme").focus()
    seen.page.keyboard.press("Enter")
    assert seen.page.evaluate(dark)
    seen.page.get_by_role("tab", name="About").focus()
    seen.page.keyboard.press("Enter")
    assert seen.page.get_by_text("How it was measured").first.is_visible()
    assert seen.page.url.endswith("?tab=about")
    seen.page.reload()
    seen.page.get_by_text("no copy is kept").last.wait_for()
    assert seen.page.evaluate(dark)
    assert seen.page.get_by_role("tab", name="About").get_attribute("aria-selected") == "true"


def test_every_tab_stop_is_visible(visit):
    page = visit().page
    page.evaluate("document.activeElement.blur()")
    focused, stops = page.locator(":focus"), 0
    page.keyboard.press("Tab")
    while focused.count() and stops < 40:
        box = focused.bounding_box()
        assert min(box["width"], box["height"]) > 8, focused.evaluate("e => e.outerHTML")
        page.keyboard.press("Tab")
        stops += 1
    assert stops > 8


STORED = """async () => [
  ...Object.entries(localStorage),
  ...Object.entries(sessionStorage),
  ...(await indexedDB.databases()),
  ...(await caches.keys()),
  ...document.cookie.split(";").filter(Boolean),
]"""


def test_nothing_is_stored_in_the_browser(browser_type, server, cry, tmp_path):
    """Search the storage that the page can read, and every file of the profile."""
    wave, rate = soundfile.read(cry)
    path = write(tmp_path / "given-name-of-a-child.wav", wave[: 5 * rate], rate)
    profile = tmp_path / "profile"
    launch = {"executable_path": CHROMIUM, "args": FLAGS}
    with contextlib.closing(browser_type.launch_persistent_context(profile, **launch)) as context:
        seen = visit_page(context, server)
        seen.ask(path)
        assert seen.page.evaluate(STORED) == []
    told = (path.stem.encode(), path.read_bytes()[-1000:-900])
    files = [file for file in profile.rglob("*") if file.is_file()]
    assert files
    assert [file for file in files if any(bit in file.read_bytes() for bit in told)] == []


def test_answer_can_be_shared(visit, cry):
    seen = visit()
    seen.page.evaluate("() => { navigator.share = async ({ text }) => { window.shared = text; } }")
    seen.ask(cry)
    seen.page.get_by_role("button", name="Share this answer").click()
    seen.page.wait_for_function("window.shared")
    assert seen.page.evaluate("window.shared").startswith("Maybe: ")


def test_page_can_be_installed(visit, server):
    seen = visit()
    manifest = seen.page.evaluate(
        """async () => { const link = document.querySelector("link[rel=manifest]");
        const told = await (await fetch(link.href)).json();
        const icons = await Promise.all(told.icons.map(async (icon) =>
          (await createImageBitmap(await (await fetch(icon.src)).blob())).width));
        return [told.name, icons]; }"""
    )
    assert manifest == ["Cry classifier", [192, 512]]
    assert seen.page.locator("meta[name=description]").get_attribute("content")


@pytest.mark.parametrize(
    ("address", "refusal"),
    [
        ("**/upload", {"status": 503, "body": FULL}),
        ("**/queue/join*", {"status": 503, "json": {"detail": "Queue is full."}}),
    ],
)
def test_full_server_is_reported_and_the_next_try_works(visit, cry, address, refusal):
    """Check the sentences in the language of the browser, German."""
    seen, say = visit(locale="de-DE", width=390), LANGUAGES["de"]
    for key in ("question", "record", "choose", "tab.listen", "privacy"):
        seen.page.get_by_text(say(key), exact=True).first.wait_for()
    named = seen.page.evaluate("[document.documentElement.lang, document.title]")
    assert named == ["de", say("title")]
    seen.ask(cry)
    seen.page.route(address, lambda route: route.fulfill(**refusal))
    seen.upload(cry)
    seen.page.get_by_text(say("problem.busy")).wait_for()
    assert len(seen.errors) == 1  # from the refusal
    seen.errors.clear()
    assert not seen.page.get_by_text("currently busy").is_visible()  # Gradio's message
    for former in ("#answer .answer", ".tonight .offered", ".fold"):
        assert not seen.page.locator(former).first.is_visible()
    seen.page.unroute(address)
    seen.ask(cry)
    expect(seen.page.locator("#answer .card")).to_contain_text(say("advice"))
    assert seen.page.get_by_role("button", name=say("fold.sound")).is_visible()


def test_explanation_is_audible_and_not_kept(visit, server, cry, tmp_path):
    """Require that the file is uploaded again for it, and not before."""
    wave, rate = soundfile.read(cry)
    seen = visit(width=390)
    seen.ask(write(tmp_path / "own.wav", 0.9 * wave, rate))
    seen.open("What I listened to")
    assert len(seen.sent("/upload")) == 1
    seen.page.locator("[data-explain]").click()
    sounds = seen.page.locator(".explain audio")
    expect(sounds).to_have_count(4)
    assert len(seen.sent("/upload")) == 2
    longer = "() => [...document.querySelectorAll('.explain audio')].every((a) => a.duration > 1)"
    seen.page.wait_for_function(longer)
    assert seen.page.locator("[data-explain]").is_disabled()
    assert server.kept(30) == []
    assert "Traceback" not in server.log.read_text()
