"""Check the diary in a real browser: stored on request, sent for analysis only, saved, edited."""

import json
import re
import time
from datetime import datetime

import pytest
from playwright.sync_api import expect

from analysis.words import LANGUAGES
from tests.stand_ins import diary

pytestmark = pytest.mark.browser
STORED = "() => JSON.parse(localStorage.getItem('diary'))"
PUT = "diary => localStorage.setItem('diary', JSON.stringify(diary))"
REFUSE = """() => {
  Storage.prototype.setItem = () => { throw new DOMException("no", "SecurityError"); };
}"""
SAY = LANGUAGES["en"]


@pytest.fixture
def cry(examples, tmp_path):
    """Return a recording whose file has just been written."""
    path = tmp_path / "cry.wav"
    path.write_bytes((examples / "synthetic_rhythmic.wav").read_bytes())
    return path


def visit_with(visit, kept, tab="?tab=diary", **options):
    """Open the page with a diary that is already stored."""
    seen = visit(**options)
    seen.page.evaluate(PUT, kept)
    seen.page.goto(seen.page.url + tab)
    seen.page.wait_for_selector("#listen[data-ready]", state="attached")
    return seen


def stored(seen):
    return seen.page.evaluate(STORED)


def press(seen, key, **values):
    seen.page.get_by_role("button", name=SAY(key, **values)).click()


def seconds_ago(one):
    return time.time() - datetime.fromisoformat(one["at"]).timestamp()


def test_diary_is_stored_on_request_and_labelled_by_one_tap(visit, cry):
    seen = visit(width=390)
    seen.ask(cry)
    assert seen.page.evaluate("localStorage.length") == 0
    press(seen, "tonight.keep")
    rows = seen.page.locator(".tonight li")
    rows.first.wait_for()
    rows.first.get_by_role("button", name="Tired").click()
    rows.first.get_by_text("It was: Tired").wait_for()
    press(seen, "diary.fed")
    seen.page.get_by_text("Noted: Fed").wait_for()
    kept = stored(seen)
    assert kept["cries"][0]["was"] == "sleepy"
    assert abs(seconds_ago(kept["cries"][0])) < 120
    assert [event["kind"] for event in kept["care"]] == ["fed"]
    press(seen, "diary.undo")
    assert stored(seen)["care"] == []
    seen.upload(cry)
    expect(rows).to_have_count(2)
    seen.page.reload()
    expect(rows).to_have_count(2)
    assert stored(seen)["cries"][0]["was"] == "sleepy"
    seen.page.locator("[data-example*=rhythmic]").click()
    seen.answered()
    seen.page.wait_for_timeout(300)
    assert rows.count() == 2  # an example is not a cry of this baby
    assert seen.sent("personal_") == []  # two cries are too few, so nothing is sent


def test_nothing_is_sent_before_eight_labelled_cries(visit):
    before = diary(2)
    del before["cries"][-1]["was"]
    seen = visit_with(visit, before)
    seen.page.get_by_text("So far: 7").wait_for()
    seen.page.wait_for_timeout(1500)
    assert seen.sent("personal_") == []
    seen.page.locator(".cries summary").first.click()
    seen.page.locator(".cries [data-was=diaper]").first.click()
    seen.page.get_by_text("Too few to say: 8").wait_for()
    assert len(seen.sent("personal_")) == 1


def test_new_cry_is_classified_by_the_babys_own_cries(visit, cry, server):
    before = diary(28)
    before["names"]["hungry"] = "Wants milk"
    for one in before["cries"]:
        one["was"] = "hungry" if one["was"] == "hungry" else "Teeth"
    seen = visit_with(visit, before, tab="", locale="de-DE", width=390)
    seen.ask(cry)
    place = seen.page.locator("[data-personal]")
    place.locator("p").nth(2).wait_for()
    assert place.inner_text().startswith(LANGUAGES["de"]("personal.title"))
    assert {"Wants milk", "Teeth"} & set(place.locator("[data-reason]").all_inner_texts())
    (asked,) = seen.sent("personal_")
    sent = json.loads(asked.post_data)["data"]
    assert set(sent) == {"care", "cries"}
    assert not {"said", "spark"} & set().union(*sent["cries"])
    assert all("component_server" in request.url for request in seen.sent("Teeth"))
    assert "Teeth" not in server.log.read_text()
    assert server.kept() == []


def test_tab_reports_the_findings_and_draws_the_log(visit):
    seen = visit_with(visit, diary(28), width=390, scheme="dark")
    seen.page.get_by_text(re.compile("^Better than")).wait_for()
    seen.page.locator("[data-diary=report] summary").click()
    expect(seen.page.locator(".diary tbody tr")).to_have_count(4)
    seen.page.wait_for_selector("#diary-plot .main-svg")
    drawn = seen.page.evaluate("document.querySelector('#diary-plot .plot').data")
    assert sum(len(trace["x"]) for trace in drawn) == 28 * 4
    assert {trace["name"] for trace in drawn} == {"Hungry", "Tired", "Teeth"}
    _, picture = seen.save(seen.page.get_by_role("button", name=SAY("diary.picture")))
    assert picture[1:4] == b"PNG"


