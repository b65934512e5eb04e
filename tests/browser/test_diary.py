"""A diary in a real browser: kept if asked for, sent only to ask, saved, loaded, deleted."""

import json
import time
from datetime import datetime
from pathlib import Path

import pytest

from analysis.words import LANGUAGES
from tests.browser.conftest import contrast
from tests.diaries import diary

pytestmark = pytest.mark.browser
STORED = "() => JSON.parse(localStorage.getItem('diary'))"
PUT = "diary => localStorage.setItem('diary', JSON.stringify(diary))"
REFUSE = """() => {
  Storage.prototype.setItem = () => { throw new DOMException("no", "SecurityError"); };
}"""
SAY = LANGUAGES["en"]


@pytest.fixture
def cry(examples, tmp_path):
    """A recording that was made a moment ago."""
    path = tmp_path / "cry.wav"
    path.write_bytes((examples / "synthetic_rhythmic.wav").read_bytes())
    return path


@pytest.fixture
def visit(visit):
    """The same; ``asked`` has what the page sent to the server's functions."""

    def watched(kept=None, tab="", **options):
        seen = visit(**options)
        seen.asked = []
        seen.page.on("request", lambda r: r.post_data and seen.asked.append((r.url, r.post_data)))
        if kept is not None:
            seen.page.evaluate(PUT, kept)
            seen.page.goto(seen.page.url + tab)
            seen.page.wait_for_selector("#listen[data-ready]", state="attached")
        return seen

    return watched


def told(seen):
    return [post for _, post in seen.asked if "personal_" in post]


def test_a_diary_is_kept_if_asked_for_and_one_tap_says_what_a_cry_was(visit, cry):
    seen = visit(width=390)
    seen.upload(cry)
    seen.answered()
    assert seen.page.evaluate("localStorage.length") == 0
    seen.page.get_by_role("button", name=SAY("tonight.keep")).click()
    rows = seen.page.locator(".tonight li")
    rows.first.wait_for()
    for selector in (".tonight summary b", ".tonight [data-was]", ".tonight [data-care]"):
        assert contrast(seen.page, selector) >= 4.5, selector
    rows.first.get_by_role("button", name="Tired").click()
    rows.first.get_by_text("It was: Tired").wait_for()
    seen.page.get_by_role("button", name="Fed").click()
    seen.page.get_by_text("Noted: Fed").wait_for()
    kept = seen.page.evaluate(STORED)
    assert kept["cries"][0]["was"] == "sleepy"
    assert abs(datetime.fromisoformat(kept["cries"][0]["at"]).timestamp() - time.time()) < 120
    assert [event["kind"] for event in kept["care"]] == ["fed"]
    seen.page.get_by_role("button", name=SAY("diary.undo")).click()
    assert seen.page.evaluate(STORED)["care"] == []
    seen.upload(cry)
    seen.page.wait_for_function("document.querySelectorAll('.tonight li').length === 2")
    seen.page.reload()
    seen.page.wait_for_selector(".tonight li")
    assert rows.count() == 2
    assert seen.page.evaluate(STORED)["cries"][0]["was"] == "sleepy"
    seen.page.locator("[data-example*=rhythmic]").click()
    seen.answered()
    seen.page.wait_for_timeout(300)
    assert rows.count() == 2  # an example is no cry of this baby
    assert told(seen) == []  # two cries teach nothing, so nothing is sent
    assert seen.overflow() <= 1
    assert seen.errors == []


def test_nothing_is_sent_before_there_are_eight_labelled_cries(visit):
    before = diary(2)
    del before["cries"][-1]["was"]
    seen = visit(before, "?tab=diary")
    seen.page.get_by_text("So far: 7").wait_for()
    seen.page.wait_for_timeout(1500)
    assert told(seen) == []
    seen.page.locator(".cries summary").first.click()
    seen.page.locator(".cries [data-was=diaper]").first.click()
    seen.page.get_by_text("Too few to say: 8").wait_for()
    assert len(told(seen)) == 1


