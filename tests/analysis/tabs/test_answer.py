"""The answer panel against the prediction that it shows, of cries and of what is none."""

import base64
import csv
import io
import json
import re
from dataclasses import replace
from html import escape

import pytest

from analysis.tabs.answer import (
    ANYWAY,
    DISAGREEMENT,
    HEADING,
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
    has_answer,
    pieces_csv,
    verdict,
)
from analysis.tabs.classify import IF_A_CRY, classify
from cry_model import CheckpointConfig, CryClassifier, DetectionScores, Estimate, FrontEndConfig
from tests.stand_ins import (
    AGREEMENT,
    CALIBRATION,
    DETECTOR_RECORD,
    EVALUATION,
    LABELS,
    RATE,
    cry,
    hum,
    write,
)


def test_the_answer_ranks_and_names(answered):
    _, prediction = answered
    html = answer_html(prediction)
    names = re.findall(r'class="name">([^<]+)<', html)
    values = [int(v) for v in re.findall(r'class="value">(\d+)%', html)]
    assert sorted(names) == ["belly pain", "hungry", "tired"]
    assert values == sorted(values, reverse=True)
    assert "never measured" in html
    assert "Not a medical device." in html


@pytest.fixture(scope="module")
def six_answers(six, examples):
    """What the network and the feature MLP say of one example."""
    return [m.classifier.predict(examples / "synthetic_rhythmic.wav") for m in six]


def test_the_trust_lines_and_downloads_are_the_checkpoints_own(improved, examples):
    prediction = improved.predict(examples / "synthetic_rhythmic.wav")
    html, evaluation = answer_html(prediction), improved.config.evaluation
    told, recall = evaluation_text(evaluation), evaluation.metrics["balanced_accuracy"]
    assert told in html
    assert f"{100 * recall.value:.0f}%" in told
    assert f"{100 * recall.low:.0f}% to {100 * recall.high:.0f}%" in told
    assert verdict(evaluation) in html
    links = dict(re.findall(r'download="([^"]+)" href="data:[^;]+;base64,([^"]+)"', html))
    document = json.loads(base64.b64decode(links["cry.json"]))
    assert document["probabilities"] == dict(prediction.probabilities)
    rows = list(csv.DictReader(io.StringIO(base64.b64decode(links["cry.csv"]).decode())))
    assert len(rows) == len(prediction.pieces)
    assert pieces_csv(prediction).startswith("start_s,end_s,belly_pain")


def test_better_than_chance_is_said_only_where_the_interval_lies_above_it():
    assert "no better" not in verdict(EVALUATION)
    even = {"balanced_accuracy": Estimate(0.2, 0.1, 0.3)}
    assert "no better" in verdict(replace(EVALUATION, metrics=even))


def test_a_recording_that_the_model_does_not_know_gets_no_claim(six_answers):
    prediction = replace(six_answers[1], prediction_set=None, calibration=None, outside=False)
    assert "Sounds most like" in answer_html(prediction)
    doubted = replace(
        prediction,
        evaluation=EVALUATION,
        cautions=("It is <too> far.", "It is dull."),
        outside=True,
    )
    html = answer_html(doubted)
    assert "Sounds most like" not in html
    assert html.index("It is &lt;too&gt; far.") < html.index("It is dull.") < html.index("bar")
    assert "verdict" not in html
    assert UNLIKE in html
    assert not has_answer(
        replace(doubted, probabilities=dict.fromkeys(prediction.probabilities, 1 / 6))
    )


def test_a_student_tells_of_its_teacher(six_answers):
    html = answer_html(replace(six_answers[0], agreement=AGREEMENT, evaluation=None))
    assert IMITATES in html
    shown, _, folded = html.partition("<details>")
    assert escape(agreement_text(AGREEMENT)) in shown
    assert "55% (95% interval 50% to 60%) of 400" in agreement_text(AGREEMENT)
    assert escape(evaluation_text(EVALUATION)) in folded


def test_others_are_quoted_and_contradiction_is_a_warning(six_answers):
    def says(**values):  # as one that was never calibrated
        labels = six_answers[0].probabilities
        rest = (1 - sum(values.values())) / (len(labels) - len(values))
        answer = {label: values.get(label, rest) for label in labels}
        return replace(six_answers[0], probabilities=answer, cautions=(), prediction_set=None)

    mine = says(hungry=0.9)
    alike = answer_html(mine, {"The feature MLP": says(hungry=0.41)})
    assert "The feature MLP says: hungry (41%)." in alike
    assert DISAGREEMENT not in alike
    assert DISAGREEMENT in answer_html(mine, {"The feature MLP": says(sleepy=0.8)})
    outside = replace(says(sleepy=0.8), cautions=("Too far.",))
    assert "sleepy (80%); this recording is outside" in answer_html(mine, {"It": outside})
    assert "says" not in answer_html(mine)


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


@pytest.fixture
def named(six_answers):
    """An answer of the network that names ``labels``."""

    def make(labels, **changes):
        imitates = {"agreement": AGREEMENT, "evaluation": None}
        changes = {
            "cautions": (),
            "outside": False,
            "calibration": CALIBRATION,
            **imitates,
            **changes,
        }
        return replace(six_answers[0], prediction_set=tuple(labels), **changes)

    return make


def heading(prediction):
    return re.search("<h2>(.*?)</h2>", answer_html(prediction)).group(1)


