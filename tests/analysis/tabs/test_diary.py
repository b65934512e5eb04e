"""Check the report and answers that the page derives from a diary, and that it keeps nothing."""

import gc
import json
import re
import weakref
from html import unescape
from types import SimpleNamespace

import numpy as np
import pytest

from analysis.session import classify_all
from analysis.stats.runs import ResultsError
from analysis.stats.side_results import read_personal
from analysis.tabs import diary as tab
from analysis.tabs.diary import personal_answer, personal_report, study_line
from analysis.tabs.listen import Handlers
from analysis.words import ENGLISH, LANGUAGES
from cry_model.one_baby.labelled import MOST, Heads, read_diary, usable
from tests.conftest import ROOT
from tests.stand_ins import REASONS, diary


def ask(function, document, language="en"):
    return function(document, SimpleNamespace(headers={"accept-language": language}))


def unknown(document):
    """Return the same diary with a later cry that has no label yet."""
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
def test_report_states_whether_the_model_beats_a_constant(document, key, language):
    html = ask(personal_report, document, language)["html"]
    plain, say = unescape(re.sub("<[^>]+>", "", html)), LANGUAGES[language]
    names = ("cries", "needed", "label", "right", "guess", "count")
    pattern = re.escape(say(key, **dict.fromkeys(names, "\0")))
    assert re.match(re.sub(r"\\?\0", ".+?", pattern), plain), plain
    assert ("<table>" in html) == (say("personal.runs") in plain) == (key != "personal.begin")


def test_unlabelled_cry_is_classified_by_both_heads():
    document = unknown(diary(10))
    html = ask(personal_answer, document)["html"]
    *known, new = read_diary(document)
    heads = Heads.fit(known)
    expected = [heads.sound.predict(new.embedding, new.prior)]
    expected.append(heads.context.predict(Heads.hours([*known, new])[-1]))
    named = re.findall(r'data-reason="(\w+)"', html)
    assert named[:2] == [max(one, key=one.get) for one in expected]
    assert ask(personal_answer, unknown(diary(1)))["html"] == ""  # four cries are too few
    assert ask(personal_answer, diary(10))["html"] == ""  # no unlabelled cry


def test_custom_reasons_are_escaped():
    document = diary(4)
    for cry in document["cries"][:8]:
        cry["was"] = "<img src=x onerror=alert(1)>"
    for html in (ask(f, unknown(document))["html"] for f in (personal_answer, personal_report)):
        assert "<img" not in html
        assert "&lt;img" in html


CRY = diary(3)["cries"][0]
BAD = {
    "a list": [],
    "an empty object": {},
    "text": "diary",
    "no list": diary(3, cries=7),
    "no cry": diary(3, cries=[None]),
    "care without a kind": diary(3, care=[{"at": CRY["at"]}]),
    **{
        name: diary(3, cries=[{**CRY, **changed}])
        for name, changed in {
            "no time": {"at": "yesterday"},
            "a number as a label": {"was": 7},
            "a long label": {"was": "x" * 41},
            "not finite": {"embedding": [float("nan")] * 25},
            "too wide": {"embedding": [0.0] * 5000},
            "no numbers": {"embedding": ["x"] * 25},
            "too large": {"embedding": [1e9] * 25},
            "no probability": {"prior": {"hungry": 7.0}},
        }.items()
    },
}


@pytest.mark.parametrize("name", BAD)
def test_invalid_diary_gives_a_one_sentence_error(name, caplog):
    for function in (personal_answer, personal_report):
        assert ask(function, BAD[name])["problem"].count(".") == 1
    assert "yesterday" not in caplog.text


def test_only_the_last_two_thousand_cries_are_read():
    cries = [{**CRY, "at": f"2026-03-01T00:00:{i % 60:02d}"} for i in range(MOST)]
    cries += [{**CRY, "at": "2027-01-01T00:00:00", "was": "last"}] * 3
    read = read_diary(diary(1, cries=cries))
    assert len(read) == MOST
    assert [cry.label for cry in read[-3:]] == ["last"] * 3


