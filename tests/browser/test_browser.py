"""What a visitor does, in a real Chromium."""

import contextlib
from pathlib import Path

import numpy as np
import pytest
import soundfile

from analysis.server import FULL
from analysis.session import classify_all
from analysis.tabs.segments import segments_csv
from analysis.words import LANGUAGES
from tests.browser.conftest import CHROMIUM, FLAGS, contrast, picture, visit_page
from tests.stand_ins import RATE, hum, scene, write

pytestmark = pytest.mark.browser
SMOKE = pytest.mark.smoke
REFUSE = """() => { navigator.mediaDevices.getUserMedia =
  () => Promise.reject(new DOMException("no", "NotAllowedError")); }"""


@pytest.fixture
def cry(examples):
    return examples / "synthetic_rhythmic.wav"


@SMOKE
def test_an_uploaded_cry_ends_in_an_answer_and_figures(visit, cry, server, models, detector):
    seen = visit()
    failed = []
    seen.page.on("response", lambda r: r.status >= 400 and failed.append(r.url))
    seen.upload(cry)
    seen.answered()
    answer = classify_all(models, str(cry), detector).chosen(models)[1].answer
    assert seen.page.locator("#answer .answer").get_attribute("data-kind") == answer.kind
    say = LANGUAGES["en"]
    assert seen.words().startswith(f"{say('maybe')}\n\n{say.label(answer.labels[0])}")
    assert seen.page.locator("#answer[aria-live=polite]").count() == 1
    assert seen.page.locator(".main-svg").count() == 0  # nothing is drawn before it is asked for
    seen.open("What I listened to")
    seen.page.wait_for_selector("#sound-figure[role=img][aria-label*='A recording of 6.5 s']")
    seen.open("For researchers")
    seen.page.wait_for_selector("#map-figure[role=img][aria-label*='Mean weight']")
    assert failed == []
    assert seen.errors == []
    assert seen.outside == []
    assert server.kept() == []


def test_a_recording_says_that_it_hears_crying_and_is_answered(visit, server, cry):
    seen = visit(width=390)
    button = seen.page.locator("[data-listen=record]")
    button.focus()
    seen.page.keyboard.press("Enter")
    seen.page.get_by_text("I hear crying").wait_for(timeout=30_000)
    assert button.inner_text().startswith("Stop")
    assert server.recordings() == []
    clock = "document.querySelector('[data-listen=clock]').innerText"
    seen.page.wait_for_function(f"{clock} >= '0:02'")  # long enough for an answer
    seen.page.keyboard.press("Enter")
    seen.answered()
    assert button.inner_text().startswith("Record again")
    button.click()
    seen.page.wait_for_selector("[data-state=recording]")
    seen.upload(cry)  # another sound ends the recording
    seen.answered()
    length = seen.page.evaluate("document.querySelector('[data-listen=player]').duration")
    seen.page.wait_for_timeout(1500)
    assert seen.page.locator("[data-state=answered]").count() == 1
    assert length == pytest.approx(6.5, abs=0.1)
    assert seen.errors == []
    assert server.kept() == []


@pytest.mark.parametrize(
    ("tab", "button", "heard"),
    [
        ("Listen", "[data-listen=record]", "[data-state=recording]"),
        ("Live", "[data-live=button]", "[data-live=picture][src^='data:image/png']"),
    ],
)
def test_a_refused_microphone_is_a_sentence_and_can_be_tried_again(visit, tab, button, heard):
    seen = visit()
    seen.page.get_by_role("tab", name=tab).click()
    seen.page.evaluate(REFUSE)
    seen.page.locator(button).click()
    seen.page.get_by_text("Allow it in your browser").filter(visible=True).wait_for()
    seen.page.evaluate("delete navigator.mediaDevices.getUserMedia")
    seen.page.locator(button).click()
    seen.page.wait_for_selector(heard)


