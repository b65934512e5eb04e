"""A sound that is no cry: said first, the reasons folded away, nothing claimed."""

import base64
import json
import re
from dataclasses import replace

import pytest
from plotly.subplots import make_subplots

from analysis.figures.sound import add_detector, describe_cries
from analysis.tabs.about import about_detector
from analysis.tabs.answer import (
    ANYWAY,
    HEADING,
    IF_IT_WERE,
    MAYBE,
    PRIVACY,
    answer_html,
    detector_text,
)
from analysis.tabs.classify import IF_A_CRY, classify
from cry_model import CryDetector, DetectionScores
from cry_model.__main__ import detected
from cry_model.records import DetectorRecord
from tests.analysis.sounds import RATE, cry, write
from tests.stand_ins import DETECTOR_RECORD, hum


@pytest.fixture(scope="module")
def nothing(tmp_path_factory, models, detector):
    """All models' views of a hum."""
    path = write(tmp_path_factory.mktemp("sounds") / "hum.wav", hum(5, RATE))
    *_, session = classify(models, str(path), detector=detector)
    return [
        (session.answers[m.name], *classify(models, str(path), m.name, session, detector)[:2])
        for m in models
    ]


def test_the_heading_says_so_and_the_reasons_are_folded(nothing):
    for _, html, _ in nothing:
        shown, fold, folded = html.partition('<details class="anyway">')
        assert fold
        folded, _, after = folded.rpartition("</details>")
        assert f"<h2>{HEADING}</h2>" in shown
        assert "bar" not in shown + after
        assert "Download" not in shown + after
        assert f"<summary>{ANYWAY}</summary><p>{IF_IT_WERE}</p><h3>" in folded
        assert folded.count('class="bar"') in (5, 6)
        assert "doesn't sound like a cry" not in folded
        assert "Not a medical device." in after
        assert html.count(PRIVACY) == 1


def test_the_probability_stands_beside_the_threshold_and_how_often_that_is_right(nothing):
    for answer, html, _ in nothing:
        shown = html.partition("<details")[0]
        assert f"at most {100 * answer.track.score:.0f}%" in shown
        assert f"threshold is {100 * DETECTOR_RECORD.threshold:.0f}%" in shown
        assert detector_text(DETECTOR_RECORD) in shown


def test_a_probability_just_below_is_not_rounded_up_to_the_threshold(nothing):
    answer, *_ = nothing[0]
    track = DetectionScores(0.5, (0.1, 0.498), 1.0, 0.5)
    assert "at most 49.8%" in answer_html(replace(answer, track=track))


@pytest.mark.parametrize(
    ("score", "heading"), [(0.39, HEADING), (0.4, MAYBE), (0.499, MAYBE), (0.1, HEADING)]
)
def test_between_the_thresholds_it_says_that_it_is_not_sure(nothing, score, heading):
    answer, *_ = nothing[0]
    track = DetectionScores(0.5, (0.1, score), 1.0, 0.5, 0.4)
    html = answer_html(replace(answer, track=track))
    assert f"<h2>{heading}</h2>" in html
    assert ("From 40% on it may be a cry" in html) == (heading == MAYBE)
    assert ANYWAY in html
    assert ("Perhaps a cry" in describe_cries(track)) == (heading == MAYBE)
    assert "dotted" in describe_cries(track)
    told = "\n".join(detected(replace(answer, track=track)))
    assert ("may be a baby crying" in told) == (heading == MAYBE)
    figure = make_subplots(1, 1)
    add_detector(figure, track, 1)
    assert [shape.y0 for shape in figure.layout.shapes] == [0.5, 0.4]


def test_the_figures_that_explain_say_if_it_were_a_cry(nothing):
    for _, _, shown in nothing:
        assert "timeline" not in shown
        assert "No cry" in shown["sound"].words
        assert not [t for t in shown["sound"].figure.data if (t.name or "").startswith("block")]
        assert not [s for s in shown["sound"].figure.layout.shapes if s.type == "rect"]
        explained = {name: card for name, card in shown.items() if name != "sound"}
        assert all(card.heading.startswith(IF_A_CRY) for card in explained.values())


def test_the_download_in_the_fold_tells_what_was_asked_for(nothing):
    for answer, html, _ in nothing:
        (data,) = re.findall(r'download="cry.json" href="data:[^;]+;base64,([^"]+)"', html)
        document = json.loads(base64.b64decode(data))
        assert document["is_cry"] is False
        assert document["probabilities"] == dict(answer.probabilities)


def test_who_reads_the_label_alone_is_not_fooled(nothing):
    answer, *_ = nothing[0]
    told = answer.to_dict()
    assert (told["label"], told["probabilities"], told["pieces"]) == (None, {}, [])
    assert (told["is_cry"], told["prediction_set"], told["decides"]) == (False, None, False)
    assert answer.to_dict(anyway=True)["label"] == answer.label
    assert replace(answer, track=None).to_dict()["label"] == answer.label


def test_a_cry_is_not_folded_and_the_detector_is_trusted_as_measured(tmp_path, models, detector):
    path = write(tmp_path / "cry.wav", cry(5))
    html = classify(models, str(path), detector=detector)[0]
    assert HEADING not in html
    assert "anyway" not in html
    assert detector_text(DETECTOR_RECORD) in html


def test_without_a_detector_everything_is_answered_for(tmp_path, models):
    path = write(tmp_path / "hum.wav", hum(5, RATE))
    html, _, session = classify(models, str(path))
    assert HEADING not in html
    assert session.answers[models[0].name].is_cry is None
    assert session.answers[models[0].name].to_dict()["label"]
    assert "cry detector" not in html


def test_the_about_tab_says_what_the_detector_does_and_how_often_it_is_right(detector):
    text = about_detector(detector)
    assert "windows of 1 and 2 s" in text
    assert "50%" in text
    assert detector_text(DETECTOR_RECORD) in text
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines()]
    for row in (
        ["other sounds that YAMNet takes, with as many cries", "2.1%"],
        ["false alarms in an hour of other sounds", "3.2"],
        ["from the onset of a cry to its detection", "1.5 s"],
        ["siren", "0.4%"],
        ["0 dB", "81%"],
        ["rooster", "10%"],
    ):
        assert row in cells
    older = DetectorRecord(0.5, *[DETECTOR_RECORD.accepted] * 3)  # the last release measured less
    config = replace(detector.config, detector=older)
    assert "YAMNet" not in about_detector(CryDetector(detector.model, config))
