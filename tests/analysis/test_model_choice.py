"""CRY_MODEL: what is loaded, what the header says; what a checkpoint says is never markup."""

import json
import logging

import gradio as gr
import pytest

import cry_model
from analysis.about_tab import about
from analysis.model_choice import choose
from analysis.page import build_page, header
from cry_model.checkpoint import CONFIG, DEFAULT

NASTY = "<img src=x onerror=alert(1)>"


def html_of(page):
    return [block.value for block in page.blocks.values() if isinstance(block, gr.HTML)]


@pytest.fixture
def other(tmp_path):
    """A checkpoint that is not the bundled one, with markup where words belong."""
    config = cry_model.CheckpointConfig(
        "improved-ecapa-tdnn-no-mca",
        ("asleep", NASTY),
        cry_model.FrontEndConfig(),
        training={"dataset": NASTY, "licence": NASTY},
    )
    cry_model.save_checkpoint(tmp_path / "other", config.build(), config)
    return tmp_path / "other"


@pytest.mark.parametrize("name", [None, ""])
def test_without_a_name_the_bundled_one_answers_and_nothing_is_said(name):
    choice = choose(name)
    bundled = json.loads((DEFAULT / CONFIG).read_text(encoding="utf-8"))
    assert (choice.note, list(choice.classifier.labels)) == ("", bundled["labels"])


def test_a_folder_answers_and_the_header_names_it(other):
    choice = choose(str(other))
    assert choice.classifier.labels == ("asleep", NASTY)
    page = build_page(choice.classifier, choice.note)
    assert any(f"<p>The model {other} answers.</p>" in html for html in html_of(page))


@pytest.mark.parametrize("name", ["someone/private-model", "someone/model@v2", "no repository!"])
def test_what_cannot_be_loaded_is_said_on_the_page_and_why_in_the_log(name, caplog):
    with caplog.at_level(logging.WARNING):
        choice = choose(name)
    sentence = f"The model {name} could not be loaded; the bundled one answers."
    assert any(f"<p>{sentence}</p>" in h for h in html_of(build_page(choice.classifier, sentence)))
    assert choice.note == sentence
    assert choice.classifier.config == choose(None).classifier.config
    assert name.partition("@")[0] in caplog.text
    assert "Traceback" not in caplog.text


def test_a_damaged_folder_falls_back_too(other):
    (other / CONFIG).write_text("{}")
    assert "could not be loaded" in choose(str(other)).note


def test_what_the_checkpoint_and_the_variable_say_is_text_and_never_markup(other):
    classifier = choose(str(other)).classifier
    for html in (header(classifier, NASTY), about(classifier)):
        assert "<img" not in html
        assert "&lt;img" in html