def test_the_heading_is_the_set_with_what_it_promises(named):
    two = named(["hungry", "hug"])
    assert heading(two) == "Sounds like <em>hungry</em> or <em>hug</em>"
    html = answer_html(two)
    assert html.index("</h2>") < html.index("80% prediction set.") < html.index("bar")
    trust = html[html.index('class="trust"') :]
    assert escape(calibration_text(CALIBRATION)) in trust
    assert "81% (95% interval 77% to 85%)" in calibration_text(CALIBRATION)
    taught = replace(CALIBRATION, against="teacher", teacher_temperature=1.0)
    assert "teacher" not in calibration_text(CALIBRATION)
    assert "if its teacher" in calibration_text(taught)
    assert trust.index("77% to 85%") < trust.index("Same answer as its teacher")
    assert heading(named(["hug"])) == "Sounds like <em>hug</em>"


@pytest.mark.parametrize(
    ("labels", "changes", "why"),
    [
        (LABELS, {}, "no reason can be ruled out"),
        ((), {}, "no reason is likely enough to be named"),
        (
            LABELS[:2],
            {"cautions": ("Dull.",), "outside": True},
            "this recording is outside of what this model",
        ),
    ],
)
def test_it_cannot_tell_and_says_why(named, labels, changes, why):
    prediction = named(labels, **changes)
    assert heading(prediction).startswith(f"Can't tell: {why}")
    html = answer_html(prediction)
    assert "prediction set" not in html
    assert html.count('role="listitem"') == 6  # the bars stay
    assert (UNLIKE in html) == bool(changes)


def test_others_are_quoted_with_their_sets(named):
    mine, two = named(["hug"]), named(["hug", "sleepy"])
    top = f"(most probable: {two.label}, {100 * two.probabilities[two.label]:.0f}%)"
    assert f"It says: hug or sleepy {top}." in answer_html(mine, {"It": two})
    assert f"It can&#x27;t tell {top}." in answer_html(mine, {"It": named(LABELS)})


def test_markup_in_a_label_is_shown_not_run(tone):
    config = CheckpointConfig("resnet18", ("<script>", "b"), FrontEndConfig())
    prediction = CryClassifier(config.build(), config).predict(tone(500, 2, 8000), 8000)
    assert "<script>" not in answer_html(prediction)
    sure = replace(CALIBRATION, constant_set=("<script>", "b"))
    named_so = replace(prediction, prediction_set=("<script>",), calibration=sure)
    html = answer_html(named_so, {"It": named_so})
    assert "<script>" not in html
    assert "<em>&lt;script&gt;</em>" in html


@pytest.fixture(scope="module")
def nothing(tmp_path_factory, models, detector):
    """All models' views of a hum."""
    path = write(tmp_path_factory.mktemp("sounds") / "hum.wav", hum(5, RATE))
    *_, session = classify(models, str(path), detector=detector)
    return [
        (session.answers[m.name], *classify(models, str(path), m.name, session, detector)[:2])
        for m in models
    ]


def test_of_no_cry_the_heading_says_so_and_the_reasons_are_folded(nothing):
    for answer, html, _ in nothing:
        shown, fold, folded = html.partition('<details class="anyway">')
        assert fold
        folded, _, after = folded.rpartition("</details>")
        assert f"<h2>{HEADING}</h2>" in shown
        assert f"at most {100 * answer.track.score:.0f}%" in shown
        assert f"threshold is {100 * DETECTOR_RECORD.threshold:.0f}%" in shown
        assert detector_text(DETECTOR_RECORD) in shown
        assert "bar" not in shown + after
        assert "Download" not in shown + after
        assert f"<summary>{ANYWAY}</summary><p>{IF_IT_WERE}</p><h3>" in folded
        assert folded.count('class="bar"') in (5, 6)
        assert "Not a medical device." in after
        assert html.count(PRIVACY) == 1
        (data,) = re.findall(r'download="cry.json" href="data:[^;]+;base64,([^"]+)"', folded)
        document = json.loads(base64.b64decode(data))
        assert document["is_cry"] is False
        assert document["probabilities"] == dict(answer.probabilities)


def test_a_probability_just_below_is_not_rounded_up_to_the_threshold(nothing):
    track = DetectionScores(0.5, (0.498, 0.498), 1.0, 0.5)
    assert "at most 49.8%" in answer_html(replace(nothing[0][0], track=track))


def test_the_figures_of_no_cry_say_if_it_were_a_cry(nothing):
    for _, _, shown in nothing:
        assert "timeline" not in shown
        assert "No cry" in shown["sound"].words
        assert not [t for t in shown["sound"].figure.data if (t.name or "").startswith("block")]
        assert not [s for s in shown["sound"].figure.layout.shapes if s.type == "rect"]
        explained = {name: card for name, card in shown.items() if name != "sound"}
        assert all(card.heading.startswith(IF_A_CRY) for card in explained.values())


def test_who_reads_the_label_of_no_cry_alone_is_not_fooled(nothing):
    answer, *_ = nothing[0]
    told = answer.to_dict()
    assert (told["label"], told["probabilities"], told["pieces"]) == (None, {}, [])
    assert (told["is_cry"], told["prediction_set"]) == (False, None)
    assert told["answer"]["kind"] == "not_a_cry"
    assert answer.to_dict(anyway=True)["label"] == answer.label
    assert replace(answer, track=None).to_dict()["label"] == answer.label


def test_a_cry_is_not_folded_and_without_a_detector_nothing_is(tmp_path, models, detector):
    html = classify(models, str(write(tmp_path / "cry.wav", cry(5))), detector=detector)[0]
    assert HEADING not in html
    assert detector_text(DETECTOR_RECORD) in html
    html, _, session = classify(models, str(write(tmp_path / "hum.wav", hum(5, RATE))))
    assert HEADING not in html
    assert "cry detector" not in html
    assert session.answers[models[0].name].is_cry is None
