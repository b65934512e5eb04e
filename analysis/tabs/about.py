"""Lay out the About tab: the models, how they were trained and measured, and their limits."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from html import escape

import gradio as gr
from torch import nn

from analysis.models import SIX, Model
from analysis.tabs.answer import PRIVACY, detector_text, record_texts
from analysis.words import SCRIPT, word
from cry_model.checkpoint import CheckpointConfig
from cry_model.detector import CryDetector
from cry_model.networks.registry import Complexity, get_system, measure
from cry_model.records import (
    Agreement,
    DetectorRecord,
    dataset_title,
    fine_percent,
    percent,
    percent_interval,
    words,
)

METHOD = """
### Method

The networks follow J. Zhou, Y. Li and H. Yu, *Infant Cry Emotion Recognition Using Improved
ECAPA-TDNN with Multi-scale Feature Fusion and Attention Enhancement*. A recording is band-limited,
normalised in level, and trimmed of silence at its ends. The feature MLP is the classical baseline:
the means over time of 26 acoustic features, without the level. Every model cuts longer recordings
into overlapping pieces; the answer is their mean.

Probabilities are calibrated by temperature scaling. The heading names the prediction set: enough
reasons to hold the right one for a target share of the cries of an unseen baby (conformal
prediction by baby; Lee, Barber and Willett 2023). If no reason can be ruled out, or the recording
is out of distribution, it says "Can't tell". The target holds over all reasons together, not for
each: rare ones are missed more often, as the tables above show.

Two models with the same labels are compared, and the page warns if they disagree strongly: another
most probable label, and a total variation distance above 0.2.

### Limits

The models do not diagnose, and nobody should act on their answers alone. Their labels are what
somebody believed at the time; nobody can check them. The networks name a reason even for a sound
that is not a cry; the feature MLP says when a recording is out of distribution.

### Privacy

"""


UPLOADS = (
    "Cries are those of ESC-10, and uploads to Donate-a-Cry in which YAMNet hears one. Below, all "
    "uploads are counted, also those in which no cry is heard."
)


PROVENANCE = (
    "The six classes were learnt from a published table of features, and those of the network also "
    "from 220 labelled cuts of the recordings behind it. Their source states no licence."
)
LEAD = ("recording", "privacy", "trust", "limits", "rest")
"""Keys of what everybody should know; the rest is for researchers, and in English."""


def build_about_tab(models: Sequence[Model], detector: CryDetector | None = None) -> None:
    """Lay out the tab inside the current page."""
    parts = zip(LEAD, ("h3", "p", "h3", "p", "h2"), strict=True)
    lead = "".join(word(f"about.{key}", tag) for key, tag in parts)
    script = SCRIPT.read_text(encoding="utf-8") + "translate(element);"
    gr.HTML(lead, js_on_load=script, elem_id="about")
    told = [*([] if detector is None else [about_detector(detector)]), *map(about, models)]
    gr.Markdown("\n\n".join(told) + "\n" + METHOD + PRIVACY)


def about_detector(detector: CryDetector) -> str:
    """Describe the cry detector, from its checkpoint's own config."""
    config = detector.config
    millions = _complexity(detector.model, config).parameters / 1e6
    front_end = config.front_end
    lengths = sorted({round(front_end.min_seconds), round(front_end.piece_seconds)})
    sentences = (
        f"A small network ({get_system(config.system).title}, {millions:.2f} million parameters) "
        f"scans everything first, in windows of {' and '.join(map(str, lengths))} s. The models "
        "below answer only where the probability of a cry reaches "
        f"{detector.threshold:.2f}. {detector_text(config.detector)}"
    )
    parts = ["### Cry detector", sentences, *_detection(config.detector)]
    return escape("\n\n".join(parts), quote=False)