def test_switching_by_mouse_and_keyboard_swaps_answer_and_figures(visit, cry, models):
    seen = visit()
    seen.upload(cry)
    seen.answered()
    seen.open("For researchers")
    seen.page.get_by_label(models[1].label).click()
    seen.page.wait_for_selector("#feature-figure[role=img][aria-label*='All together']")
    for place in ("map", "branch", "differential"):
        assert not seen.page.locator(f"#{place}-section").is_visible()
    assert "The improved ECAPA-TDNN" in seen.page.locator("#others .beside").inner_text()
    seen.page.keyboard.press("ArrowDown")
    seen.page.wait_for_selector("#feature-section", state="hidden")
    seen.page.wait_for_selector("#map-figure .main-svg")
    assert seen.page.get_by_label(models[2].label).is_checked()
    assert seen.page.locator("#others .beside").count() == 0
    assert "no more often than chance" in seen.words()  # on babies that it never heard
    assert seen.errors == []


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_several_cries_have_a_table_a_timeline_and_can_be_played(
    visit, models, detector, cry, tmp_path, width, scheme
):
    wave, rate = soundfile.read(cry)
    quiet = np.zeros(5 * rate)
    path = write(tmp_path / "scene.wav", np.concatenate([quiet, *[wave, quiet] * 9]), rate)
    _, expected = classify_all(models, str(path), detector).chosen(models)
    assert len(expected.segments) == 9
    seen = visit(width=width, scheme=scheme)
    seen.upload(path)
    seen.answered()
    seen.open("What I listened to", "sound", "timeline")
    assert seen.page.locator(".segments tbody tr").count() == 9
    with seen.page.expect_download() as download:
        seen.page.get_by_role("link", name="Download segments (CSV)").click()
    assert Path(download.value.path()).read_text() == segments_csv(expected)
    region = seen.page.get_by_role("region", name="Table of cries")
    region.focus()
    seen.page.keyboard.press("End")
    seen.page.wait_for_function("document.querySelector('.segments').scrollTop > 0")
    seen.page.wait_for_selector("#timeline-figure[role=img][aria-label*='9 cries of']")
    assert seen.overflow() <= 1
    for selector in (".segments caption", ".segments thead th", ".segments td"):
        assert contrast(seen.page, selector) >= 4.5, selector
    assert contrast(seen.page, "#timeline-figure .ytitle", "fill") >= 4.5
    third = expected.segments[2]
    seen.page.locator("[data-play]").nth(2).click()
    player = "document.querySelector('[data-listen=player]')"
    seen.page.wait_for_function(f"!{player}.paused && {player}.currentTime > {third.start}")
    seen.page.wait_for_function(f"{player}.paused", timeout=30_000)
    assert seen.page.evaluate(f"{player}.currentTime") == pytest.approx(third.end, abs=0.6)
    picture(seen, tmp_path, f"timeline-{scheme}-{width}")
    assert seen.errors == []


def test_a_long_recording_shows_how_far_it_is(visit, tmp_path):
    seen = visit()
    seen.upload(write(tmp_path / "long.wav", scene(200, 100, 290)))
    seen.page.wait_for_function(
        "/Listening for cries|Asking the models/.test(document.body.innerText)", timeout=60_000
    )
    seen.answered()
    assert seen.errors == []


@pytest.mark.parametrize(
    ("scheme", "width"),
    [("light", 1280), ("dark", 1280), ("light", 390), pytest.param("dark", 390, marks=SMOKE)],
)
def test_every_state_fits_the_screen_and_can_be_read(visit, cry, scheme, width, tmp_path):
    seen = visit(width=width, scheme=scheme)
    (bad := tmp_path / "bad.wav").write_bytes(b"no sound in here")
    said = {
        "problem": (bad, LANGUAGES["en"]("problem.UndecodableAudioError")),
        "not_a_cry": (write(tmp_path / "hum.wav", hum(5, RATE)), "I hear no crying"),
        "": (cry, "Maybe"),
    }
    fold = seen.page.get_by_role("button", name="What I listened to")
    for selector in (".listen .before p, .listen p", ".choose", ".link", "#header h1"):
        assert contrast(seen.page, selector) >= 4.5, selector
    assert contrast(seen.page, "#tabs > .tab-wrapper button.selected") >= 4.5
    assert contrast(seen.page, "[data-listen=record] [data-listen=label]") >= 4.5
    picture(seen, tmp_path, f"start-{scheme}-{width}")
    for kind, (file, sentence) in said.items():
        seen.upload(file)
        seen.answered(kind)
        assert seen.page.locator("#answer").inner_text().strip().startswith(sentence)
        fold.wait_for(state="hidden" if kind == "problem" else "visible")
        seen.page.wait_for_timeout(300)
        assert seen.overflow() <= 1
        place = seen.page.locator("#answer").bounding_box()
        card = seen.page.locator("#answer .card, #answer .problem").bounding_box()
        assert place["y"] >= 0
        assert card["y"] + card["height"] <= 844  # in the first screen, whole
        picture(seen, tmp_path, f"{file.stem}-{scheme}-{width}")
    seen.page.locator("#answer details.numbers").evaluate("fold => { fold.open = true; }")
    widths = seen.page.locator("#answer .kind .fill").evaluate_all(
        "all => all.map((fill) => fill.getBoundingClientRect().width)"
    )
    assert widths == sorted(widths, reverse=True)
    assert widths[0] > 30  # they are seen
    card = ".card h2", ".card p", "#answer summary"
    for selector in (*card, "[data-share]", ".tonight [data-do]"):
        assert contrast(seen.page, selector) >= 4.5, selector
    seen.open("What I listened to")
    seen.open("For researchers")
    seen.page.wait_for_timeout(500)
    assert seen.overflow() <= 1
    assert contrast(seen.page, "#sound-figure .ytitle", "fill") >= 4.5
    for selector in (
        "label.selected span",
        "label:not(.selected) span",
        "[data-testid=block-info]",
    ):
        assert contrast(seen.page, f"#model {selector}") >= 4.5, selector
    picture(seen, tmp_path, f"figures-{scheme}-{width}")