def load(seen, content):
    """Clear the last status message and choose a file to load."""
    seen.page.evaluate("document.querySelector('[data-diary=status]').textContent = ''")
    file = {"name": "diary.json", "mimeType": "application/json", "buffer": content}
    seen.page.locator("[data-diary=file]").set_input_files(file)


def test_diary_is_saved_deleted_restored_and_loaded(visit):
    before = diary(6, effect=0.3)
    seen = visit_with(visit, before)
    seen.page.get_by_text("Too few to say: 24").wait_for()
    _, saved = seen.save(seen.page.get_by_role("button", name=SAY("diary.save")))
    assert json.loads(saved) == before
    _, table = seen.save(seen.page.get_by_role("button", name=SAY("diary.csv")))
    lines = table.decode().splitlines()
    assert len(lines) == 25
    assert lines[1].split(",")[-3:] == ['"1.00"', '""', '""']
    press(seen, "diary.delete")
    assert seen.page.evaluate("localStorage.length") == 0
    press(seen, "diary.undo")
    assert stored(seen) == before
    press(seen, "diary.delete")
    for count in (24, 0):
        load(seen, saved)
        seen.page.get_by_text(SAY("diary.loaded", count=count)).wait_for()
        assert stored(seen) == before


@pytest.mark.parametrize("content", ["none", "{}", json.dumps(diary(1, cries=[{}]))])
def test_invalid_diary_is_not_loaded(visit, content):
    before = diary(1)
    seen = visit_with(visit, before)
    seen.page.wait_for_selector(".diary .cries li")
    load(seen, content.encode())
    seen.page.get_by_text(SAY("diary.wrong")).wait_for()
    assert stored(seen) == before


def test_reasons_times_and_cries_can_be_edited(visit):
    seen = visit_with(visit, diary(6))
    rows = seen.page.locator("#diary .cries li")
    expect(rows).to_have_count(20)
    press(seen, "diary.more")
    expect(rows).to_have_count(24)
    seen.page.locator(".diary > .kept > details > summary").click()
    new = seen.page.get_by_label(SAY("diary.new"))
    tired = seen.page.get_by_label("Tired", exact=True)
    seen.page.get_by_label("Hungry", exact=True).fill("<b>Milk</b>")
    tired.fill("<b>milk</b>")
    new.fill("Too warm")
    seen.page.get_by_text(SAY("diary.taken")).wait_for()
    expect(tired).to_have_value("Tired")
    new.fill("Too warm")
    new.press("Enter")
    expect(seen.page.locator(".legendtext", has_text="<b>Milk</b>")).to_have_count(1)
    first = rows.first
    first.locator("summary").first.click()
    assert first.get_by_role("button", name="<b>Milk</b>").count() == 1
    first.get_by_role("button", name="Too warm").click()
    first.get_by_text("It was: Too warm").wait_for()
    assert stored(seen)["cries"][-1]["was"] == "Too warm"
    change(first)
    first.locator("[data-time]").fill("2026-02-28T23:30")
    first.locator("[data-time]").press("Tab")
    seen.page.wait_for_function(f"({STORED})().cries[0].was === 'Too warm'")
    assert stored(seen)["cries"][0]["at"].startswith("2026-02-28T23:30:00")
    change(first)
    first.get_by_role("button", name=SAY("diary.forget")).click()
    seen.page.wait_for_function(f"({STORED})().cries.length === 23")


def change(row):
    """Open a row's fold of editable fields."""
    row.locator("summary").first.click()
    row.get_by_text(SAY("diary.change"), exact=True).click()


def test_refused_browser_storage_is_reported(visit, cry):
    seen = visit()
    seen.page.evaluate(REFUSE)
    seen.ask(cry)
    press(seen, "tonight.keep")
    seen.page.get_by_text(SAY("diary.refused")).wait_for()


def test_cry_detected_live_is_added_to_the_diary(visit):
    seen = visit_with(visit, diary(1), "?tab=live")
    press(seen, "live.start")
    seen.page.wait_for_selector(".live[data-state=cry]")
    seen.page.wait_for_timeout(3000)
    press(seen, "live.stop")
    seen.page.wait_for_function(f"({STORED})().cries.length > 4")
    kept = stored(seen)["cries"][-1]
    assert kept["model"] == "six-class"
    assert len(kept["embedding"]) == 25
    assert kept["seconds"] > 1
    assert abs(seconds_ago(kept)) < 60