def _detection(record: DetectorRecord) -> Iterator[str]:
    """Yield tables of what was measured, on sources that were not fitted on."""
    rows = [
        ("cries accepted", percent_interval(record.accepted)),
        ("other sounds accepted", percent_interval(record.false_accepts)),
    ]
    if record.tagger is not None:
        rows.append(
            ("other sounds that YAMNet takes, with as many cries", fine_percent(record.tagger))
        )
    rows.append(("area under the ROC curve", str(record.area)))
    if record.alarms_per_hour is not None:
        rows.append(("false alarms in an hour of other sounds", f"{record.alarms_per_hour:.1f}"))
    if record.delay is not None:
        rows.append(("from the onset of a cry to its detection", f"{record.delay:.1f} s"))
    yield _table(("measured on unseen sources", "value"), rows)
    yield UPLOADS
    kinds = dict(sorted(record.kinds.items(), key=lambda entry: -entry[1]))
    for head, shares in (
        ("kind of sound", kinds),
        ("what was done to cries", record.conditions),
        ("kind of sound, by a detector fitted without it", record.unheard),
    ):
        if shares:
            rows = [(words(name), fine_percent(share)) for name, share in shares.items()]
            yield _table((head, "accepted"), rows)


def about(model: Model) -> str:
    """Describe a model, from its checkpoint's own config."""
    paragraphs = [f"### {model.label}", *_facts(model), *_measured(model.classifier.config)]
    return escape("\n\n".join(paragraphs), quote=False)  # a checkpoint from the Hub is anyone's


def _complexity(model: nn.Module, config: CheckpointConfig) -> Complexity:
    return config.complexity or measure(model, config.front_end.num_bands)


def _facts(model: Model) -> Iterator[str]:
    config, front_end = model.classifier.config, model.classifier.config.front_end
    cost = _complexity(model.classifier.model, config)
    size = f"{cost.parameters / 1e6:.2f} million parameters"
    if cost.multiply_adds >= 1e7:
        size += f", {cost.multiply_adds / 1e9:.2f} billion multiply-adds for five seconds"
    band = f"{_hz(front_end.low_hz)} to" if front_end.low_hz else "up to"
    yield (
        f"{get_system(config.system).title}, {size}. Input: {band} {_hz(front_end.high_hz)}, in "
        f"pieces of up to {front_end.piece_seconds:g} s. "
        f"Labels: {', '.join(map(words, config.labels))}."
    )
    training = config.training
    yield (
        f"Trained on {training.get('recordings', 'an unknown number of')} recordings of "
        f"{dataset_title(str(training.get('dataset', 'an unknown dataset')))}; licence of the "
        f"data: {training.get('licence', 'unknown')}."
    )
    if config.agreement is not None:
        yield f"Student of {config.agreement.teacher}, on recordings without its labels."
    if adapted := training.get("adapted"):
        yield (
            f"Student of {training['teacher']['name']}, on recordings without its labels; then "
            f"adapted to the labels of {dataset_title(adapted['dataset'])}."
        )
        if "partner" in adapted:
            yield (
                "An ECAPA-TDNN fitted to the same labels answers with it; the answer is the "
                "geometric mean of both. A label that no such recording has is the student's "
                "alone, and so are the attention weights."
            )
    if model.family == SIX:
        yield PROVENANCE


def _hz(frequency: float) -> str:
    return f"{frequency / 1000:g} kHz" if frequency >= 1000 else f"{frequency:g} Hz"


def _measured(config: CheckpointConfig) -> Iterator[str]:
    yield "#### How it was measured"
    yield " ".join(record_texts(config))
    if (evaluation := config.evaluation) is not None:
        found = evaluation.recall
        rows = [
            (words(label), evaluation.support.get(label, 0), percent(found[label]))
            if label in found
            else (words(label), 0, "not measured")
            for label in config.labels
        ]
        yield _table(("reason", "recordings", "recall"), rows)
    elif config.agreement is not None:
        yield _table(("measured", "value", "95% interval"), _agreement_rows(config.agreement))
    if (calibration := config.calibration) is not None:
        rows = [(words(label), percent(share)) for label, share in calibration.by_label.items()]
        yield _table(("reason", "coverage of its cries"), rows)


def _agreement_rows(agreement: Agreement) -> Iterator[tuple[str, ...]]:
    for title, value in (
        ("same answer as the teacher (share)", agreement.agreement),
        (f"always answering {words(agreement.constant_label)}", agreement.constant),
        ("divergence from the teacher (nats)", agreement.divergence),
        ("always the teacher's mean answer", agreement.constant_divergence),
    ):
        yield title, f"{value.value:.2f}", f"{value.low:.2f} to {value.high:.2f}"


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Write a Markdown table whose first column is left-aligned."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)
