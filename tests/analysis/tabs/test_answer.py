"""The answer against the prediction that it shows: few words first, numbers below folds."""

import base64
import csv
import io
import json
import re
from dataclasses import replace
from html import escape, unescape
from types import SimpleNamespace

import pytest
import textstat

from analysis.live.listener import LIMIT_SECONDS
from analysis.live.stream import KEPT
from analysis.live.stream import RATE as RATE_HEARD
from analysis.live.visitors import SILENT_SECONDS
from analysis.server import UPLOAD_BYTES
from analysis.session import classify_all
from analysis.tabs.answer import (
    DISAGREEMENT,
    FEW,
    IF_IT_WERE,
    IMITATES,
    PRIVACY,
    UNLIKE,
    agreement_text,
    answer_html,
    calibration_text,
    detector_text,
    disagree_strongly,
    evaluation_text,
    pieces_csv,
    research_html,
    spark,
    verdict,
)
from analysis.tabs.cards import IF_A_CRY, explained_cards, sound_cards
from analysis.tabs.segments import segments_html
from analysis.words import ENGLISH, LANGUAGES, language
from cry_model import (
    CheckpointConfig,
    CryClassifier,
    DetectionScores,
    Estimate,
    FrontEndConfig,
)
from cry_model.prediction import Segment
from cry_model.sound import audio
from tests.stand_ins import (
    AGREEMENT,
    CALIBRATION,
    DETECTOR_RECORD,
    EVALUATION,
    LABELS,
    RATE,
    hum,
    write,
)


@pytest.fixture(scope="module")
def prediction(six, examples):
    """What the network says of one example, as of a model that was measured."""
    answer = six[0].classifier.predict(examples / "synthetic_rhythmic.wav")
    return replace(answer, evaluation=EVALUATION, calibration=CALIBRATION, cautions=())


CRY, MAYBE, NONE = (DetectionScores(0.5, (score, 0.1), 1.0, 0.9, 0.4) for score in (0.95, 0.6, 0.2))


def form(prediction, count, **changes):
    """The answer that names ``count`` of the labels."""
    return replace(prediction, prediction_set=LABELS[:count], track=CRY, **changes)


CHANCE = replace(EVALUATION, metrics={"balanced_accuracy": Estimate(0.2, 0.1, 0.3)})


@pytest.fixture(scope="module")
def forms(prediction):
    """Every form that an answer takes, by name."""
    named = {f"{count} labels": form(prediction, count) for count in range(len(LABELS) + 1)}
    return {
        **named,
        "instead": form(prediction, 2, fallback=True),
        "remembered": form(prediction, 2, remembered=True),
        "outside": form(prediction, 2, cautions=("Far out.",), outside=True),
        "at chance": form(prediction, 1, evaluation=CHANCE),
        "unmeasured": form(prediction, 1, evaluation=None),
        "maybe": replace(form(prediction, 2), track=MAYBE),
        "maybe, outside": replace(form(prediction, 2, outside=True), track=MAYBE),
        "no cry": replace(form(prediction, 2), track=NONE),
    }


def card(html):
    """The words that stand before the folds."""
    shown = html.partition("<details")[0]
    return [unescape(words) for words in re.findall(r">([^<>]+)<", shown)]


def is_plain(text, language):
    """Grade 6 at most, or in German an ease of 60 by Amstad's form of Flesch's."""
    textstat.set_lang(language)
    if language == "en":
        return textstat.flesch_kincaid_grade(text) <= 6
    return textstat.flesch_reading_ease(text) >= 60


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_a_visitor_reads_is_plain_and_short(forms, language):
    """Each form of the answer, and sentences on what went wrong, of Live and of About."""
    for name, answer in forms.items():
        words = card(answer_html(answer, say=LANGUAGES[language]))
        text = " ".join(w if w[-1] in ".!?" else f"{w}." for w in words)
        assert len(text.split()) <= 60, name
        assert is_plain(text, language), text
    groups = ("problem.", "live.", "heard.", "about.")
    told = [text for key, text in LANGUAGES[language].texts.items() if key.startswith(groups)]
    assert is_plain(" ".join(words for words in told if words.endswith(".")), language)


def test_the_words_know_the_limits_of_the_code():
    kinds = {kind.__name__ for kind in audio.AudioError.__subclasses__()}
    for say in LANGUAGES.values():
        assert {k.removeprefix("problem.") for k in say.texts if k.endswith("Error")} == kinds
        assert f" {audio.MAX_SECONDS / 60:.0f} " in say("problem.TooLongError")
        assert f" {UPLOAD_BYTES >> 20} " in say("problem.413")
        for key in ("live.about", "live.over", "live.more"):
            assert f"{LIMIT_SECONDS / 60:.0f} " in say(key)
        for seconds in (KEPT / RATE_HEARD, SILENT_SECONDS):
            assert f" {seconds:.0f} " in say("live.privacy")


