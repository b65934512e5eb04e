"""What a model card says, section by section, in Markdown."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cry_model.calibration import Calibration
from cry_model.checkpoint import CheckpointConfig
from cry_model.records import (
    UNMEASURED,
    Agreement,
    Estimate,
    Evaluation,
    dataset_title,
    group_name,
    percent,
    percent_interval,
    tested,
    words,
)
from cry_model.registry import ON_FEATURES, get_system

if TYPE_CHECKING:
    from huggingface_hub import EvalResult, ModelCardData


PAPER = Path(__file__).parents[2] / "assets" / "paper_reference.json"
TITLES = {
    "accuracy": "Accuracy",
    "balanced_accuracy": "Balanced accuracy",
    "macro_f1": "Macro F1",
    "macro_auc": "Macro AUC",
    "expected_calibration_error": "Expected calibration error",
}
SPLITS = {
    "baby": "no {group} is both in training and in test",
    "recording": "recordings at random; a {group} may be both in training and in test",
    "clip": "pieces at random; pieces of one recording may be both in training and in test",
}


def sections(config: CheckpointConfig, parameters: int, repo_id: str) -> Iterator[str]:
    """The text of the card, heading by heading; see :func:`train.publish.card.model_card`."""
    system, front_end = get_system(config.system).title, config.front_end
    yield f"# {system} for infant cries"
    yield (
        "**Not a medical device.** It does not diagnose, and nobody should act on its answer alone."
    )
    yield (
        f"{system} ({config.system}), {parameters:,} parameters. It hears {front_end.num_bands} "
        f"{front_end.kind} features of a recording from {front_end.low_hz:g} to "
        f"{front_end.high_hz:g} Hz, in pieces of up to {front_end.piece_seconds:g} s, and answers "
        "with a probability for each label; the answer for a recording is the mean over its pieces."
    )
    labels = ", ".join(f"{cell(words(label))} (`{cell(label)}`)" for label in config.labels)
    yield f"## Labels\n\n{labels}."
    yield (
        "## Intended use\n\nTo study, and to show, what a model hears in an infant's cry and how "
        "little that may say. Not for deciding what a child needs, and not for monitoring or "
        "medical purposes."
    )
    yield "## How far to trust it\n\n" + _trust(config)
    if config.agreement is not None:
        yield _agreed(config.agreement)
    if config.evaluation is not None:
        yield _measured(config.evaluation, adapted="adapted" in config.training)
        yield _recall(config.evaluation, config.labels)
    if config.calibration is not None:
        yield _named(config.calibration)
    yield training_text(config)
    yield _limits(config)
    yield _usage(repo_id)
    yield citation()


def _trust(config: CheckpointConfig) -> str:
    if config.evaluation is not None:
        return cell(_recall_line(config.evaluation))
    if (a := config.agreement) is not None:
        teacher = "" if a.teacher_evaluation is None else f" {_recall_line(a.teacher_evaluation)}"
        return cell(
            "It imitates another model; its answers were never checked against labels. Same answer "
            f"as its teacher ({a.teacher}): {percent_interval(a.agreement)}."
            + teacher.replace("Balanced", "The teacher's balanced")
        )
    return UNMEASURED


def _recall_line(evaluation: Evaluation) -> str:
    recall = percent_interval(evaluation.metrics["balanced_accuracy"])
    beats = "Better" if evaluation.better_than_chance else "No better"
    return (
        f"Balanced accuracy on {tested(evaluation.dataset, evaluation.protocol)}: {recall}; chance "
        f"level {percent(evaluation.chance)}. {beats} than chance."
    )


def _agreed(agreement: Agreement) -> str:
    rows = [
        ("same most probable label", *interval(agreement.agreement)),
        ("always the teacher's most frequent label", *interval(agreement.constant)),
        ("ahead of that by", *interval(agreement.gain)),
        ("Kullback-Leibler divergence, nats", *interval(agreement.divergence)),
        ("that of always its mean answer, nats", *interval(agreement.constant_divergence)),
    ]
    seeds, group = ", ".join(map(str, agreement.seeds)), group_name(agreement.dataset)
    return (
        f"## Agreement with its teacher\n\nIt learnt from the answers of "
        f"`{cell(agreement.teacher)}` alone, on {cell(dataset_title(agreement.dataset))}, which "
        "nobody has labelled with these classes. It imitates that model, its mistakes included. "
        f"Measured on {agreement.recordings} recordings in {agreement.groups} groups (by {group}), "
        f"{agreement.folds} folds, seeds {seeds}, by fits that had not heard the group:\n\n"
        + table(("per recording", "value", "95 % interval over groups"), rows)
    )


def _measured(evaluation: Evaluation, adapted: bool) -> str:
    seeds = ", ".join(map(str, evaluation.seeds))
    group, dataset = group_name(evaluation.dataset), cell(dataset_title(evaluation.dataset))
    split = SPLITS.get(evaluation.protocol, "").format(group=group)
    if evaluation.dataset.startswith("challenge6") and evaluation.protocol != "clip":
        split = "halves of one recording stay together; its baby may be on both sides"
    fits = (
        "by fits like this one. The published weights themselves were then fitted on the tested "
        "recordings too."
    )
    if adapted:
        fits = (
            "by this network with classifiers fitted without the tested recordings. The published "
            "classifier was fitted with all of them."
        )
    rows = [(title(name), *interval(value)) for name, value in evaluation.metrics.items()]
    return (
        f"## Measured\n\nOn {dataset}, protocol `{evaluation.protocol}`"
        f"{f' ({split})' if split else ''}: {evaluation.split}, seeds {seeds}, "
        f"{evaluation.recordings} recordings in {evaluation.groups} groups (by {group}), scored "
        f"per recording, {fits}\n\n"
        + table(("metric", "value", "95 % interval over groups"), rows)
        + f"\n\nGuessing has a balanced accuracy of {evaluation.chance:.3f}; always answering "
        f'"{cell(words(evaluation.majority_label))}" has an accuracy of '
        f"{evaluation.majority_accuracy:.3f}."
    )


def _recall(evaluation: Evaluation, labels: Sequence[str]) -> str:
    rows = [
        (
            words(label),
            evaluation.support.get(label, 0),
            measured(evaluation.recall.get(label, math.nan)),
        )
        for label in labels
    ]
    return "## Recall of each label\n\n" + table(("label", "recordings", "recall"), rows)


def _named(calibration: Calibration) -> str:
    group = group_name(calibration.dataset)
    rows = [
        ("holds the label", *interval(calibration.coverage)),
        ("labels in a set", *interval(calibration.size)),
        ("expected calibration error before", *interval(calibration.error_before)),
        ("expected calibration error after", *interval(calibration.error_after)),
    ]
    held = [(words(label), f"{share:.3f}") for label, share in calibration.by_label.items()]
    return (
        "## Calibrated probabilities and prediction sets\n\n"
        f"Probabilities are tempered ({calibration.temperature:.3f}), and an answer names every "
        f"label that cannot be ruled out (1 - p up to {calibration.threshold:.3f}), so that the "
        f"set holds the label of {percent(calibration.promised)} of the recordings of a new "
        f"{cell(group)}{cell(calibration.condition)}: conformal prediction by group (Lee, Barber "
        "and Willett 2023). With all labels in it, or none, it says nothing. Measured on folds "
        "that had no part in their own temperature and threshold, every "
        f"{cell(group)} counting alike; {100 * calibration.full:.1f} % of sets were full, "
        f"{100 * calibration.empty:.1f} % empty:\n\n"
        + table(("sets", "value", "95 % interval over groups"), rows)
        + "\n\nThe promise is kept over all labels together, not for each:\n\n"
        + table(("label", "share of its recordings whose set holds it"), held)
    )


def training_text(config: CheckpointConfig) -> str:
    """What it was fitted on and how, and whose the recordings are."""
    training = config.training
    dataset = dataset_title(str(training.get("dataset", "an unknown dataset")))
    licence = training.get("licence", "unknown")
    said = ("dataset", "licence", "recordings")
    rest = {key: value for key, value in training.items() if key not in said}
    return (
        "## Training, data and licences\n\n"
        f"Fitted on {training.get('recordings', 'an unknown number of')} recordings of "
        f"{cell(dataset)}. Licence of the data: {cell(licence)}. None of the recordings is in "
        "this repository. Licence of the weights: Apache-2.0.\n\n"
        + table(("setting", "value"), list(_flat(rest)))
    )


def _limits(config: CheckpointConfig) -> str:
    evaluation, high = config.evaluation, config.front_end.high_hz
    lines = [
        "Each label is what somebody believed about a recording; nobody can check it.",
        "By itself it names one of its labels even for a sound that is no cry; the gate of the "
        "package hears everything first, and says so.",
        "Babies, rooms and microphones unlike those of its corpus are untested.",
    ]
    if high > 4000:
        lines.append(
            f"It listens up to {high / 1000:g} kHz: a recording made at 8,000 samples a second "
            "holds nothing of that, and what it answers to one means little."
        )
    if config.system == ON_FEATURES:
        lines.append(
            "How far a recording lies outside of those it was fitted on is measured and said; its "
            "probabilities then go towards equal ones."
        )
    if evaluation is not None:
        rarest = min(evaluation.support, key=lambda label: evaluation.support[label])
        lines.append(
            f"The rarest label, {cell(words(rarest))}, was measured on "
            f"{evaluation.support[rarest]} recordings: its recall says little by itself."
        )
    return "## Limits\n\n" + "\n".join(f"- {line}" for line in lines)


def _usage(repo_id: str) -> str:
    return f"""## Load it

