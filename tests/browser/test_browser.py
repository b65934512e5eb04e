"""What a visitor does, in a real Chromium."""

import contextlib
import json
import os
from pathlib import Path

import numpy as np
import pytest
import soundfile

from analysis.server import FULL
from analysis.tabs.answer import ANYWAY, HEADING, segments_csv
from cry_model import audio
from cry_model.records import words
from tests.browser.conftest import CHROMIUM, FEATURES, FLAGS, contrast, visit_page
from tests.stand_ins import RATE, hum, scene, write

pytestmark = pytest.mark.browser
SMOKE = pytest.mark.smoke

NETWORK_ONLY = ("map", "branch", "differential")


def shown(prediction):
    """Label -> per cent, as a page shows them."""
    return {words(label): round(100 * p) for label, p in prediction.probabilities.items()}


@pytest.fixture
def cry(examples):
    return examples / "synthetic_rhythmic.wav"


@SMOKE
def test_an_uploaded_cry_ends_in_probabilities_and_figures(visit, cry, server, models):
    seen = visit()
    failed = []
    seen.page.on("response", lambda r: r.status >= 400 and failed.append(r.url))
    seen.upload(cry)
    seen.answered()
    expected = models[0].classifier.predict(cry)
    assert seen.probabilities() == shown(expected)
    assert "Not a medical device" in seen.page.locator("#answer").inner_text()
    assert seen.page.locator("#answer .verdict").is_visible()
    for figure, text in (("sound", "A recording of 6.5 s"), ("map", "Mean weight")):
        seen.page.wait_for_selector(f"#{figure}-figure[role=img][aria-label*='{text}']")
    assert seen.page.locator("#answer[aria-live=polite]").count() == 1
    seen.play()
    with seen.page.expect_download() as download:
        seen.page.get_by_role("link", name="Download JSON").click()
    assert download.value.suggested_filename == "cry.json"
    assert set(json.loads(Path(download.value.path()).read_text())["probabilities"])
    assert failed == []
    assert seen.errors == []
    assert seen.outside == []
    assert server.kept() == []


def test_a_recording_from_the_microphone_ends_in_probabilities(visit, server):
    seen = visit()
    seen.page.get_by_role("button", name="Record audio").or_(
        seen.page.locator("#recording button[aria-label*='icrophone']")
    ).first.click()
    seen.page.locator(
        "#recording .record-button, #recording button:has-text('Record')"
    ).first.click()
    seen.page.wait_for_timeout(3500)
    seen.page.locator("#recording button:has-text('Stop'):visible").first.click()
    seen.answered()
    assert seen.errors == []
    assert server.kept() == []


def test_a_bad_file_gives_a_sentence_and_the_next_one_works(visit, cry, tmp_path):
    bad = tmp_path / "bad.wav"
    bad.write_bytes(b"no sound in here")
    seen = visit()
    seen.upload(bad)
    problem = seen.page.wait_for_selector("#answer .problem", timeout=30_000)
    assert problem.inner_text().strip().count(".") == 1
    assert not seen.page.locator("#sound-figure").is_visible()
    seen.clear()
    seen.upload(cry)
    seen.answered()


def test_every_example_answers_and_can_be_chosen_again(visit):
    seen = visit()
    buttons = seen.page.locator("button.gallery-item, .gallery button")
    assert buttons.count() == 4
    for i in (0, 1, 2, 3, 0):
        buttons.nth(i).click()
        seen.answered()
        seen.clear()
    assert seen.errors == []


def test_switching_by_mouse_and_keyboard_swaps_answer_and_figures(visit, cry, models):
    expected = [shown(model.classifier.predict(cry)) for model in models]
    seen = visit()
    seen.upload(cry)
    seen.answered()
    seen.page.get_by_label(models[1].label).click()
    seen.answered(FEATURES)
    assert seen.probabilities() == expected[1]
    for place in NETWORK_ONLY:
        assert not seen.page.locator(f"#{place}-section").is_visible()
    seen.page.wait_for_selector("#feature-figure[role=img][aria-label*='All together']")
    assert "The improved ECAPA-TDNN says" in seen.page.locator("#answer .beside").inner_text()
    seen.page.keyboard.press("ArrowDown")
    seen.page.wait_for_selector("#feature-section", state="hidden")
    seen.answered()
    assert seen.probabilities() == expected[2]
    assert seen.page.get_by_label(models[2].label).is_checked()
    assert seen.page.locator("#answer .beside").count() == 0
    seen.page.wait_for_selector("#branch-figure[role=img][aria-label*='Over all blocks']")
    assert seen.errors == []


def test_a_choice_made_before_or_during_the_answer_is_the_one_that_is_shown(visit, cry, models):
    seen = visit()
    seen.page.get_by_label(models[1].label).click()
    seen.upload(cry)
    seen.page.get_by_label(models[2].label).click()
    last = shown(models[2].classifier.predict(cry))
    names = " && ".join(f"document.body.innerText.includes({json.dumps(n)})" for n in last)
    seen.page.wait_for_function(f"document.querySelector('#answer .bar') && {names}")
    seen.answered()
    assert seen.probabilities() == last