def test_a_new_cry_is_answered_by_the_babys_own_ones(visit, cry, server):
    before = diary(28)
    before["names"]["hungry"] = "Wants milk"
    for one in before["cries"]:
        one["was"] = "hungry" if one["was"] == "hungry" else "Teeth"
    seen = visit(before, locale="de-DE", width=390)
    seen.upload(cry)
    seen.answered()
    place = seen.page.locator("[data-personal]")
    place.locator("p").nth(2).wait_for()
    assert place.inner_text().startswith(LANGUAGES["de"]("personal.title"))
    assert {"Wants milk", "Teeth"} & set(place.locator("[data-reason]").all_inner_texts())
    (post,) = told(seen)
    sent = json.loads(post)["data"]
    assert set(sent) == {"care", "cries"}
    assert not {"said", "spark"} & set().union(*sent["cries"])
    assert all("component_server" in url for url, post in seen.asked if "Teeth" in post)
    assert "Teeth" not in server.log.read_text()
    assert server.kept() == []
    assert seen.overflow() <= 1
    assert seen.errors == []


def test_the_tab_tells_what_is_learnt_and_draws_the_log(visit):
    seen = visit(diary(28), "?tab=diary", width=390, scheme="dark")
    seen.page.get_by_text("Better than guessing: right").wait_for()
    seen.page.locator("[data-diary=report] summary").click()
    rows = seen.page.locator(".diary tbody tr").all_inner_texts()
    assert [row.split("\t")[0] for row in rows] == [
        *(SAY(f"personal.by.{name}") for name in ("sound", "context", "time")),
        SAY("personal.by.constant", label="hungry"),
    ]
    seen.page.wait_for_selector("#diary-plot .main-svg")
    drawn = seen.page.evaluate("document.querySelector('#diary-plot .plot').data")
    assert sum(len(trace["x"]) for trace in drawn) == 28 * 4
    assert {trace["name"] for trace in drawn} == {"Hungry", "Tired", "Teeth"}
    with seen.page.expect_download() as download:
        seen.page.get_by_role("button", name=SAY("diary.picture")).click()
    assert Path(download.value.path()).read_bytes()[1:4] == b"PNG"
    for selector in (".diary .verdict", ".diary td", ".diary .caption", ".cries summary b"):
        assert contrast(seen.page, selector) >= 4.5, selector
    assert seen.overflow() <= 1
    assert seen.errors == []


def test_a_diary_is_saved_deleted_brought_back_and_loaded(visit, tmp_path):
    before = diary(6, effect=0.3)
    seen = visit(before, "?tab=diary")
    seen.page.get_by_text("Too few to say: 24").wait_for()
    with seen.page.expect_download() as download:
        seen.page.get_by_role("button", name=SAY("diary.save")).click()
    saved = tmp_path / "diary.json"
    download.value.save_as(saved)
    assert json.loads(saved.read_text()) == before
    with seen.page.expect_download() as download:
        seen.page.get_by_role("button", name=SAY("diary.csv")).click()
    lines = Path(download.value.path()).read_text().splitlines()
    assert len(lines) == 25
    assert lines[1].split(",")[-3:] == ['"1.00"', '""', '""']
    delete = seen.page.get_by_role("button", name=SAY("diary.delete"))
    delete.click()
    assert seen.page.evaluate("localStorage.length") == 0
    seen.page.get_by_role("button", name=SAY("diary.undo")).click()
    assert seen.page.evaluate(STORED) == before
    delete.click()
    picker = seen.page.locator("[data-diary=file]")
    picker.set_input_files(str(saved))
    seen.page.get_by_text(SAY("diary.loaded", count=24)).wait_for()
    assert seen.page.evaluate(STORED) == before
    picker.set_input_files(str(saved))
    seen.page.get_by_text(SAY("diary.loaded", count=0)).wait_for()
    for name, text in (("a", "none"), ("b", "{}"), ("c", json.dumps({**before, "cries": [{}]}))):
        bad = tmp_path / f"{name}.json"
        bad.write_text(text)
        picker.set_input_files(str(bad))
        seen.page.get_by_text(SAY("diary.wrong")).wait_for()
        assert seen.page.evaluate(STORED) == before
        seen.page.evaluate("document.querySelector('[data-diary=status]').textContent = ''")
    assert seen.errors == []


