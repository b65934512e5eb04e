"""The answer panel against the prediction that it shows."""

import base64
import csv
import io
import json
import re
from dataclasses import replace
from html import escape

import pytest

from analysis.tabs.about import about
from analysis.tabs.answer import (
    DISAGREEMENT,
    IMITATES,
    UNLIKE,
    agreement_text,
    answer_html,
    calibration_text,
    evaluation_text,
    pieces_csv,
    verdict,
)
from cry_model import CheckpointConfig, CryClassifier, Estimate, FrontEndConfig
from tests.stand_ins import AGREEMENT, CALIBRATION, EVALUATION, LABELS


def test_the_answer_ranks_and_names(answered):
    _, prediction = answered
    html = answer_html(prediction)
    names = re.findall(r'class="name">([^<]+)<', html)
    values = [int(v) for v in re.findall(r'class="value">(\d+)%', html)]
    assert sorted(names) == ["belly pain", "hungry", "tired"]
    assert values == sorted(values, reverse=True)
    assert "never measured" in html
    assert "Not a medical device." in html


def test_the_trust_lines_are_the_checkpoints_own(improved, examples):
    html = answer_html(improved.predict(examples / "synthetic_rhythmic.wav"))
    evaluation = improved.config.evaluation
    recall = evaluation.metrics["balanced_accuracy"]
    assert evaluation_text(evaluation) in html
    assert f"{100 * recall.value:.0f}%" in evaluation_text(evaluation)
    assert f"{100 * recall.low:.0f}% to {100 * recall.high:.0f}%" in evaluation_text(evaluation)
    assert verdict(evaluation) in html


def test_better_than_chance_is_said_only_where_the_interval_lies_above_it():
    assert "no better" not in verdict(EVALUATION)
    even = {"balanced_accuracy": Estimate(0.2, 0.1, 0.3)}
    assert "no better" in verdict(replace(EVALUATION, metrics=even))


def test_downloads_hold_the_result(improved, examples):
    prediction = improved.predict(examples / "synthetic_rhythmic.wav")
    links = dict(
        re.findall(r'download="([^"]+)" href="data:[^;]+;base64,([^"]+)"', answer_html(prediction))
    )
    document = json.loads(base64.b64decode(links["cry.json"]))
    assert document["probabilities"] == dict(prediction.probabilities)
    rows = list(csv.DictReader(io.StringIO(base64.b64decode(links["cry.csv"]).decode())))
    assert len(rows) == len(prediction.pieces)
    assert pieces_csv(prediction).startswith("start_s,end_s,belly_pain")


def test_a_recording_that_the_model_does_not_know_gets_no_claim(six, examples):
    prediction = six[1].classifier.predict(examples / "synthetic_rhythmic.wav")
    prediction = replace(prediction, prediction_set=None, calibration=None)
    assert "Sounds most like" in answer_html(prediction)
    doubted = replace(
        prediction, evaluation=EVALUATION, cautions=("It is <too> far.", "It is dull.")
    )
    html = answer_html(doubted)
    assert "Sounds most like" not in html
    assert f"it would say <em>{prediction.label}</em>" in html
    assert html.index("It is &lt;too&gt; far.") < html.index("It is dull.") < html.index("bar")
    assert "verdict" not in html
    assert UNLIKE in html
    flat = replace(doubted, probabilities=dict.fromkeys(prediction.probabilities, 1 / 6))
    assert "it has no answer" in answer_html(flat)


def test_a_student_tells_of_its_teacher(six, examples):
    network = six[0].classifier
    prediction = network.predict(examples / "synthetic_rhythmic.wav")
    html = answer_html(replace(prediction, agreement=AGREEMENT, evaluation=None))
    assert IMITATES in html
    shown, _, folded = html.partition("<details>")
    assert escape(agreement_text(AGREEMENT)) in shown
    assert "55% (95% interval 50% to 60%) of 400" in agreement_text(AGREEMENT)
    assert escape(evaluation_text(EVALUATION)) in folded