def test_all_languages_say_the_same_things():
    for words in LANGUAGES.values():
        assert words.texts.keys() == ENGLISH.texts.keys()
        for key, text in words.texts.items():
            assert re.findall(r"{\w+}", text) == re.findall(r"{\w+}", ENGLISH.texts[key])


@pytest.mark.parametrize(
    ("accepted", "chosen"),
    [("de-AT,de;q=0.9,en;q=0.8", "de"), ("fr,de;q=0.5", "de"), ("fr", "en"), ("", "en")],
)
def test_the_browser_chooses_the_language(accepted, chosen):
    request = SimpleNamespace(headers={"accept-language": accepted})
    assert language(request).language == chosen


def test_the_heading_is_by_the_number_of_labels(forms):
    say = ENGLISH.label
    one, three, four = (card(answer_html(forms[f"{n} labels"])) for n in (1, FEW, 4))
    assert one[:2] == ["Most likely", say(LABELS[0])]
    assert three[:2] == ["Maybe", say(LABELS[0])]
    assert three[2] == f"Could also be: {ENGLISH.listing(LABELS[1:FEW])}"
    assert four[:2] == ["Not clear", f"Probably not: {ENGLISH.listing(LABELS[4:])}"]
    for words, count in ((one, 1), (three, FEW)):
        assert f"Probably not: {ENGLISH.listing(LABELS[count:])}" in words
    maybe = card(answer_html(forms["maybe"]))
    assert maybe[0] == "May be a cry"
    assert f"If it is a cry: {ENGLISH.listing(LABELS[:2])}" in maybe


def test_the_caution_is_the_checkpoints_own_record(forms):
    assert ENGLISH("right", right=4, chance=2) in card(answer_html(forms["1 labels"]))
    assert ENGLISH("unmeasured") in card(answer_html(forms["unmeasured"]))


def test_of_a_set_it_is_said_how_often_it_holds_the_right_label(forms):
    held = round(10 * CALIBRATION.coverage.value)
    assert held not in (2, 4)  # or one number could be taken for another
    assert ENGLISH("held", held=held) in card(answer_html(forms["maybe"]))
    assert ENGLISH("held.others", held=held) in card(answer_html(forms["4 labels"]))


def test_nothing_is_memory_where_nothing_is_named(forms):
    assert ENGLISH("remembered") in card(answer_html(forms["remembered"]))
    unnamed = replace(forms["0 labels"], remembered=True)
    assert ENGLISH("remembered") not in card(answer_html(unnamed))


@pytest.mark.parametrize("name", ["0 labels", "6 labels", "outside", "at chance", "maybe, outside"])
def test_where_nothing_can_be_told_no_label_and_no_bar_is_shown(forms, name):
    html = answer_html(forms[name])
    told = " ".join(card(html))
    assert not any(ENGLISH.label(label) in told for label in LABELS)
    assert 'class="kind' not in html
    assert "data-share" not in html


def test_of_no_cry_the_answer_is_folded(forms):
    html = answer_html(forms["no cry"], DETECTOR_RECORD)
    assert card(html)[0] == "I hear no crying"
    folded = html.partition('<details class="anyway">')[2].partition("</details>")[0]
    assert IF_IT_WERE in folded
    assert folded.count('class="kind') == len(LABELS) + 1  # and the list of them
    rest = html.replace(folded, "")
    assert 'class="kind' not in rest
    assert "at most 20% (at 0:00.0); the threshold is 90%. " not in rest
    assert "at most 20%" in rest
    assert detector_text(DETECTOR_RECORD) in rest


def test_a_probability_just_below_is_not_rounded_up_to_the_threshold(forms):
    track = DetectionScores(0.5, (0.498, 0.498), 1.0, 0.5)
    assert "at most 49.8%" in answer_html(replace(forms["no cry"], track=track))


def test_the_bars_rank_all_labels_with_a_line_below_the_set(forms):
    answer = forms["2 labels"]
    html = answer_html(answer)
    rows = re.findall(r'class="kind( unlikely)?".*?name">([^<]+)<.*?value">(\d+)%', html)
    assert [int(v) for *_, v in rows] == sorted((int(v) for *_, v in rows), reverse=True)
    assert {n for u, n, _ in rows if not u} == {ENGLISH.label(label) for label in LABELS[:2]}
    assert len(rows) == len(LABELS)