def test_a_recording_unlike_those_of_the_fit_is_no_answer(visit, models, tmp_path):
    noise = tmp_path / "noise.wav"
    soundfile.write(noise, 0.2 * np.random.default_rng(0).standard_normal(24000), 8000)
    seen = visit(width=390)
    seen.upload(noise)
    seen.answered()
    assert (
        "Can't tell: this recording is outside of what"
        in seen.page.locator("#answer h2").inner_text()
    )
    cautions = models[0].classifier.predict(noise).cautions
    assert seen.page.locator("#answer .cautions p").all_inner_texts() == list(cautions)
    assert contrast(seen.page, "#answer .cautions p") >= 4.5


def test_what_is_no_cry_is_said_and_opens_by_keyboard(visit, models, tmp_path):
    path = write(tmp_path / "hum.wav", hum(5, RATE))
    seen = visit()
    seen.upload(path)
    seen.page.wait_for_selector("#sound-figure .main-svg")
    assert seen.page.locator("#answer h2").inner_text() == HEADING
    bars, figures = seen.page.locator("#answer .bar"), seen.page.locator("#map-figure .main-svg")
    figures.first.wait_for(state="attached")
    assert not bars.first.is_visible()
    assert not figures.first.is_visible()
    width = seen.page.evaluate("document.querySelector('#branch-figure .main-svg').clientWidth")
    summary = seen.page.locator("#answer .anyway > summary")
    assert summary.inner_text() == ANYWAY
    summary.focus()
    seen.page.keyboard.press("Enter")
    seen.answered()
    assert bars.first.is_visible()
    assert seen.probabilities() == shown(models[0].classifier.predict(path))
    column = seen.page.locator("#branch-figure").bounding_box()["width"]
    assert column - 60 < width <= column  # drawn to its place before it was shown
    seen.page.keyboard.press("Enter")
    seen.page.wait_for_selector("#answer .bar", state="hidden")
    assert not figures.first.is_visible()
    assert seen.errors == []


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (1280, "dark"), (390, "dark")])
def test_several_cries_have_a_table_and_a_timeline(
    visit, models, detector, tmp_path, width, scheme
):
    path = write(tmp_path / "scene.wav", scene(8, *(5, 7) * 9))
    track = detector.scan(audio.load(path))
    expected = models[0].classifier.predict(path, track=track)
    assert len(expected.segments) == 9
    seen = visit(width=width, scheme=scheme)
    seen.upload(path)
    seen.answered(("sound", "timeline", "map"))
    assert seen.probabilities() == shown(expected)
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
    folder = Path(os.environ.get("CRY_SCREENSHOTS", tmp_path))
    seen.page.screenshot(path=folder / f"timeline-{scheme}-{width}.png", full_page=True)
    assert seen.errors == []


def test_a_long_recording_shows_how_far_it_is(visit, tmp_path):
    path = write(tmp_path / "long.wav", scene(200, 100, 290))
    seen = visit()
    seen.upload(path)
    seen.page.wait_for_function(
        "/Listening for cries|Asking the models/.test(document.body.innerText)", timeout=60_000
    )
    seen.answered(("sound", "timeline"))
    assert seen.errors == []


@pytest.mark.parametrize(
    ("scheme", "width"),
    [("light", 1280), ("dark", 1280), ("light", 390), pytest.param("dark", 390, marks=SMOKE)],
)
def test_it_fits_the_screen_and_can_be_read(visit, cry, scheme, width, tmp_path, models):
    seen = visit(width=width, scheme=scheme)
    seen.upload(cry)
    seen.answered()
    seen.page.wait_for_timeout(1000)
    assert seen.overflow() <= 1
    for selector in ("#answer .bar .name", "#answer .trust p", ".caption p", "#header p"):
        assert contrast(seen.page, selector) >= 4.5, selector
    assert contrast(seen.page, "#sound-figure .ytitle", "fill") >= 4.5
    folder = Path(os.environ.get("CRY_SCREENSHOTS", tmp_path))
    seen.page.screenshot(path=folder / f"page-{scheme}-{width}.png", full_page=True)
    if (scheme, width) == ("light", 1280):
        seen.page.screenshot(path=folder / "screenshot.png")
    seen.page.get_by_label(models[1].label).click()
    seen.answered(FEATURES)
    seen.page.wait_for_timeout(500)
    assert seen.overflow() <= 1
    for selector in (
        "label.selected span",
        "label:not(.selected) span",
        "[data-testid=block-info]",
    ):
        assert contrast(seen.page, f"#model {selector}") >= 4.5, selector
    assert contrast(seen.page, "#feature-figure .ytick text", "fill") >= 4.5
    seen.page.screenshot(path=folder / f"features-{scheme}-{width}.png", full_page=True)


@SMOKE
def test_the_theme_button_and_the_tabs_work_from_the_keyboard(visit):
    seen = visit()
    dark = "() => document.body.classList.contains('dark')"
    assert not seen.page.evaluate(dark)
    seen.page.get_by_role("button", name="Light / dark").focus()
    seen.page.keyboard.press("Enter")
    assert seen.page.evaluate(dark)
    seen.page.get_by_role("tab", name="About").focus()
    seen.page.keyboard.press("Enter")
    assert seen.page.get_by_text("How it was measured").first.is_visible()
    assert seen.page.get_by_text("no copy is kept").last.is_visible()


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


def test_why_an_upload_is_refused_can_be_read(visit, cry):
    seen = visit()
    seen.page.route("**/upload?*", lambda route: route.fulfill(status=503, body=FULL))
    seen.upload(cry)
    seen.page.get_by_text(FULL).first.wait_for(timeout=30_000)
