"""Check several pages at once, limits and errors, and how sound and logs are deleted."""

import base64
import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest

from analysis.live import tab as module
from analysis.live.episodes import RATE
from analysis.live.listener import LIMIT_SECONDS, Listener
from analysis.live.tab import LOG_SECONDS, MOST_LISTENING, SILENT_SECONDS, Visitors
from analysis.words import ENGLISH
from cry_model import AudioError
from tests.analysis.live.conftest import A_CRY, CRY_HZ, OTHER_HZ, Detector, Reasons, samples, sound


@pytest.fixture
def clock():
    """Return a clock whose ``time`` the test sets."""
    return SimpleNamespace(time=0.0)


@pytest.fixture
def visitors(clock):
    return Visitors(lambda: Listener(Detector(), Reasons()), lambda: clock.time)


QUIET = sound((0, 0.3))


def request(wave=QUIET, page="a", rate=16000, **others):
    sent = base64.b64encode(samples(wave).tobytes()).decode()
    usual = {"page": page, "samples": sent, "rate": rate, "lost": 0, "seen": 0, "first": False}
    return {**usual, **others}


def test_concurrent_pages_do_not_mix(visitors):
    def visit(hz):
        parts = np.split(sound((0, 1), (hz, 4)), 20)
        return [visitors.hear(request(part, str(hz))) for part in parts][-1]["state"]

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(visit, (CRY_HZ, OTHER_HZ))) == ["cry", "sound"]


def test_number_of_listening_pages_is_limited(visitors):
    for page in range(MOST_LISTENING):
        assert "problem" not in visitors.hear(request(page=str(page)))
    assert visitors.hear(request(page="late")) == {"problem": ENGLISH("live.full")}
    visitors.stop({"page": "0", "seen": 0})
    assert "problem" not in visitors.hear(request(page="late"))


def test_stop_deletes_the_audio_and_keeps_the_log(visitors):
    visitors.hear(request(A_CRY))
    assert visitors.stop({"page": "a", "seen": 0})["written"] == 1
    assert (visitors.known["a"].listener.sound == 0).all()
    later = visitors.hear(request(first=True, seen=1))
    assert later["written"] == 1
    assert "rows" not in later


def test_audio_of_a_silent_page_is_deleted_soon_and_its_log_later(visitors, clock):
    visitors.hear(request(A_CRY))
    page = visitors.known["a"]
    visitors.sweep()
    assert (page.listener.sound != 0).any()
    clock.time = SILENT_SECONDS
    visitors.sweep()
    assert (page.listener.sound == 0).all()
    assert not page.listening
    assert page.listener.written == 1
    assert visitors.known
    clock.time = LOG_SECONDS
    visitors.sweep()
    assert visitors.known == {}


def test_server_sweeps_by_itself(visitors, monkeypatch):
    swept = threading.Event()
    monkeypatch.setattr(module, "SWEEP_SECONDS", 0.01)
    monkeypatch.setattr(visitors, "sweep", swept.set)
    visitors.hear(request())
    assert swept.wait(10)


def test_oldest_logs_are_dropped_first(visitors, clock, monkeypatch):
    monkeypatch.setattr(module, "MOST_LOGS", 3)
    for page in "abcd":
        clock.time += 1
        visitors.hear(request(page=page))
        visitors.stop({"page": page, "seen": 0})
    assert list(visitors.known) == ["b", "c", "d"]


def test_listening_stops_at_the_time_limit_until_restarted(visitors):
    visitors.hear(request())
    visitors.known["a"].listener.limit = 3.0
    for _ in range(3):
        over = visitors.hear(request(sound((CRY_HZ, 4))))
        assert over["over"]
        assert over["written"] == 1
        assert over["elapsed"] == "0:03"
        assert len(visitors.known["a"].listener.pending) < RATE
        assert not visitors.known["a"].listening
    assert not visitors.hear(request(first=True))["over"]
    assert visitors.known["a"].listener.limit == pytest.approx(3 + LIMIT_SECONDS, abs=0.25)


BAD = {
    "an empty object": {},
    "null": None,
    "not base64": request(samples="*"),
    "half a sample": request(samples="AA=="),
    "a number": request(samples=3),
    "too much": request(samples="A" * 4_000_004),
    "a long name": request(page="x" * 65),
    "no rate": request(rate=None),
    "an infinite rate": request(rate=float("inf")),
    "infinite lines": request(seen=float("inf")),
}


@pytest.mark.parametrize("kind", BAD)
def test_malformed_request_gives_a_sentence(visitors, kind):
    broken = {"problem": ENGLISH("live.broken")}
    assert visitors.hear(BAD[kind]) == broken
    assert visitors.stop(BAD[kind]) in (broken, {})  # an unknown page
    assert visitors.known == {}


def test_invalid_sample_rate_gives_a_sentence_and_takes_no_place(visitors):
    assert "out of range" in visitors.hear(request(rate=7))["problem"]
    assert not visitors.known["a"].listening


@pytest.mark.parametrize("error", [IndexError("out of bounds"), AudioError("silent")])
def test_exception_in_the_classifier_stops_neither_log_nor_sweep(
    visitors, clock, monkeypatch, error
):
    def fail(*_):
        raise error

    monkeypatch.setattr(Reasons, "predict", fail)
    for page in ("a", "b"):
        for part in np.split(A_CRY, 12):
            assert "problem" not in visitors.hear(request(part, page))
    clock.time += SILENT_SECONDS
    visitors.sweep()
    for page in ("a", "b"):
        assert not visitors.known[page].listening
        (line,) = visitors.known[page].listener.lines
        assert (line.kind, line.answer) == ("cry", None)
