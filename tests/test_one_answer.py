"""Check that page, JSON, command line and API agree, on real clips or else on synthetic ones."""

import json
import os
import re
from collections import Counter
from dataclasses import replace
from html import unescape
from pathlib import Path
from typing import get_args

import gradio as gr
import pytest

from analysis.models import load_bundled, load_detector
from analysis.session import classify_all
from analysis.tabs.answer import answer_html
from analysis.tabs.listen import offer_predict
from analysis.words import ENGLISH
from cry_model.__main__ import as_text, main
from cry_model.prediction import AnswerKind
from cry_model.records import words
from tests.conftest import ROOT

DATA = Path(os.environ.get("CRY_DATA", ROOT.parent / "shared" / "data"))
CORPORA = {
    "donateacry_ios/*.flac": 26,
    "donateacry/*/*.wav": 10,
    "challenge6_cuts/*/*.flac": 10,
    "esc10/*/*.ogg": 14,
}


def clips():
    """Return about sixty real clips, evenly spaced in each corpus, or else the examples."""
    if not DATA.is_dir():
        return sorted((ROOT / "assets" / "examples").glob("*.wav"))
    found = {pattern: sorted(DATA.glob(pattern)) for pattern in CORPORA}
    return [p for n, paths in found.items() for p in paths[:: len(paths) // CORPORA[n]]]


def on_the_page(prediction):
    """Return kind and labels as read from the page: those named, or all but those ruled out."""
    html = answer_html(prediction)
    kind = re.search(r'data-kind="(\w+)"', html)[1]
    lines = re.findall(r"<(?:h2|p)[^>]*>(.*?)</(?:h2|p)>", html.partition("<details")[0])
    told = "\n".join(unescape(line) for line in lines)
    labels = list(prediction.probabilities)

    def after(start):
        listed = re.search(f"{start}: (.*)", told)
        found = listed[1].split(", ") if listed else []
        return [label for label in labels if ENGLISH.listing([label]) in found]

    if kind == "set" and "Not clear" not in told:
        named = [label for label in labels if ENGLISH.label(label) in told.splitlines()]
        named = named[:1] + after("Could also be")
    else:
        out = after("[Pp]robably not")
        named = [label for label in labels if out and label not in out] + after("If it is a cry")
    return kind, sorted(words(label) for label in named)


def in_the_terminal(prediction):
    text = as_text(prediction)
    if "does not sound like a baby crying" in text.splitlines()[0]:
        return "not_a_cry", []
    found = re.search(r"(?:[Ss]ounds (?:most )?like (?P<labels>.*)|Can't tell: .*)\.$", text, re.M)
    kind = "set" if found["labels"] else "cannot_tell"
    if "may be a baby crying" in text:
        kind = "maybe_cry"
    return kind, sorted(re.split(", | or ", found["labels"])) if found["labels"] else []


def in_json(prediction):
    told = prediction.to_dict()
    answer = told["answer"]
    assert bool(told["probabilities"]) == bool(answer["labels"])  # no probabilities without labels
    return answer["kind"], sorted(words(label) for label in answer["labels"])


def unsure(prediction):
    """Return the prediction as if the detector had been unsure."""
    track = replace(prediction.track, threshold=1.01, maybe=0.0)
    return replace(prediction, track=track, segments=())


def endpoint(models, detector):
    """Return the function behind ``/predict``."""
    with gr.Blocks() as page:
        offer_predict(models, detector)
    (predict,) = (function.fn for function in page.fns.values() if function.api_name == "predict")
    return predict


@pytest.mark.parametrize("every", [4, pytest.param(1, marks=pytest.mark.slow)])
def test_every_interface_gives_the_same_answer(every, capsys):
    """Compare the kind and labels that are parsed from each output."""
    models, detector = load_bundled(), load_detector()
    kinds, paths = Counter(), clips()[::every]
    main(["predict", "--json", *map(str, paths)])
    lines = map(json.loads, capsys.readouterr().out.splitlines())
    commanded, predict = {told["file"]: told for told in lines}, endpoint(models, detector)
    for path in paths:
        session = classify_all(models, str(path), detector)
        if session.display is None:  # shorter than half a second
            assert str(path) not in commanded
            continue
        chosen, answer = session.chosen(models)
        own = json.loads(json.dumps({"model": chosen.name, **answer.to_dict()}))
        for told in (commanded[str(path)], predict(str(path), "", False)):
            for fact in ("model", "answer", "is_cry", "fallback", "remembered"):
                assert told[fact] == own[fact], (path, fact)
        assert answer.answer == session.answers[chosen.name].answer
        for prediction in (answer, *session.answers.values(), unsure(answer)):
            told = in_json(prediction)
            assert told == in_the_terminal(prediction) == on_the_page(prediction), path
            kinds[told[0]] += 1
    least = min(kinds[kind] for kind in get_args(AnswerKind))
    assert least > 10 // every or not DATA.is_dir()
