"""Several pages at once, and what becomes of the sound of one that has left."""

import base64
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from analysis.live import visitors as module
from analysis.live.listener import Listener
from analysis.live.visitors import (
    LOG_SECONDS,
    MOST_LISTENING,
    SILENT_SECONDS,
    Visitors,
)
from analysis.words import ENGLISH
from cry_model import AudioError
from tests.analysis.live.conftest import (
    CRY_HZ,
    OTHER_HZ,
    Detector,
    Reasons,
    samples,
    silence,
    story,
    tone,
)


class Clock:
    """Seconds that pass when a test says so."""

    time = 0.0

    def __call__(self):
        return self.time


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def visitors(clock):
    return Visitors(lambda: Listener(Detector(), Reasons()), clock)


def request(wave, page="a", rate=16000, **others):
    sent = base64.b64encode(samples(wave).tobytes()).decode()
    usual = {"page": page, "samples": sent, "rate": rate, "lost": 0, "seen": 0, "first": False}
    return {**usual, **others}


def test_a_story_in_requests_ends_in_the_log(visitors):
    rows, seen, wave = "", 0, story(24000)
    for i in range(0, len(wave), 6000):
        answer = visitors.hear(request(wave[i : i + 6000], rate=24000, seen=seen))
        rows, seen = answer.get("rows", "") + rows, answer["written"]
    assert seen == 3
    assert [part.split('"')[0] for part in rows.split('<tr class="')[1:]] == ["cry", "sound", "cry"]


def test_pages_at_once_do_not_mix(visitors):
    def visit(hz):
        parts = np.split(np.concatenate([silence(1), tone(hz, 4)]), 20)
        return [visitors.hear(request(part, str(hz))) for part in parts][-1]["state"]

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(visit, (CRY_HZ, OTHER_HZ))) == ["cry", "sound"]


def test_no_more_listen_than_the_server_can_bear(visitors):
    for page in range(MOST_LISTENING):
        assert "problem" not in visitors.hear(request(silence(0.3), str(page)))
    assert visitors.hear(request(silence(0.3), "late")) == {"problem": ENGLISH("live.full")}
    visitors.stop({"page": "0", "seen": 0})
    assert "problem" not in visitors.hear(request(silence(0.3), "late"))


def test_stopping_forgets_the_sound_and_keeps_the_log(visitors):
    visitors.hear(request(np.concatenate([silence(2), tone(CRY_HZ, 4)])))
    stopped = visitors.stop({"page": "a", "seen": 0})
    assert stopped["written"] == 1
    assert (visitors.known["a"].listener.sound.values == 0).all()
    later = visitors.hear(request(silence(0.3), first=True, seen=1))
    assert later["written"] == 1
    assert "rows" not in later


def test_a_page_that_left_is_forgotten_its_sound_soon_and_its_log_later(visitors, clock):
    visitors.hear(request(np.concatenate([silence(2), tone(CRY_HZ, 4)])))
    visitors.sweep()
    assert (visitors.known["a"].listener.sound.values != 0).any()
    clock.time = SILENT_SECONDS
    visitors.sweep()
    assert (visitors.known["a"].listener.sound.values == 0).all()
    assert not visitors.known["a"].listening
    assert visitors.known["a"].listener.written == 1
    clock.time = LOG_SECONDS
    visitors.sweep()
    assert visitors.known == {}


def test_the_server_sweeps_by_itself(visitors, clock, monkeypatch):
    swept = threading.Event()
    monkeypatch.setattr(module, "SWEEP_SECONDS", 0.01)
    monkeypatch.setattr(visitors, "sweep", swept.set)
    visitors.hear(request(silence(0.3)))
    assert swept.wait(10)


def test_logs_of_pages_that_left_make_room(visitors, clock, monkeypatch):
    monkeypatch.setattr(module, "MOST_LOGS", 3)
    for page in "abcd":
        clock.time += 1
        visitors.hear(request(silence(0.3), page))
        visitors.stop({"page": page, "seen": 0})
    assert list(visitors.known) == ["b", "c", "d"]


def test_after_ten_minutes_it_rests_until_the_button_is_pressed(visitors):
    visitors.hear(request(silence(1)))
    visitors.known["a"].listener.limit = 3.0
    over = visitors.hear(request(np.concatenate([tone(CRY_HZ, 4)])))
    assert over["over"]
    assert over["written"] == 1
    assert not visitors.known["a"].listening
    assert visitors.hear(request(silence(1)))["over"]
    assert not visitors.hear(request(silence(1), first=True))["over"]


BAD = {
    "nothing": {},
    "no list": None,
    "not base64": request(silence(0.1), samples="*"),
    "half a sample": request(silence(0.1), samples="AA=="),
    "a number": request(silence(0.1), samples=3),
    "too much": request(silence(0.1), samples="A" * 4_000_004),
    "a long name": request(silence(0.1), page="x" * 65),
    "no rate": request(silence(0.1), rate=None),
    "an endless rate": request(silence(0.1), rate=float("inf")),
    "endless lines": request(silence(0.1), seen=float("inf")),
}


@pytest.mark.parametrize("kind", BAD)
def test_what_no_page_sends_is_a_sentence(visitors, kind):
    broken = {"problem": ENGLISH("live.broken")}
    assert visitors.hear(BAD[kind]) == broken
    assert visitors.stop(BAD[kind]) in (broken, {})  # it never began
    assert visitors.known == {}


def test_a_rate_out_of_reach_is_a_sentence_and_does_not_block(visitors):
    answer = visitors.hear(request(silence(0.1), rate=7))
    assert "out of reach" in answer["problem"]
    assert not visitors.known["a"].listening


@pytest.mark.parametrize("error", [IndexError("out of bounds"), AudioError("silent")])
def test_a_fault_in_one_answer_ends_neither_the_log_nor_the_sweeping(clock, monkeypatch, error):
    def fail(*_):
        raise error

    monkeypatch.setattr(Reasons, "predict", fail)
    visitors = Visitors(lambda: Listener(Detector(), Reasons()), clock)
    for page in ("a", "b"):
        for part in np.split(np.concatenate([silence(2), tone(CRY_HZ, 4)]), 12):
            assert "problem" not in visitors.hear(request(part, page))
    clock.time += SILENT_SECONDS
    visitors.sweep()
    for page in ("a", "b"):
        assert not visitors.known[page].listening
        (line,) = visitors.known[page].listener.lines
        assert (line.kind, line.answer) == ("cry", None)