def test_what_was_measured_is_the_checkpoints_own(forms):
    html = answer_html(forms["2 labels"], DETECTOR_RECORD)
    for text in (
        evaluation_text(EVALUATION),
        verdict(EVALUATION),
        calibration_text(CALIBRATION),
        detector_text(DETECTOR_RECORD),
        PRIVACY,
    ):
        assert escape(text) in html or text in html
    recall = EVALUATION.metrics["balanced_accuracy"]
    assert f"{100 * recall.low:.0f}% to {100 * recall.high:.0f}%" in evaluation_text(EVALUATION)
    assert "81% (95% interval 77% to 85%)" in calibration_text(CALIBRATION)
    taught = replace(CALIBRATION, against="teacher", teacher_temperature=1.0)
    assert "teacher" not in calibration_text(CALIBRATION)
    assert "if its teacher" in calibration_text(taught)
    assert "no better" in verdict(CHANCE)
    assert "no better" not in verdict(EVALUATION)


def test_a_student_tells_of_its_teacher(forms):
    html = answer_html(replace(forms["2 labels"], agreement=AGREEMENT, evaluation=None))
    for text in (IMITATES, agreement_text(AGREEMENT), evaluation_text(EVALUATION)):
        assert escape(text) in html
    assert "55% (95% interval 50% to 60%) of 400" in agreement_text(AGREEMENT)


def test_a_caution_is_told_with_what_it_means(forms):
    html = answer_html(replace(forms["outside"], cautions=("It is <too> far.", "It is dull.")))
    assert html.index("It is &lt;too&gt; far.") < html.index("It is dull.") < html.index(UNLIKE)
    assert UNLIKE not in answer_html(forms["2 labels"])


def test_others_are_quoted_and_contradiction_is_a_warning(forms):
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
    assert "It says" not in research_html(full, {"It": mine})  # where the page can't tell


@pytest.mark.parametrize(
    ("first", "second", "strongly"),
    [
        ((1, 0, 0), (0, 1, 0), True),
        ((0.55, 0.35, 0.1), (0.34, 0.55, 0.11), True),  # by 0.21
        ((0.55, 0.35, 0.1), (0.36, 0.54, 0.1), False),  # by 0.19
        ((1, 0, 0), (0.4, 0.3, 0.3), False),  # strongly, but of one mind
    ],
)
def test_strong_disagreement_is_another_label_and_more_than_a_fifth_of_the_probability(
    first, second, strongly
):
    first, second = (dict(zip("abc", shares, strict=True)) for shares in (first, second))
    assert disagree_strongly(first, second) == disagree_strongly(second, first) == strongly


def test_the_downloads_hold_the_whole_record(forms):
    answer = forms["2 labels"]
    html = research_html(answer, {})
    links = dict(re.findall(r'download="([^"]+)" href="data:[^;]+;base64,([^"]+)"', html))
    document = json.loads(base64.b64decode(links["cry.json"]))
    assert document["probabilities"] == dict(answer.probabilities)
    rows = list(csv.DictReader(io.StringIO(base64.b64decode(links["cry.csv"]).decode())))
    assert len(rows) == len(answer.pieces)
    assert pieces_csv(answer).startswith(f"start_s,end_s,{LABELS[0]}")


def test_markup_in_a_label_is_shown_not_run(tone):
    config = CheckpointConfig("resnet18", ("<script>", "b"), FrontEndConfig())
    answer = CryClassifier(config.build(), config).predict(tone(500, 2, 8000), 8000)
    sure = replace(CALIBRATION, constant_set=("<script>", "b"))
    named = replace(answer, prediction_set=("<script>",), calibration=sure)
    cry = Segment(0.5, 1.5, 0.9, dict(answer.probabilities), ("<script>",))
    for html in (
        *(answer_html(answer), answer_html(named), research_html(named, {"It": named})),
        segments_html(replace(named, segments=(cry,))),
    ):
        assert "<script>" not in html
    assert "<h2>&lt;script&gt;</h2>" in answer_html(named)


@pytest.fixture(scope="module")
def session(tmp_path_factory, models, detector):
    """All models' answers to a hum."""
    path = write(tmp_path_factory.mktemp("sounds") / "hum.wav", hum(5, RATE))
    return classify_all(models, str(path), detector)


def test_the_figures_of_no_cry_say_if_it_were_a_cry(session):
    assert re.fullmatch(r"\d*9\d*", spark(session.display))
    assert len(spark(session.display)) == 24
    for answer in session.answers.values():
        sound = sound_cards(session.display, answer, FrontEndConfig())
        assert set(sound) == {"sound"}
        assert "No cry" in sound["sound"].words
        assert not [t for t in sound["sound"].figure.data if (t.name or "").startswith("block")]
        assert not [s for s in sound["sound"].figure.layout.shapes if s.type == "rect"]
        explained = explained_cards(answer)
        assert all(card.heading.startswith(IF_A_CRY) for card in explained.values())