@SMOKE
def test_theme_tabs_and_links_work_from_the_keyboard_and_are_remembered(visit, server):
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


def test_every_stop_of_the_tab_key_can_be_seen(visit):
    seen = visit()
    seen.page.evaluate("document.activeElement.blur()")
    for _ in range(40):
        seen.page.keyboard.press("Tab")
        place = seen.page.evaluate(
            """() => { const e = document.activeElement, b = e.getBoundingClientRect();
            return e === document.body ? null : [e.outerHTML.slice(0, 90), b.width, b.height]; }"""
        )
        if place is None:
            break
        assert min(place[1:]) > 8, place


STORED = """async () => [
  ...Object.entries(localStorage),
  ...Object.entries(sessionStorage),
  ...(await indexedDB.databases()),
  ...(await caches.keys()),
  ...document.cookie.split(";").filter(Boolean),
]"""


def test_nothing_of_the_visitor_stays_in_the_browser(browser_type, server, cry, tmp_path):
    """Neither where the page could read it again, nor in any file of the profile."""
    path = tmp_path / "given-name-of-a-child.wav"
    wave, rate = soundfile.read(cry)
    soundfile.write(path, wave[: 5 * rate], rate)
    profile = tmp_path / "profile"
    launch = {"executable_path": CHROMIUM, "args": FLAGS}
    with contextlib.closing(browser_type.launch_persistent_context(profile, **launch)) as context:
        seen = visit_page(context, server)
        seen.upload(path)
        seen.answered()
        assert seen.page.evaluate(STORED) == []
    told = (path.stem.encode(), path.read_bytes()[-1000:-900])
    files = [file for file in profile.rglob("*") if file.is_file()]
    assert files
    assert [file for file in files if any(bit in file.read_bytes() for bit in told)] == []


def test_an_answer_is_shared_from_the_device(visit, cry):
    seen = visit()
    seen.page.evaluate("""() => {
      navigator.canShare = () => true;
      navigator.share = async ({ text, files: [file] }) => {
        window.shared = [text, file.type, file.size];
      };
    }""")
    seen.upload(cry)
    seen.answered()
    seen.page.get_by_role("button", name="Share this answer").click()
    seen.page.wait_for_function("window.shared")
    text, kind, size = seen.page.evaluate("window.shared")
    assert text.startswith("Maybe: ")
    assert kind == "image/png"
    assert size > 1000


def test_it_can_be_installed(visit, server):
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
def test_a_full_server_is_a_sentence_and_the_next_try_works(visit, cry, address, refusal):
    """In the language of the browser."""
    seen, say = visit(locale="de-DE", width=390), LANGUAGES["de"]
    for key in ("question", "record", "choose", "tab.listen", "privacy"):
        seen.page.get_by_text(say(key), exact=True).first.wait_for()
    named = seen.page.evaluate("[document.documentElement.lang, document.title]")
    assert named == ["de", say("title")]
    seen.upload(cry)
    seen.answered()
    seen.page.route(address, lambda route: route.fulfill(**refusal))
    seen.upload(cry)
    seen.page.get_by_text(say("problem.busy")).wait_for(timeout=30_000)
    assert not seen.page.get_by_text("currently busy").is_visible()  # Gradio's own, in English
    for former in ("#answer .answer", ".tonight .offered", ".fold"):
        assert not seen.page.locator(former).first.is_visible()
    seen.page.unroute(address)
    seen.upload(cry)
    seen.answered()
    assert say("advice") in seen.words()
    assert seen.page.get_by_role("button", name=say("fold.sound")).is_visible()
    assert seen.overflow() <= 1
