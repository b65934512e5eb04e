"""The About tab: which models there are, on what they were trained, and what they are not."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from html import escape

import gradio as gr

from analysis.models import Model
from analysis.tabs.answer import PRIVACY
from cry_model.calibration import Calibration
from cry_model.checkpoint import CheckpointConfig
from cry_model.detector import CryGate
from cry_model.records import UNMEASURED, Agreement, Evaluation, dataset_title, percent, words
from cry_model.registry import get_system, measure

METHOD = """
### Method

The networks follow J. Zhou, Y. Li and H. Yu, *Infant Cry Emotion Recognition Using Improved
ECAPA-TDNN with Multi-scale Feature Fusion and Attention Enhancement*: the recording is limited to a
band that every source of theirs has, levelled, and freed of silence at its ends. The feature MLP
is the classical baseline: a mean over the recording of each of 26 acoustic features, the level
left out. Every model cuts what is longer into overlapping pieces; the answer is the mean over them.

The probabilities are calibrated and the heading names every reason that cannot be ruled out: enough
of them to hold the right one for the promised share of the cries of a baby never heard before
(conformal prediction by baby; Lee, Barber and Willett 2023). Where none can be ruled out, or the
recording is unlike those that the model knows, it says "Can't tell". The promise is kept over all
reasons together, not for each: rare ones are missed more often, as the tables above show.

Where two models answer with the same labels, each is shown beside the other, and the page warns
where they contradict each other: another most probable label, and more than a fifth of the
probability elsewhere. Answers with different labels cannot be compared.

### What they do not do

They do not diagnose, and nobody should act on their answers alone. Their labels are what somebody
believed at the time; nobody can check them. Asked for it, the networks name a reason even
for a sound that is not a cry; the feature MLP says when a recording is unlike those that it knows.

### Privacy

"""


def build_about_tab(models: Sequence[Model], gate: CryGate | None = None) -> None:
    """Lays out the tab inside the current page."""
    told = [*([] if gate is None else [about_gate(gate)]), *map(about, models)]
    gr.Markdown("\n\n".join(told) + "\n" + METHOD + PRIVACY)


def about_gate(gate: CryGate) -> str:
    """The gate in words, from its checkpoint's own config."""
    config = gate.config
    cost = measure(gate.model, config.front_end.num_bands)
    sentences = [
        f"A small network ({get_system(config.system).title}, {cost.parameters / 1e6:.2f} million "
        f"parameters) hears everything first, {gate.window_seconds:g} s at a time. Only where it "
        f"is {percent(gate.threshold)} sure that a baby cries do the models below answer."
    ]
    if config.gate is not None:
        sentences.append(config.gate.trust())
    return "### Cry detector\n\n" + escape(" ".join(sentences), quote=False)


def about(model: Model) -> str:
    """One model in words, from its checkpoint's own config."""
    config = model.classifier.config
    paragraphs = [f"### {model.label}", *_facts(model), *_measured(config)]
    return escape("\n\n".join(paragraphs), quote=False)  # a checkpoint from the Hub is anyone's


def _facts(model: Model) -> Iterator[str]:
    config, front_end = model.classifier.config, model.classifier.config.front_end
    cost = measure(model.classifier.model, front_end.num_bands)
    size = f"{cost.parameters / 1e6:.2f} million parameters"
    if cost.multiply_adds >= 1e7:
        size += f", {cost.multiply_adds / 1e9:.2f} billion multiply-adds for five seconds"
    band = f"up to {_hz(front_end.high_hz)}"
    if front_end.low_hz:
        band = f"{_hz(front_end.low_hz)} to {_hz(front_end.high_hz)}"
    yield (
        f"{get_system(config.system).title}, {size}. It hears {band}, in "
        f"pieces of up to {front_end.piece_seconds:g} s. "
        f"It tells apart: {', '.join(map(words, config.labels))}."
    )
    training = config.training
    yield (
        f"Fitted on {training.get('recordings', 'an unknown number of')} recordings of "
        f"{dataset_title(str(training.get('dataset', 'an unknown dataset')))}; licence of the "
        f"data: {training.get('licence', 'unknown')}."
    )
    if config.agreement is not None:
        yield (
            f"It learnt to imitate the answers of {config.agreement.teacher} to these recordings, "
            "which nobody has labelled with its classes, and was never checked against labels."
        )
    if adapted := training.get("adapted"):
        yield (
            f"It learnt to imitate the answers of {training['teacher']['name']} to these "
            "recordings, which nobody has labelled with its classes, and was then adapted to the "
            f"labels of {adapted['recordings']} recordings of {dataset_title(adapted['dataset'])}."
        )
    if model.family is not None and model.family.provenance:
        yield model.family.provenance


def _hz(frequency: float) -> str:
    return f"{frequency / 1000:g} kHz" if frequency >= 1000 else f"{frequency:g} Hz"


def _measured(config: CheckpointConfig) -> Iterator[str]:
    yield "#### How it was measured"
    if config.evaluation is not None:
        yield " ".join(config.evaluation.trust())
        yield _recall(config.evaluation, config.labels)
    elif config.agreement is not None:
        yield " ".join(config.agreement.trust())
        yield _alike(config.agreement)
    else:
        yield UNMEASURED
    if config.calibration is not None:
        yield " ".join(config.calibration.trust())
        yield _held(config.calibration)


def _held(calibration: Calibration) -> str:
    rows = [
        f"| {words(label)} | {percent(share)} |" for label, share in calibration.by_label.items()
    ]
    return "\n".join(["| reason | of its cries, named for |", "|---|---:|", *rows])


def _recall(evaluation: Evaluation, labels: Sequence[str]) -> str:
    rows = []
    for label in labels:
        recall = evaluation.recall.get(label, math.nan)
        found = "not measured" if math.isnan(recall) else percent(recall)
        rows.append(f"| {words(label)} | {evaluation.support.get(label, 0)} | {found} |")
    return "\n".join(["| reason | recordings | found |", "|---|---:|---:|", *rows])


def _alike(agreement: Agreement) -> str:
    rows = [
        f"| {title} | {value.value:.2f} | {value.low:.2f} to {value.high:.2f} |"
        for title, value in (
            ("same answer as the teacher (share)", agreement.agreement),
            (f"always answering {words(agreement.constant_label)}", agreement.constant),
            ("divergence from the teacher (nats)", agreement.divergence),
            ("always the teacher's mean answer", agreement.constant_divergence),
        )
    ]
    return "\n".join(["| measured | value | 95 % interval |", "|---|---:|---:|", *rows])
