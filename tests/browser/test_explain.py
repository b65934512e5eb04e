"""A visitor hears what an answer rested on; the page's own file is sent for it, and only then."""

import pytest
import soundfile

from tests.stand_ins import write

pytestmark = pytest.mark.browser


def test_what_an_answer_rested_on_is_heard_and_not_kept(visit, server, examples, tmp_path):
    samples, rate = soundfile.read(examples / "synthetic_rhythmic.wav")
    seen = visit(width=390)
    sent = []
    seen.page.on("request", lambda r: sent.append(r.url) if "/upload" in r.url else None)
    seen.upload(write(tmp_path / "own.wav", 0.9 * samples, rate))
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
    assert not server.kept(30)
    assert "Traceback" not in server.log.read_text()
