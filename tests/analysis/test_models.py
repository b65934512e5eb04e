"""Check which models the page loads (bundled, CRY_MODEL) and how the About tab describes them."""

import json
import logging
import shutil

import gradio as gr
import pytest
from markupsafe import escape
from safetensors.torch import load_file, save_file

import cry_model
from analysis.models import (
    TITLES,
    Model,
    UnknownModelError,
    find,
    load_bundled,
    load_detector,
    load_models,
)
from analysis.page import build_page, header
from analysis.tabs.about import about, about_detector
from analysis.tabs.answer import calibration_text, detector_text
from cry_model import CheckpointError, CryClassifier, CryDetector, load_checkpoint
from cry_model.checkpoint import ASSETS, BUNDLED, CONFIG, DEFAULT_DETECTOR, WEIGHTS
from tests.stand_ins import DETECTOR_RECORD, write_detector

NASTY = "<img src=x onerror=alert(1)>"
OWN = [*TITLES]
FIRST, LAST = ASSETS / BUNDLED[OWN[0]], ASSETS / BUNDLED[OWN[-1]]


def without_answer(folder):
    """Make a running variance negative: the weights stay finite, the outputs do not."""
    weights = load_file(folder / WEIGHTS)
    weights["stem.2.running_var"] -= 10
    save_file(weights, folder / WEIGHTS)


def without_fields(folder):
    (folder / CONFIG).write_text("{}")


def test_bundled_models_load_in_order_without_own_detectors(models):
    folders = {path.parent.name for path in ASSETS.glob(f"*/{CONFIG}")}
    assert folders == {DEFAULT_DETECTOR.name, *(BUNDLED[name] for name in OWN)}
    assert [(m.name, m.classifier.detector) for m in models] == [(name, None) for name in OWN]
    assert isinstance(load_detector(), CryDetector)


def test_detector_is_loaded_or_none_if_missing_or_damaged(tmp_path, caplog):
    assert load_detector(tmp_path / "none") is None
    assert not caplog.text
    shutil.copytree(LAST, tmp_path / "no detector")
    folder = write_detector(tmp_path)
    assert load_detector(folder).threshold == DETECTOR_RECORD.threshold
    without_answer(folder)
    with caplog.at_level(logging.WARNING):
        assert load_detector(tmp_path / "no detector") is load_detector(folder) is None
    assert "Not a detector" in caplog.text
    assert "not finite" in caplog.text


def test_missing_or_damaged_models_are_left_out(tmp_path, caplog):
    with pytest.raises(CheckpointError, match=r"^There is no checkpoint"):
        load_bundled(tmp_path)
    for folder in (FIRST, LAST):
        shutil.copytree(folder, tmp_path / folder.name)
    without_fields(tmp_path / FIRST.name)
    with caplog.at_level(logging.WARNING):
        assert [model.name for model in load_bundled(tmp_path)] == [OWN[-1]]
    assert "left out" in caplog.text


def test_find_by_name_defaults_to_the_first_model(models):
    assert find(models, OWN[2]) is models[2]
    assert find(models, None) is find(models, "") is models[0]
    with pytest.raises(UnknownModelError, match=rf"^There is no model 'x' here; .*{OWN[1]}"):
        find(models, "x")


@pytest.fixture
def other(tmp_path):
    """Write a checkpoint that is not bundled, with markup in a label and its training notes."""
    config = cry_model.CheckpointConfig(
        "improved-ecapa-tdnn-no-mca",
        ("asleep", NASTY),
        cry_model.FrontEndConfig(),
        training={"dataset": NASTY, "licence": NASTY},
    )
    cry_model.save_checkpoint(tmp_path / "other", config.build(), config)
    return tmp_path / "other"


def test_chosen_folder_is_the_first_model_and_named_in_the_header(other):
    models, note = load_models(str(other))
    assert [model.name for model in models] == [str(other), *OWN]
    assert models[0].classifier.labels == ("asleep", NASTY)
    blocks = build_page(models, note).blocks.values()
    html = [block.value for block in blocks if isinstance(block, gr.HTML)]
    assert any(f"<p>The model {other} answers first.</p>" in text for text in html)
    (selector,) = (block for block in blocks if isinstance(block, gr.Radio))
    assert selector.value == ""  # chosen by the recording
    assert [name for _, name in selector.choices] == ["", str(other), *OWN]


def test_copy_of_a_bundled_model_replaces_it_and_keeps_its_title(models, tmp_path):
    shutil.copytree(LAST, tmp_path / "published")
    chosen, _ = load_models(str(tmp_path / "published"))
    assert [model.name for model in chosen] == [OWN[-1], *OWN[:-1]]
    assert chosen[0].label == models[-1].label


def test_without_a_name_only_bundled_models_and_no_note():
    models, note = load_models("")
    assert (note, [model.name for model in models]) == ("", OWN)


@pytest.mark.parametrize(
    "damage", ["someone/model@v2", "no repository!", "x" * 5000, without_answer, without_fields]
)
def test_unusable_model_is_noted_on_the_page_and_explained_in_the_log(other, damage, caplog):
    name = damage if isinstance(damage, str) else str(other)
    if not isinstance(damage, str):
        damage(other)
    with caplog.at_level(logging.WARNING):
        models, note = load_models(name)
    assert [model.name for model in models] == OWN
    assert note == f"The model {name} could not be loaded; the bundled models answer."
    assert f"<p>{note}</p>" in header(note)
    (message,) = caplog.messages
    assert message.isprintable()  # no traceback


@pytest.mark.parametrize("value", [None, [], {"a": [1]}, 10**400, NASTY, "a\nb"])
def test_training_notes_of_any_type_are_escaped(other, value):
    data = json.loads((other / CONFIG).read_text(encoding="utf-8"))
    data["training"] |= dict.fromkeys(("dataset", "licence", "recordings", "preset"), value)
    (other / CONFIG).write_text(json.dumps(data), encoding="utf-8")
    for html in (header(NASTY), about(Model("x", "x", CryClassifier(*load_checkpoint(other))))):
        assert "<img" not in html
        assert "&lt;img" in html  # at least the label's


def test_about_tab_matches_the_configs(models, detector):
    texts = [about(model) for model in models]
    for model, text in zip(models, texts, strict=True):
        config = model.classifier.config
        assert str(config.training["licence"]) in text
        assert escape(calibration_text(config.calibration)) in text
        for label, share in config.calibration.by_label.items():
            assert f"| {label.replace('_', ' ')} | {100 * share:.0f}% |" in text
    assert ["source states no licence" in text for text in texts] == [True, True, False]
    assert "adapted to the labels of 220 cuts" in texts[0]
    assert "| hungry | 0 | not measured |" in texts[0]
    assert "Input: up to 8 kHz" in texts[1]
    assert "50 Hz to 3.4 kHz" in texts[2]
    assert "in windows of 1 and 2 s" in about_detector(detector)
    assert detector_text(DETECTOR_RECORD) in about_detector(detector)