def test_hours_count_from_the_last_care_within_a_day():
    care = [{"at": f"2026-03-01T{hour}:00:00+01:00", "kind": "fed"} for hour in ("01", "04", "20")]
    care.append({"at": "2026-02-27T23:00:00+01:00", "kind": "slept"})  # more than a day earlier
    cries = read_diary(diary(1, care=care))
    assert [cry.hours[0] for cry in cries] == [1.0, 1.0, 4.0, 7.0]
    assert np.isnan([cry.hours[1:] for cry in cries]).all()


@pytest.mark.parametrize(
    ("changed", "number", "left"),
    [({"model": "other", "embedding": [0.0, 1.0]}, 10, 6), ({"embedding": [0.0] * 24}, 3, 13)],
)
def test_cries_of_another_network_are_not_used(changed, number, left):
    document = diary(4)
    for cry in document["cries"][:number]:
        cry.update(changed)
    assert len(usable(read_diary(document), "six-class")) == left
    assert len(usable(read_diary(document))) == max(number, left)


def test_report_says_if_the_hour_predicts_as_well():
    document = diary(28, effect=0.0)
    rng = np.random.default_rng(0)
    for i, cry in enumerate(document["cries"]):
        cry["was"] = REASONS[i % 2]  # the label follows the hour, as does the embedding
        cry["embedding"] = (rng.standard_normal(25) + 3 * (i % 2)).tolist()
    html = ask(personal_report, document)["html"]
    assert "Better than always saying" in html
    assert ENGLISH("personal.hour", hour=100) in html


def test_diary_leaves_no_trace_on_the_server(monkeypatch, caplog, capfd, tmp_path):
    """Require that no cry object, file or log line stays, even after an error."""
    made = []

    def read(document):
        cries = read_diary(document)
        made.extend(map(weakref.ref, cries))
        return cries

    monkeypatch.setattr(tab, "read_diary", read)
    monkeypatch.chdir(tmp_path)
    document = unknown(diary(4))
    for cry in document["cries"][:-1:2]:
        cry["was"] = "name of a child"
    assert "name of a child" in ask(personal_report, document)["html"]
    ask(personal_answer, document)
    monkeypatch.setattr(tab.Heads, "fit", lambda cries: 1 / 0)
    assert ask(personal_report, document).keys() == {"problem"}
    gc.collect()
    assert len(made) == 3 * len(document["cries"])
    assert [one for one in made if one() is not None] == []
    assert "child" not in "".join(capfd.readouterr()) + caplog.text
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["rhythmic", "door_chime"])
def test_answer_contains_what_the_browser_may_store(models, detector, examples, name):
    session = classify_all(models, str(examples / f"synthetic_{name}.wav"), detector)
    (kept,) = re.findall('data-kept="(.*?)">', Handlers(models, detector).told(session))
    if session.chosen(models)[1].answer.kind == "not_a_cry":
        assert kept == ""
        return
    found, heard = json.loads(unescape(kept)), session.answers["six-class"]
    assert found["embedding"] == pytest.approx(heard.embedding.tolist(), rel=1e-3, abs=1e-4)
    assert found["prior"] == pytest.approx(dict(heard.probabilities), rel=1e-2)
    assert set(found) == {"said", "spark", "seconds", "probability", "prior", "model", "embedding"}
    assert len(kept) < 1500


def test_stated_study_results_match_the_study():
    study = json.loads((ROOT / "assets/results/personal/study.json").read_text())
    alarms = study["false_alarms"][0]["better"]
    found = read_personal(ROOT / "assets" / "results")
    clear = next(p for p in study["power"] if (p["effect"], p["labels_correct"]) == (2.0, 1.0))
    expected = {alarms["of"], alarms["count"], clear["cries_for_80_percent"]}
    for say in LANGUAGES.values():
        assert {*map(int, re.findall(r"\d+", study_line(found, say)))} >= expected
    assert study_line(None) == ""
    assert f"[{', '.join(clear['better'])}]" in found.chart()
    assert found.rows()[-1]["100% of labels right"] == str(clear["cries_for_80_percent"])


@pytest.mark.parametrize("text", ["", '{"false_alarms": [], "power": []}'])
def test_damaged_study_is_refused(text, tmp_path):
    path = tmp_path / "personal" / "study.json"
    assert read_personal(tmp_path) is None
    path.parent.mkdir()
    path.write_text(text)
    with pytest.raises(ResultsError, match=r"study\.json is not as"):
        read_personal(tmp_path)
