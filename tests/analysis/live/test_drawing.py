"""Check the live spectrogram, the detector's track, the status texts, and the log and its CSV."""

import base64
import csv
import io
import re
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from analysis.live.drawing import (
    clock,
    log_csv,
    picture,
    pieces,
    place,
    row_html,
    spectrogram,
    track_svg,
)
from analysis.live.episodes import RATE, Episode
from analysis.tabs.answer import headline_html, trust_html
from analysis.words import LANGUAGES
from tests.analysis.live.conftest import CRY_HZ, KINDS, feed, samples, sound, story


def image(sound):
    kind, data = picture(spectrogram(sound)).split(",")
    assert kind == "data:image/png;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("L"), float)


def table(text):
    return list(csv.DictReader(io.StringIO(text)))


def test_tone_is_drawn_at_its_frequency_and_time(listener):
    listener.hear(samples(sound((0, 8), (CRY_HZ, 2), (0, 2))), RATE)
    assert spectrogram(listener.sound).max() == pytest.approx(20 * np.log10(0.5), abs=1.5)
    pixels = image(listener.sound)
    rows, columns = pixels.shape
    assert int(pixels.sum(1).argmax()) == pytest.approx((1 - place(CRY_HZ)) * rows, abs=1)
    bright = np.flatnonzero(pixels.max(0) > 200) / columns * 12
    assert (bright[0], bright[-1]) == pytest.approx((8, 10), abs=0.1)
    assert (place(60), place(8000)) == pytest.approx((0, 1))  # the axis spans the picture


@pytest.mark.parametrize("level", [0.01, 0.3])
def test_silence_is_dark_and_noise_of_any_level_is_bright(listener, level):
    noise = level * np.random.default_rng(0).standard_normal(12 * RATE)
    assert image(listener.sound).max() < 10
    listener.hear(samples(noise.clip(-1, 1)), RATE)
    assert image(listener.sound).mean() > 60


def test_track_starts_at_the_first_score_and_shows_the_threshold():
    svg = track_svg(np.array([np.nan, np.nan, 0.25, 1.0], "f4"), 0.6)
    assert re.search('polyline points="([^"]*)"', svg)[1] == "3,75.0 4,0.0"
    assert 'y1="40.0" y2="40.0"' in svg
    assert "polygon" not in track_svg(np.full(4, np.nan, "f4"), 0.6)


def test_log_on_screen_matches_the_csv(listener):
    feed(listener, story())
    rows, changes = table(log_csv(listener.lines)), pieces(listener)
    shown = re.findall(r"<td>(\d+:\d\d)</td><td>([\d.]+)&nbsp;s</td>", changes["rows"])
    assert [(clock(float(r["start_s"])), f"{float(r['length_s']):.1f}") for r in rows] == [
        *reversed(shown)
    ]
    assert [row["heard"] for row in rows] == [{"cry": "cry"}.get(k, "rejected") for k in KINDS]
    assert [row["hungry"] for row in rows] == ["0.7", "", "0.7"]
    assert changes["rows"].count("Not a cry") == 1
    assert changes["rows"].count("Maybe: hungry.") == 2
    link = re.search('base64,([^"]+)"', changes["download"])[1]
    assert base64.b64decode(link).decode() == log_csv(listener.lines)
    for seen, fresh in ((2, 1), (3, 0), (99, 0), (-5, 3)):  # only new rows are sent
        sent = pieces(listener, seen)
        assert sent.get("rows", "").count("<tr") == fresh
        assert ("download" in sent) == bool(fresh)


@pytest.mark.parametrize("say", LANGUAGES.values(), ids=LANGUAGES)
def test_status_texts_follow_the_state(listener, say):
    told, wave = {"": pieces(listener, say=say)}, story()[: 16 * RATE]
    for part in np.split(wave, 64):
        feed(listener, part)
        told[listener.state] = pieces(listener, say=say)
        if listener.state == "cry":
            answer = headline_html(listener.answer, say) + trust_html(listener.answer, say)
            assert told["cry"]["answer"] == answer
    unknown = told.pop("")
    assert unknown["description"] == say("heard.picture", share=say("heard.unknown"))
    assert set(told) == {"quiet", "undecided", "sound", "cry"}
    for state, changes in told.items():
        assert changes["status"] == say(f"heard.{state}")
        assert (say("live.no_cry") in changes["answer"]) == (state != "cry")
    assert re.search(r"\d%", told["cry"]["description"])


@pytest.mark.parametrize(
    ("kind", "named", "outside", "shown", "heard"),
    [
        ("cry", ("hungry", "belly_pain"), False, "Cry</strong><br>Maybe: hungry, a tummy", "cry"),
        ("cry", ("hungry",), True, "Cry</strong><br>Can&#39;t tell<br>", "cry"),
        ("maybe", (), False, "May be a cry</strong><br>", "maybe"),  # not "rejected"
    ],
)
def test_log_row_matches_the_answer_card(listener, kind, named, outside, shown, heard):
    answer = listener.classifier.predict(sound((CRY_HZ, 1)), RATE)
    answer = replace(answer, prediction_set=named, outside=outside) if named else None
    line = Episode(kind, 0.0, 1.0, 0.9, answer)
    assert shown in row_html(line)
    (row,) = table(log_csv([line]))
    assert (row["heard"], row["set"]) == (heard, " ".join(named))