With the package `cry_model` that belongs to these weights:

```python
from cry_model import CryClassifier

classifier = CryClassifier.from_pretrained("{repo_id}", revision="main")  # or a tag, or a commit
prediction = classifier.predict("cry.wav")
prediction.label, prediction.probabilities, prediction.prediction_set
```"""


def citation() -> str:
    """Whose method it is."""
    source = json.loads(PAPER.read_text(encoding="utf-8"))["source"]
    return (
        f"## Citation\n\nThe method: {source}. Its authors had no part in fitting or publishing "
        "these weights."
    )


def title(metric: str) -> str:
    """A metric as a table writes it."""
    return TITLES.get(metric, words(metric))


def measured(value: float) -> str:
    """A number, if there is one."""
    return "not measured" if math.isnan(value) else f"{value:.3f}"


def interval(estimate: Estimate) -> tuple[str, str]:
    """A value and its interval, as two cells."""
    return f"{estimate.value:.3f}", f"{estimate.low:.3f} to {estimate.high:.3f}"


def _flat(data: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Nested settings as rows: ``{"preset": {"epochs": 30}}`` -> ("preset.epochs", 30)."""
    for key, value in data.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A table in Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(map(cell, line))} |" for line in lines)


def cell(value: Any) -> str:
    """Text that neither ends a table's cell nor opens a tag."""
    text = " ".join(str(value).split())
    return text.replace("&", "&amp;").replace("<", "&lt;").replace("|", "\\|")


