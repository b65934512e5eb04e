"""Check the answer card, its folded numbers and its texts against the prediction and records."""

import base64
import csv
import io
import json
import re
from dataclasses import replace
from html import unescape
from types import SimpleNamespace

import pytest
import textstat

from analysis.live.episodes import KEPT
from analysis.live.episodes import RATE as RATE_HEARD
from analysis.live.listener import LIMIT_SECONDS
from analysis.live.tab import SILENT_SECONDS
from analysis.server import UPLOAD_BYTES
from analysis.session import classify_all
from analysis.sound import compute_display
from analysis.tabs.answer import (
    IMITATES,
    PRIVACY,
    answer_html,
    disagree_strongly,
    pieces_csv,
    research_html,
    spark,
)
from analysis.tabs.cards import IF_A_CRY, cards_html, explained_cards, sound_cards
from analysis.words import ENGLISH, LANGUAGES, language
from cry_model import CheckpointConfig, CryClassifier, DetectionScores, Estimate, FrontEndConfig
from cry_model.prediction import Segment
from cry_model.records import fine_percent, percent, percent_interval
from cry_model.sound import audio
from tests.stand_ins import (
    AGREEMENT,
    CALIBRATION,
    DETECTOR_RECORD,
    EVALUATION,
    LABELS,
    scene,
    write,
)

CRY, MAYBE, NONE = (DetectionScores(0.5, (score, 0.1), 1.0, 0.9, 0.4) for score in (0.95, 0.6, 0.2))
SCORE = percent_interval(EVALUATION.metrics["balanced_accuracy"])
COVERAGE = percent_interval(CALIBRATION.coverage)
AGREED = "55% (95% interval 50% to 60%) of 400"
ACCEPTED, FALSE = DETECTOR_RECORD.accepted.value, DETECTOR_RECORD.false_accepts.value
DETECTOR = f"accepts {percent(ACCEPTED)} of unseen cries and {fine_percent(FALSE)} of other"
IF_IT_WERE = "If it were a cry, this would be the answer."
UNLIKE = "recordings that the model knows, unlike this one"
DISAGREEMENT = "The models disagree strongly"
CHANCE = replace(EVALUATION, metrics={"balanced_accuracy": Estimate(0.2, 0.1, 0.3)})


@pytest.fixture(scope="module")
def forms(six, examples):
    """Return predictions for every form of the answer, by name; the model has measurements."""
    told = replace(
        six[0].classifier.predict(examples / "synthetic_rhythmic.wav"),
        **{"evaluation": EVALUATION, "calibration": CALIBRATION, "cautions": (), "track": CRY},
    )
    by_count = [replace(told, prediction_set=LABELS[:count]) for count in range(len(LABELS) + 1)]
    one, two = by_count[1:3]
    return {
        **{f"{count} labels": form for count, form in enumerate(by_count)},
        "instead": replace(two, fallback=True),
        "remembered": replace(two, remembered=True),
        "nothing remembered": replace(by_count[0], remembered=True),
        "outside": replace(two, cautions=("It is <too> far.", "It is dull."), outside=True),
        "at chance": replace(one, evaluation=CHANCE),
        "unmeasured": replace(one, evaluation=None),
        "maybe": replace(two, track=MAYBE),
        "maybe, outside": replace(two, track=MAYBE, outside=True),
        "no cry": replace(two, track=NONE),
    }


def card(html):
    """Return the texts that precede the folds."""
    shown = html.partition("<details")[0]
    return [unescape(words) for words in re.findall(r">\s*([^<>]*[^<>\s])\s*<", shown)]


def is_plain(text, language):
    """Require a Flesch-Kincaid grade of at most 6, or in German a Flesch-Amstad ease of 60."""
    textstat.set_lang(language)
    if language == "en":
        return textstat.flesch_kincaid_grade(text) <= 6
    return textstat.flesch_reading_ease(text) >= 60


@pytest.mark.parametrize("language", LANGUAGES)
def test_visitor_texts_are_plain_and_short(forms, language):
    """Check each form of the answer, the error messages, and the texts of Live and About."""
    for name, answer in forms.items():
        words = card(answer_html(answer, say=LANGUAGES[language]))
        text = " ".join(w if w[-1] in ".!?" else f"{w}." for w in words)
        assert len(text.split()) <= 60, name
        assert is_plain(text, language), text
    groups = ("problem.", "live.", "heard.", "about.")
    told = [text for key, text in LANGUAGES[language].texts.items() if key.startswith(groups)]
    assert is_plain(" ".join(words for words in told if words.endswith(".")), language)


