"""What a diary teaches, as the page says it: one of three sentences, and nothing of it stays."""

import gc
import json
import re
import weakref
from types import SimpleNamespace

import numpy as np
import pytest

from analysis.session import classify_all
from analysis.stats.personal import read_personal
from analysis.stats.runs import ResultsError
from analysis.tabs import diary as tab
from analysis.tabs.diary import personal_answer, personal_report, study_line
from analysis.tabs.listen import Handlers
from analysis.words import LANGUAGES
from cry_model.one_baby.labelled import MOST, Heads, read_diary, usable
from tests.conftest import ROOT
from tests.diaries import KINDS, diary

ENGLISH = {"accept-language": "en"}
ENGLISH_WORDS = LANGUAGES["en"]


def ask(function, document, headers=ENGLISH):
    return function(document, SimpleNamespace(headers=headers))


def unknown(document):
    """The same with a cry of the next day that nobody has labelled yet."""
    new = {**document["cries"][-1], "at": "2026-04-02T03:00:00+02:00"}
    del new["was"]
    return {**document, "cries": [*document["cries"], new]}


@pytest.mark.parametrize(
    ("document", "key", "language"),
    [
        (diary(2, a_day=3), "personal.begin", "de"),
        (diary(4), "personal.too_few", "en"),
        (diary(28), "personal.better", "de"),
        (diary(28, effect=0.0, a_day=6), "personal.not_better", "en"),
    ],
    ids=["begin", "too few", "better", "not better"],
)
def test_one_sentence_says_whether_it_is_worth_anything(document, key, language):
    html = ask(personal_report, document, {"accept-language": language})["html"]
    plain = re.sub("<[^>]+>", "", html).replace("&#x27;", "'").replace("&quot;", '"')
    pattern = re.escape(LANGUAGES[language](key, **dict.fromkeys(NAMES, "\0")))
    assert re.match(pattern.replace("\0", ".+?").replace("\\.+?", ".+?"), plain), plain
    assert ("<table>" in html) == (key != "personal.begin")
    assert (LANGUAGES[language]("personal.runs") in plain) == (key != "personal.begin")


NAMES = ("cries", "needed", "label", "right", "guess", "count")


def test_an_unlabelled_cry_is_named_by_both_heads():
    document = unknown(diary(10))
    html = ask(personal_answer, document)["html"]
    *known, new = read_diary(document)
    heads = Heads.fit(known)
    expected = [heads.sound.predict(new.embedding, new.prior)]
    expected.append(heads.context.predict(Heads.hours([*known, new])[-1]))
    named = re.findall(r'data-reason="(\w+)"', html)
    assert named[:2] == [max(one, key=one.get) for one in expected]
    assert ask(personal_answer, unknown(diary(1)))["html"] == ""  # four cries teach nothing yet
    assert ask(personal_answer, diary(10))["html"] == ""  # none to name


def test_what_a_parent_writes_is_no_markup():
    document = diary(4)
    for cry in document["cries"][:8]:
        cry["was"] = "<img src=x onerror=alert(1)>"
    for html in (ask(f, unknown(document))["html"] for f in (personal_answer, personal_report)):
        assert "<img" not in html
        assert "&lt;img" in html