def gate_sections(config: CheckpointConfig, parameters: int, repo_id: str) -> Iterator[str]:
    """The text of the card; see :func:`train.publish.card.model_card`.

    Args:
        config: with the record of a gate.
        parameters: how many numbers were fitted.
        repo_id: where it will be, "user/name".
    """
    system, front_end, gate = get_system(config.system).title, config.front_end, config.gate
    if gate is None:
        raise ValueError("This checkpoint is no gate.")
    yield "# Is it a baby crying?"
    yield (
        "**Not a medical device, and no baby monitor.** Nobody should rely on it to hear a child."
    )
    yield (
        f"A small {system} ({config.system}), {parameters:,} parameters, that tells a baby's cry "
        f"from other sounds. It looks at {front_end.piece_seconds:g} s at a time, from "
        f"{front_end.low_hz:g} to {front_end.high_hz:g} Hz, each look levelled on its own. A "
        f"recording holds a cry where the mean of the looks reaches {gate.threshold:.3f}."
    )
    yield (
        "## Measured\n\nOn ESC-10 in its own five folds, cries against its nine other classes, by "
        "fits that had heard neither the recordings nor others of the same source:\n\n"
        + table(
            ("ESC-10", "value", "95 % interval over sources"),
            [
                ("area under the ROC curve", *interval(gate.area)),
                ("cries taken for cries", *interval(gate.accepted)),
                ("other sounds taken for cries", *interval(gate.false_accepts)),
            ],
        )
    )
    if gate.unheard:
        yield (
            "## Sounds of a kind that it never heard\n\nFitted without a whole kind of sound, it "
            "took this share of that kind for cries:\n\n"
            + table(
                ("kind", "taken for a cry"),
                [(words(kind), f"{share:.3f}") for kind, share in gate.unheard.items()],
            )
        )
    yield training_text(config)
    yield (
        "## Limits\n\nLaughter, cats and sirens were made by formulas, not recorded. A baby's "
        "babble was not tested at all. A cry far below another sound is missed."
    )
    yield f"""## Load it

```python
from cry_model import CryGate, audio

gate = CryGate.from_pretrained("{repo_id}", revision="main")  # or a tag, or a commit
track = gate.scan(audio.load("recording.wav"))
track.is_cry, track.spans  # seconds
```"""
    yield citation()


