"""A visitor hears what an answer rested on; the page's own file is sent for it, and only then."""

import pytest

pytestmark = pytest.mark.browser


def test_what_an_answer_rested_on_is_heard(visit, server, examples):
    seen = visit(width=390)
    sent = []
    seen.page.on("request", lambda r: sent.append(r.url) if "/upload" in r.url else None)
    seen.upload(examples / "synthetic_rhythmic.wav")
    seen.answered()
    seen.open("What I listened to")
    assert len(sent) == 1
    seen.page.locator("[data-explain]").click()
    seen.page.wait_for_selector(".explain audio", timeout=60_000)
    assert len(sent) == 2
    assert seen.page.locator(".explain audio").count() == 4
    longer = "() => [...document.querySelectorAll('.explain audio')].every((a) => a.duration > 1)"
    seen.page.wait_for_function(longer)
    assert seen.overflow() <= 1
    assert seen.page.locator("[data-explain]").is_disabled()
    assert not seen.errors