def test_reasons_times_and_cries_can_be_changed(visit):
    seen = visit(diary(6), "?tab=diary")
    rows = seen.page.locator("#diary .cries li")
    rows.nth(19).wait_for()
    assert rows.count() == 20
    seen.page.get_by_role("button", name=SAY("diary.more")).click()
    rows.nth(23).wait_for()
    seen.page.locator(".diary > .kept > details > summary").click()
    seen.page.get_by_label("Hungry", exact=True).fill("<b>Milk</b>")
    seen.page.get_by_label("Tired", exact=True).fill("<b>milk</b>")
    seen.page.get_by_label(SAY("diary.new")).fill("Too warm")
    seen.page.get_by_text(SAY("diary.taken")).wait_for()
    assert seen.page.get_by_label("Tired", exact=True).input_value() == "Tired"
    seen.page.get_by_label(SAY("diary.new")).fill("Too warm")
    seen.page.get_by_role("button", name=SAY("diary.add")).click()
    first = seen.page.locator(".cries li").first
    first.locator("summary").first.click()
    assert first.get_by_role("button", name="<b>Milk</b>").count() == 1
    first.get_by_role("button", name="Too warm").click()
    first.get_by_text("It was: Too warm").wait_for()
    kept = seen.page.evaluate(STORED)
    assert kept["cries"][-1]["was"] == "Too warm"
    first.locator("summary").first.click()
    first.get_by_text(SAY("diary.change"), exact=True).click()
    first.locator("[data-time]").fill("2026-02-28T23:30")
    first.locator("[data-time]").press("Tab")
    seen.page.wait_for_function(
        "JSON.parse(localStorage.getItem('diary')).cries[0].was === 'Too warm'"
    )
    assert seen.page.evaluate(STORED)["cries"][0]["at"].startswith("2026-02-28T23:30:00")
    first = seen.page.locator(".cries li").first
    first.locator("summary").first.click()
    first.get_by_text(SAY("diary.change"), exact=True).click()
    first.get_by_role("button", name=SAY("diary.forget")).click()
    seen.page.wait_for_function("JSON.parse(localStorage.getItem('diary')).cries.length === 23")
    assert seen.errors == []


def test_a_browser_that_keeps_nothing_says_so(visit, cry):
    seen = visit()
    seen.page.evaluate(REFUSE)
    seen.upload(cry)
    seen.answered()
    seen.page.get_by_role("button", name=SAY("tonight.keep")).click()
    seen.page.get_by_text(SAY("diary.refused")).wait_for()


def test_a_cry_that_live_hears_is_in_the_diary(visit, examples):
    seen = visit(diary(1), "?tab=live", heard=examples / "synthetic_rhythmic.wav")
    seen.page.get_by_role("button", name="Start listening").click()
    seen.page.wait_for_selector(".live[data-state=cry]", timeout=60_000)
    seen.page.wait_for_timeout(3000)
    seen.page.get_by_role("button", name="Stop").click()
    seen.page.wait_for_function("JSON.parse(localStorage.getItem('diary')).cries.length > 4")
    kept = seen.page.evaluate(STORED)["cries"][-1]
    assert kept["model"] == "six-class"
    assert len(kept["embedding"]) == 25
    assert kept["seconds"] > 1
    assert abs(datetime.fromisoformat(kept["at"]).timestamp() - time.time()) < 60
    assert seen.errors == []