TASK = "audio-classification"
HUB_TYPES = {"macro_f1": "f1", "macro_auc": "roc_auc"}  # what hf.co/metrics calls them


def model_card(config: CheckpointConfig, parameters: int, repo_id: str) -> str:
    """The whole file: metadata for the Hub, then the text for people.

    Args:
        config: of the checkpoint.
        parameters: how many numbers were fitted.
        repo_id: where it will be, "user/name".
    """
    from huggingface_hub import ModelCard

    write = sections if config.gate is None else gate_sections
    body = "\n\n".join(write(config, parameters, repo_id))
    return str(ModelCard(f"---\n{metadata(config, repo_id).to_yaml()}\n---\n\n{body}\n"))


def metadata(config: CheckpointConfig, repo_id: str) -> ModelCardData:
    """What the Hub searches and shows beside the text."""
    from huggingface_hub import ModelCardData

    results = [] if config.evaluation is None else eval_results(config.evaluation)
    return ModelCardData(
        license="apache-2.0",
        library_name="pytorch",
        pipeline_tag=TASK,
        tags=[TASK, "infant-cry", config.system],
        model_name=repo_id.split("/")[-1],
        eval_results=results or None,
    )


def eval_results(evaluation: Evaluation) -> list[EvalResult]:
    """The metrics that have a value, each with dataset and protocol in its name."""
    from huggingface_hub import EvalResult

    dataset = dataset_title(evaluation.dataset)
    return [
        EvalResult(
            task_type=TASK,
            task_name="Infant cry classification",
            dataset_type=evaluation.dataset,
            dataset_name=f"{dataset}, protocol {evaluation.protocol}",
            metric_type=HUB_TYPES.get(name, name),
            metric_name=f"{title(name)} on {dataset}, protocol {evaluation.protocol}",
            metric_value=estimate.value,
            metric_args={"interval_95": [estimate.low, estimate.high]},
        )
        for name, estimate in evaluation.metrics.items()
        if all(math.isfinite(v) for v in (estimate.value, estimate.low, estimate.high))
    ]