@pytest.mark.parametrize("say", LANGUAGES.values(), ids=LANGUAGES)
def test_languages_have_the_same_texts_and_state_the_limits(say):
    assert say.texts.keys() == ENGLISH.texts.keys()
    for key, text in say.texts.items():
        assert re.findall(r"{\w+}", text) == re.findall(r"{\w+}", ENGLISH.texts[key])
    kinds = {kind.__name__ for kind in audio.AudioError.__subclasses__()}
    assert {k.removeprefix("problem.") for k in say.texts if k.endswith("Error")} == kinds
    limits = {
        audio.MAX_SECONDS / 60: ["problem.TooLongError"],
        UPLOAD_BYTES >> 20: ["problem.413"],
        LIMIT_SECONDS / 60: ["live.about", "live.over", "live.more"],
        KEPT / RATE_HEARD: ["live.privacy"],
        SILENT_SECONDS: ["live.privacy"],
    }
    for limit, keys in limits.items():
        assert [key for key in keys if f"{limit:.0f}" not in say(key).split()] == []


@pytest.mark.parametrize(
    ("accepted", "chosen"),
    [("de-AT,de;q=0.9,en;q=0.8", "de"), ("fr,de;q=0.5", "de"), ("fr", "en"), ("", "en")],
)
def test_language_follows_the_browser(accepted, chosen):
    request = SimpleNamespace(headers={"accept-language": accepted})
    assert language(request) is LANGUAGES[chosen]


def also(count):
    return f"Could also be: {ENGLISH.listing(LABELS[1:count])}"


def but(count):
    return f"Probably not: {ENGLISH.listing(LABELS[count:])}"


FIRST = ENGLISH.label(LABELS[0])
IF = f"If it is a cry: {ENGLISH.listing(LABELS[:2])}"
RIGHT, HELD = ENGLISH("right", right=4, chance=2), {"held": 8}  # from the stand-ins' records


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("1 labels", ["Most likely", FIRST, but(1), RIGHT]),
        ("3 labels", ["Maybe", FIRST, also(3), but(3), RIGHT]),
        ("4 labels", ["Not clear", but(4), ENGLISH("held.others", **HELD)]),
        ("maybe", ["May be a cry", ENGLISH("closer"), IF, ENGLISH("held", **HELD)]),
        ("unmeasured", ["Most likely", FIRST, but(1), ENGLISH("unmeasured")]),
        ("remembered", ["Maybe", FIRST, also(2), but(2), ENGLISH("remembered")]),
    ],
)
def test_card_depends_on_number_of_labels_and_records(forms, name, told):
    assert card(answer_html(forms[name]))[: len(told)] == told


NOTHING = ["0 labels", "6 labels", "nothing remembered", "outside", "at chance", "maybe, outside"]


@pytest.mark.parametrize("name", NOTHING)
def test_cannot_tell_shows_no_label_and_no_bar(forms, name):
    html = answer_html(forms[name])
    told = " ".join(card(html))
    assert not any(ENGLISH.label(label) in told for label in LABELS)
    assert ENGLISH("remembered") not in told
    assert 'class="kind' not in html
    assert "data-share" not in html


def test_answer_is_folded_if_no_cry_is_detected(forms):
    html = answer_html(forms["no cry"], DETECTOR_RECORD)
    assert card(html)[0] == "I hear no crying"
    folded = html.partition('<details class="anyway">')[2].partition("</details>")[0]
    assert IF_IT_WERE in folded
    assert folded.count('class="kind') == len(LABELS) + 1  # the list is one, too
    rest = html.replace(folded, "")
    assert 'class="kind' not in rest
    assert "at most 20% (at 0:00.0); the threshold is 90%.</p>" in rest
    assert DETECTOR in rest


def test_probability_just_below_threshold_is_not_rounded_up(forms):
    track = DetectionScores(0.5, (0.498, 0.498), 1.0, 0.5)
    assert "at most 49.8%" in answer_html(replace(forms["no cry"], track=track))


def test_bars_rank_all_labels_and_mark_the_prediction_set(forms):
    html = answer_html(forms["2 labels"])
    rows = re.findall(r'class="kind( unlikely)?".*?name">([^<]+)<.*?value">(\d+)%', html)
    shares = [int(share) for *_, share in rows]
    assert shares == sorted(shares, reverse=True)
    assert {n for u, n, _ in rows if not u} == {ENGLISH.label(label) for label in LABELS[:2]}
    assert len(rows) == len(LABELS)


STUDENT = {
    "evaluation": None,
    "agreement": AGREEMENT,
    "calibration": replace(CALIBRATION, against="teacher", teacher_temperature=1.0),
}