def test_others_are_quoted_and_contradiction_is_a_warning(six, examples):
    prediction = six[0].classifier.predict(examples / "synthetic_rhythmic.wav")

    def says(**values):  # as one that was never calibrated
        rest = (1 - sum(values.values())) / (len(prediction.probabilities) - len(values))
        answer = {label: values.get(label, rest) for label in prediction.probabilities}
        return replace(prediction, probabilities=answer, cautions=(), prediction_set=None)

    mine = says(hungry=0.9)
    alike = answer_html(mine, {"The feature MLP": says(hungry=0.41)})
    assert "The feature MLP says: hungry (41%)." in alike
    assert DISAGREEMENT not in alike
    assert DISAGREEMENT in answer_html(mine, {"The feature MLP": says(sleepy=0.8)})
    outside = replace(says(sleepy=0.8), cautions=("Too far.",))
    assert "sleepy (80%); this recording is outside" in answer_html(mine, {"It": outside})
    assert "says" not in answer_html(mine)


def named(six, examples, labels, **changes):
    """An answer of the network that names ``labels``."""
    prediction = six[0].classifier.predict(examples / "synthetic_rhythmic.wav")
    imitates = {"agreement": AGREEMENT, "evaluation": None}
    changes = {"cautions": (), "calibration": CALIBRATION, **imitates, **changes}
    return replace(prediction, prediction_set=tuple(labels), **changes)


def heading(prediction):
    return re.search("<h2>(.*?)</h2>", answer_html(prediction)).group(1)


def test_the_heading_is_the_set_with_what_it_promises(six, examples):
    two = named(six, examples, ["hungry", "hug"])
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
    assert heading(named(six, examples, ["hug"])) == "Sounds like <em>hug</em>"


@pytest.mark.parametrize(
    ("labels", "changes", "why"),
    [
        (LABELS, {}, "no reason can be ruled out"),
        ((), {}, "no reason is likely enough to be named"),
        (LABELS[:2], {"cautions": ("Dull.",)}, "this recording is outside of what this model"),
    ],
)
def test_it_cannot_tell_and_says_why(six, examples, labels, changes, why):
    prediction = named(six, examples, labels, **changes)
    assert heading(prediction).startswith(f"Can't tell: {why}")
    html = answer_html(prediction)
    assert "prediction set" not in html
    assert html.count('role="listitem"') == 6  # the bars stay
    assert (UNLIKE in html) == bool(changes)


def test_others_are_quoted_with_their_sets(six, examples):
    mine, two = named(six, examples, ["hug"]), named(six, examples, ["hug", "sleepy"])
    top = f"(most probable: {two.label}, {100 * two.probabilities[two.label]:.0f}%)"
    assert f"It says: hug or sleepy {top}." in answer_html(mine, {"It": two})
    full = named(six, examples, LABELS)
    assert f"It can&#x27;t tell {top}." in answer_html(mine, {"It": full})


def test_the_about_tab_tells_of_each_reason_how_often_it_is_named(models):
    for model in models:
        found, text = model.classifier.config.calibration, about(model)
        assert escape(calibration_text(found), quote=False) in text
        for label, share in found.by_label.items():
            assert f"| {label.replace('_', ' ')} | {100 * share:.0f}% |" in text


def test_markup_in_a_label_is_shown_not_run(tone):
    config = CheckpointConfig("resnet18", ("<script>", "b"), FrontEndConfig())
    prediction = CryClassifier(config.build(), config).predict(tone(500, 2, 8000), 8000)
    assert "<script>" not in answer_html(prediction)
    sure = replace(CALIBRATION, constant_set=("<script>", "b"))
    named_so = replace(prediction, prediction_set=("<script>",), calibration=sure)
    html = answer_html(named_so, {"It": named_so})
    assert "<script>" not in html
    assert "<em>&lt;script&gt;</em>" in html
