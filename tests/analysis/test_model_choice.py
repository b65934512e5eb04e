"""CRY_MODEL: what is loaded, what the header says; what a checkpoint says is never markup."""

import json
import logging
import shutil

import gradio as gr
import pytest
from safetensors.torch import load_file, save_file

import cry_model
from analysis.models import CHECKPOINTS, Model, choose, load_bundled
from analysis.page import build_page, header
from analysis.tabs.about import about
from cry_model import CryClassifier, load_checkpoint
from cry_model.checkpoint import CONFIG, WEIGHTS

NASTY = "<img src=x onerror=alert(1)>"
BUNDLED = [model.name for model in load_bundled()]


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
def test_without_a_name_the_bundled_ones_answer_and_nothing_is_said(name):
    choice = choose(name)
    assert (choice.note, [model.name for model in choice.models]) == ("", BUNDLED)


def test_a_folder_comes_first_and_the_header_names_it(other):
    choice = choose(str(other))
    assert [model.name for model in choice.models] == [str(other), *BUNDLED]
    assert choice.models[0].classifier.labels == ("asleep", NASTY)
    page = build_page(choice.models, choice.note)
    assert any(f"<p>The model {other} answers first.</p>" in html for html in html_of(page))
    (selector,) = (block for block in page.blocks.values() if isinstance(block, gr.Radio))
    assert selector.value == str(other)
    assert [name for _, name in selector.choices] == [str(other), *BUNDLED]


def test_a_copy_of_a_bundled_one_is_offered_once_and_keeps_its_title(tmp_path):
    shutil.copytree(CHECKPOINTS / BUNDLED[-1], tmp_path / "published")
    models = choose(str(tmp_path / "published")).models
    assert [model.name for model in models] == [BUNDLED[-1], *BUNDLED[:-1]]
    assert models[0].label == load_bundled()[-1].label


@pytest.mark.parametrize(
    "name", ["someone/private-model", "someone/model@v2", "no repository!", "x" * 5000]
)
def test_what_cannot_be_loaded_is_said_on_the_page_and_why_in_the_log(name, caplog):
    with caplog.at_level(logging.WARNING):
        choice = choose(name)
    sentence = f"The model {name} could not be loaded; the bundled models answer."
    assert choice.note == sentence
    assert f"<p>{sentence}</p>" in header(choice.models, choice.note)
    assert [model.name for model in choice.models] == BUNDLED
    assert name.partition("@")[0] in caplog.text
    assert "Traceback" not in caplog.text


def test_a_damaged_folder_falls_back_too(other):
    (other / CONFIG).write_text("{}")
    assert "could not be loaded" in choose(str(other)).note


def without_answer(folder):
    """Turns a variance negative: the weights are finite, and the answers are not."""
    weights = load_file(folder / WEIGHTS)
    weights["stem.2.running_var"] -= 10
    save_file(weights, folder / WEIGHTS)


def edit(folder, **changes):
    data = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    for name, value in changes.items():
        data[name] = {**data[name], **value} if isinstance(value, dict) else value
    (folder / CONFIG).write_text(json.dumps(data), encoding="utf-8")


@pytest.mark.parametrize(
    "damage",
    [
        without_answer,
        lambda folder: edit(folder, front_end={"hop": 0}),
        lambda folder: edit(folder, front_end={"overlap": 1}),
        lambda folder: edit(folder, front_end={"num_filters": 10**9}),
        lambda folder: edit(folder, front_end={"window": 10**9}),
        lambda folder: edit(folder, settings={"channels": 10**5}),
        lambda folder: edit(folder, labels=[f"{i}" for i in range(10**6)]),
        lambda folder: (folder / WEIGHTS).write_bytes((2**60).to_bytes(8, "little")),
    ],
)
def test_what_loads_and_cannot_answer_falls_back_too(other, damage, caplog):
    damage(other)
    choice = choose(str(other))
    assert choice.note == f"The model {other} could not be loaded; the bundled models answer."
    assert [model.name for model in choice.models] == BUNDLED
    assert len(caplog.messages) == 1
    assert caplog.messages[0].isprintable()


@pytest.mark.parametrize("value", [None, [], {"a": [1]}, -1, 10**400, NASTY, "a\nb", "x" * 10**5])
@pytest.mark.parametrize("field", ["dataset", "licence", "recordings", "preset"])
def test_whatever_stands_in_the_notes_on_training_is_shown_as_text(other, field, value):
    edit(other, training={field: value})
    config, model = load_checkpoint(other)[::-1]
    text = about(Model("x", "x", CryClassifier(model, config)))
    assert "<img" not in text


def test_what_the_checkpoint_and_the_variable_say_is_text_and_never_markup(other):
    models = choose(str(other)).models
    for html in (header(models, NASTY), about(models[0])):
        assert "<img" not in html
        assert "&lt;img" in html


def test_the_about_tab_says_what_the_configs_say(models):
    network, features, reasons = (about(model) for model in models)
    for text in (network, features):
        assert "ource states no licence" in text
        assert "uncomfortable" in text
    assert "Input: up to 8 kHz" in features
    assert "50 Hz to 3.4 kHz" in reasons
    assert "states no licence" not in reasons
    for model, text in zip(models, (network, features, reasons), strict=True):
        assert str(model.classifier.config.training["licence"]) in text
    config = models[0].classifier.config
    if config.agreement is not None:
        assert f"Student of {config.agreement.teacher}" in network
        assert "never checked against labels" in network


def test_the_about_tab_says_what_the_bundled_network_was_adapted_to():
    text = about(load_bundled()[0])
    assert "Student of challenge6-features-16khz-feature-mlp" in text
    assert "adapted to the labels of 220 recordings" in text
    assert "never checked" not in text
    assert "| hungry | 0 | not measured |" in text