CRY = diary(3)["cries"][0]
BAD = {
    "no diary": [],
    "nothing": {},
    "text": "diary",
    "no time": diary(3, cries=[{**CRY, "at": "yesterday"}]),
    "no list": diary(3, cries=7),
    "no cry": diary(3, cries=[None]),
    "a number as a label": diary(3, cries=[{**CRY, "was": 7}]),
    "a long label": diary(3, cries=[{**CRY, "was": "x" * 41}]),
    "not finite": diary(3, cries=[{**CRY, "embedding": [float("nan")] * 25}]),
    "too wide": diary(3, cries=[{**CRY, "embedding": [0.0] * 5000}]),
    "no numbers": diary(3, cries=[{**CRY, "embedding": ["x"] * 25}]),
    "no probability": diary(3, cries=[{**CRY, "prior": {"hungry": 7.0}}]),
    "care of what": diary(3, care=[{"at": CRY["at"]}]),
    "too large": diary(3, cries=[{**CRY, "embedding": [1e9] * 25}]),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_diary_gives_a_sentence(name, caplog):
    for function in (personal_answer, personal_report):
        answer = ask(function, BAD[name])
        assert answer.keys() in ({"problem"}, {"html"})
        if function is personal_report and name != "nothing":
            assert answer["problem"].count(".") == 1
    assert "yesterday" not in caplog.text


def test_thousands_of_cries_are_the_last_two_thousand():
    document = diary(
        1, cries=[{**CRY, "at": f"2026-03-01T00:00:{i % 60:02d}"} for i in range(MOST)]
    )
    document["cries"] += [{**CRY, "at": "2027-01-01T00:00:00", "was": "last"}] * 3
    cries = read_diary(document)
    assert len(cries) == MOST
    assert [cry.label for cry in cries[-3:]] == ["last"] * 3


def test_hours_are_those_since_the_last_care_of_the_same_day():
    care = [{"at": f"2026-03-01T{hour}:00:00+01:00", "kind": "fed"} for hour in ("01", "04", "20")]
    care.append({"at": "2026-02-27T23:00:00+01:00", "kind": "slept"})  # more than a day before
    cries = read_diary(diary(1, care=care))
    assert [cry.hours[0] for cry in cries] == [1.0, 1.0, 4.0, 7.0]
    assert all(h != h for cry in cries for h in cry.hours[1:])


@pytest.mark.parametrize(
    ("changed", "number", "left"),
    [({"model": "other", "embedding": [0.0, 1.0]}, 10, 6), ({"embedding": [0.0] * 24}, 3, 13)],
)
def test_cries_of_another_network_teach_this_one_nothing(changed, number, left):
    document = diary(4)
    for cry in document["cries"][:number]:
        cry.update(changed)
    assert len(usable(read_diary(document), "six-class")) == left
    assert len(usable(read_diary(document))) == max(number, left)


def test_where_the_hour_knows_as_much_it_says_so():
    document = diary(28, effect=0.0)
    rng = np.random.default_rng(0)
    for i, cry in enumerate(document["cries"]):
        cry["was"] = KINDS[i % 2]  # by the hour, and so are the numbers
        cry["embedding"] = (rng.standard_normal(25) + 3 * (i % 2)).tolist()
    html = ask(personal_report, document)["html"]
    assert "Better than guessing" in html
    assert ENGLISH_WORDS("personal.hour", hour=100) in html


def test_nothing_of_a_diary_stays(monkeypatch, caplog, capfd, tmp_path):
    """Neither what was read of it, nor a line about it, also where something goes wrong."""
    made = []

    def read(document):
        cries = read_diary(document)
        made.extend(map(weakref.ref, cries))
        return cries

    monkeypatch.setattr(tab, "read_diary", read)
    monkeypatch.chdir(tmp_path)
    document = unknown(diary(4))
    for cry in document["cries"][::2]:
        cry["was"] = cry.get("was") and "name of a child"
    assert "name of a child" in ask(personal_report, document)["html"]
    ask(personal_answer, document)
    monkeypatch.setattr(tab.Heads, "fit", lambda cries: 1 / 0)
    assert ask(personal_report, document).keys() == {"problem"}
    gc.collect()
    assert len(made) == 3 * len(document["cries"])
    assert [one for one in made if one() is not None] == []
    said = "".join(capfd.readouterr()) + caplog.text
    assert "child" not in said
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["rhythmic", "whimper", "door_chime"])
def test_an_answer_offers_the_browser_what_it_may_keep(models, detector, examples, name):
    session = classify_all(models, str(examples / f"synthetic_{name}.wav"), detector)
    html = Handlers(models, detector).told(session)
    _, answer = session.chosen(models)
    (kept,) = re.findall('data-kept="(.*?)">', html)
    if answer.answer.kind == "not_a_cry":
        assert kept == ""
        return
    found = json.loads(kept.replace("&quot;", '"').replace("&#x27;", "'"))
    heard = session.answers["six-class"]
    assert found["embedding"] == pytest.approx(heard.embedding.tolist(), rel=1e-3, abs=1e-4)
    assert found["prior"] == pytest.approx(dict(heard.probabilities), rel=1e-2)
    assert set(found) == {"said", "spark", "seconds", "probability", "prior", "model", "embedding"}
    assert len(kept) < 1500


def test_what_was_measured_before_it_shipped_is_that_of_the_study():
    study = json.loads((ROOT / "assets/results/personal/study.json").read_text())
    alarms = study["false_alarms"][0]["better"]
    found = read_personal(ROOT / "assets" / "results")
    clear = next(p for p in study["power"] if (p["effect"], p["labels_correct"]) == (2.0, 1.0))
    expected = {alarms["of"], alarms["count"], clear["cries_for_80_percent"]}
    for say in LANGUAGES.values():
        numbers = {*map(int, re.findall(r"\d+", study_line(found, say)))}
        assert numbers >= expected
    assert study_line(None) == ""
    marks = [*clear["better"]]
    assert f"[{', '.join(marks)}]" in found.chart()
    assert found.rows()[-1]["100% of labels right"] == str(clear["cries_for_80_percent"])


@pytest.mark.parametrize("text", ["", '{"false_alarms": [], "power": []}'])
def test_a_broken_study_is_said(text, tmp_path):
    path = tmp_path / "personal" / "study.json"
    assert read_personal(tmp_path) is None
    path.parent.mkdir()
    path.write_text(text)
    with pytest.raises(ResultsError, match="no study"):
        read_personal(tmp_path)