@pytest.mark.parametrize(
    ("changes", "told", "untold"),
    [
        ({}, (SCORE, "is better than chance", COVERAGE, DETECTOR, PRIVACY), "teacher"),
        ({"evaluation": CHANCE}, ("no better than chance", COVERAGE), SCORE),
        (STUDENT, (IMITATES, AGREED, "if its teacher", SCORE, COVERAGE), "is better than chance"),
    ],
)
def test_stated_measurements_come_from_the_checkpoint(forms, changes, told, untold):
    html = unescape(answer_html(replace(forms["2 labels"], **changes), DETECTOR_RECORD))
    assert [text for text in told if text not in html] == []
    assert untold not in html


def test_cautions_are_shown_and_explained(forms):
    html = answer_html(forms["outside"])
    assert html.index("It is &lt;too&gt; far.") < html.index("It is dull.") < html.index(UNLIKE)
    assert UNLIKE not in answer_html(forms["2 labels"])


def test_other_models_are_quoted_and_strong_disagreement_warns(forms):
    def says(*labels, **values):
        rest = (1 - sum(values.values())) / (len(LABELS) - len(values))
        shares = {label: values.get(label, rest) for label in LABELS}
        return replace(forms["1 labels"], probabilities=shares, prediction_set=labels)

    mine = says("hungry", hungry=0.9)
    alike = research_html(mine, {"The feature MLP": says("hungry", "hug", hungry=0.41)})
    assert "The feature MLP says: hungry or hug." in alike
    assert DISAGREEMENT not in alike
    assert DISAGREEMENT in research_html(mine, {"It": says("sleepy", sleepy=0.8)})
    full = says(*LABELS, hungry=0.3)
    assert "It can’t tell." in unescape(research_html(mine, {"It": full}))
    assert "It says" not in research_html(full, {"It": mine})  # as no label is named


@pytest.mark.parametrize(
    ("first", "second", "strongly"),
    [
        ((1, 0, 0), (0, 1, 0), True),
        ((0.55, 0.35, 0.1), (0.34, 0.55, 0.11), True),  # differ by 0.21
        ((0.55, 0.35, 0.1), (0.36, 0.54, 0.1), False),  # differ by 0.19
        ((1, 0, 0), (0.4, 0.3, 0.3), False),  # far apart, but the same label
    ],
)
def test_strong_disagreement_needs_another_label_and_a_gap_above_a_fifth(first, second, strongly):
    first, second = (dict(zip("abc", shares, strict=True)) for shares in (first, second))
    assert disagree_strongly(first, second) == disagree_strongly(second, first) == strongly


def test_downloads_contain_the_whole_prediction(forms):
    answer = forms["2 labels"]
    html = research_html(answer, {})
    links = dict(re.findall(r'download="([^"]+)" href="data:[^;]+;base64,([^"]+)"', html))
    document = json.loads(base64.b64decode(links["cry.json"]))
    assert document["probabilities"] == dict(answer.probabilities)
    rows = list(csv.DictReader(io.StringIO(base64.b64decode(links["cry.csv"]).decode())))
    assert len(rows) == len(answer.pieces)
    assert pieces_csv(answer).startswith(f"start_s,end_s,{LABELS[0]}")


def test_markup_in_a_label_is_escaped(tone):
    config = CheckpointConfig("resnet18", ("<script>", "b"), FrontEndConfig())
    answer = CryClassifier(config.build(), config).predict(tone(500, 2, 8000), 8000)
    sure = replace(CALIBRATION, constant_set=("<script>", "b"))
    named = replace(answer, prediction_set=("<script>",), calibration=sure)
    cries = 2 * (Segment(0.5, 1.5, 0.9, dict(answer.probabilities), ("<script>",)),)
    display = compute_display(audio.load(tone(500, 2, 8000), 8000))
    cards = sound_cards(display, replace(named, segments=cries), FrontEndConfig())
    assert "cries" in {card.name for card in cards}
    drawn = cards_html([*cards, *explained_cards(answer)])
    for html in (
        answer_html(answer),
        answer_html(named),
        research_html(named, {"It": named}),
        drawn,
    ):
        assert "<script>" not in html
    assert "<h2>&lt;script&gt;</h2>" in answer_html(named)


def test_figures_without_a_cry_are_headed_as_hypothetical(models, detector, tmp_path):
    session = classify_all(models, str(write(tmp_path / "hum.wav", scene(5))), detector)
    assert re.fullmatch(r"\d*9\d*", spark(session.display))
    assert len(spark(session.display)) == 24
    for answer in session.answers.values():
        (card,) = sound_cards(session.display, answer, FrontEndConfig())
        assert "No cry" in card.note
        assert not [t for t in card.figure.data if (t.name or "").startswith("block")]
        assert not [s for s in card.figure.layout.shapes if s.type == "rect"]
        assert all(c.title.startswith(IF_A_CRY) for c in explained_cards(answer))
