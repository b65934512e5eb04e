"""Lay out the About tab: the models, their training and evaluation, and their limits."""

from __future__ import annotations

from collections.abc import Sequence

import gradio as gr
from torch import nn

from analysis.models import SIX, Model
from analysis.tabs import macros, scripts
from analysis.tabs.answer import PRIVACY, detector_text, record_texts
from analysis.words import word
from cry_model.checkpoint import CheckpointConfig
from cry_model.detector import CryDetector
from cry_model.networks.registry import get_system, measure
from cry_model.records import Complexity, dataset_title

LEAD = ("recording", "privacy", "trust", "limits", "rest")
"""Keys of what all visitors should know; the rest is for researchers, and in English."""


def hertz(frequency: float) -> str:
    """Format a frequency: "50 Hz", "3.4 kHz"."""
    return f"{frequency / 1000:g} kHz" if frequency >= 1000 else f"{frequency:g} Hz"


ABOUT = macros("tabs/about.md.j2", dataset_title, detector_text, get_system, hertz, record_texts)


def build_about_tab(models: Sequence[Model], detector: CryDetector | None = None) -> None:
    """Lay out the tab inside the current page."""
    parts = zip(LEAD, ("h3", "p", "h3", "p", "h2"), strict=True)
    lead = "".join(word(f"about.{key}", tag) for key, tag in parts)
    script = scripts("words/words.js") + "translate(element);"
    gr.HTML(lead, js_on_load=script, elem_id="about")
    told = [*([] if detector is None else [about_detector(detector)]), *map(about, models)]
    gr.Markdown(ABOUT.tab(told, PRIVACY))


def about_detector(detector: CryDetector) -> str:
    """Describe the cry detector, from its checkpoint's config."""
    front_end = detector.config.front_end
    lengths = sorted({round(front_end.min_seconds), round(front_end.piece_seconds)})
    return ABOUT.about_detector(detector, _cost(detector.model, detector.config), lengths)


def about(model: Model) -> str:
    """Describe a model, from its checkpoint's config."""
    cost = _cost(model.classifier.model, model.classifier.config)
    return ABOUT.about(model, cost, model.family == SIX)


def _cost(model: nn.Module, config: CheckpointConfig) -> Complexity:
    return config.complexity or measure(model, config.front_end.num_bands)
