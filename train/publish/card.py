"""Write model cards: metadata for the Hub, and a text from a template, filled from the config."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cry_model import records
from cry_model.checkpoint import PAPER_REFERENCE, CheckpointConfig
from cry_model.networks.registry import ON_FEATURES, get_system

if TYPE_CHECKING:
    from huggingface_hub import EvalResult, ModelCardData

    from train.publish.exported import Exported

TEMPLATES = Path(__file__).parent
TASK = "audio-classification"
HUB_TYPES = {"macro_f1": "f1", "macro_auc": "roc_auc"}  # what hf.co/metrics calls them
TITLES = {"macro_f1": "Macro F1", "macro_auc": "Macro AUC"}
ON_THE_HUB = {name: ["ashraq/esc50"] for name in ("esc10", "cries", "detector")}
"""Dataset -> those of the Hub with its recordings, all or in part; of the others it has none."""
SPLITS = {
    "baby": "no {group} is both in training and in test",
    "recording": "recordings at random; a {group} may be both in training and in test",
    "clip": "segments at random; segments of one recording may be both in training and in test",
}


def model_card(
    config: CheckpointConfig, parameters: int, repo_id: str, exported: Sequence[Exported] = ()
) -> str:
    """Return the whole README.md of a classifier or a detector of so many parameters, for
    "user/name"; ``exported`` are the files that go along."""
    from huggingface_hub import ModelCard

    evaluation = config.evaluation
    card = ModelCard.from_template(
        metadata(config, repo_id),
        str(TEMPLATES / ("card.md.j2" if config.detector is None else "detector_card.md.j2")),
        config=config,
        model=get_system(config.system).title,
        parameters=parameters,
        repo_id=repo_id,
        exported=exported,
        evaluation=evaluation,
        agreement=config.agreement,
        calibration=config.calibration,
        detector=config.detector,
        records=records,
        split="" if evaluation is None else split_of(evaluation),
        rarest=evaluation and min(evaluation.support, key=evaluation.support.get, default=None),
        on_features=config.system == ON_FEATURES,
        settings=list(settings_of(config.training)),
        paper=json.loads(PAPER_REFERENCE.read_text(encoding="utf-8"))["source"],
        text=escape,
        title=title,
    )
    return f"{card}\n"


def metadata(config: CheckpointConfig, repo_id: str) -> ModelCardData:
    """Return what the Hub searches and shows next to the text."""
    from huggingface_hub import ModelCardData

    results = [] if config.evaluation is None else eval_results(config.evaluation)
    based_on = base_models(config.training)
    return ModelCardData(
        license="apache-2.0",
        library_name="pytorch",
        pipeline_tag=TASK,
        tags=[TASK, "infant-cry", config.system],
        datasets=ON_THE_HUB.get(str(config.training.get("dataset"))),
        metrics=[result.metric_type for result in results] or None,
        base_model=based_on or None,
        model_name=repo_id.split("/")[-1],
        eval_results=results or None,
    )


def base_models(training: Mapping[str, Any]) -> list[str]:
    """Return the teacher, and what a fit began with, as far as they are on the Hub."""
    facts = (training.get(name) or {} for name in ("teacher", "start"))
    return list(dict.fromkeys(own["name"] for own in facts if "/" in str(own.get("name"))))


def eval_results(evaluation: records.Evaluation) -> list[EvalResult]:
    """Return the metrics that have a value, each with dataset and protocol in its name."""
    from huggingface_hub import EvalResult

    where = f"{records.dataset_title(evaluation.dataset)}, protocol {evaluation.protocol}"
    return [
        EvalResult(
            task_type=TASK,
            task_name="Infant cry classification",
            dataset_type=evaluation.dataset,
            dataset_name=where,
            metric_type=HUB_TYPES.get(name, name),
            metric_name=f"{title(name)} on {where}",
            metric_value=estimate.value,
            metric_args={"interval_95": [estimate.low, estimate.high]},
        )
        for name, estimate in evaluation.metrics.items()
        if all(math.isfinite(v) for v in (estimate.value, estimate.low, estimate.high))
    ]


def split_of(evaluation: records.Evaluation) -> str:
    """Return what the protocol keeps apart; empty for an unknown one."""
    if evaluation.dataset.startswith("challenge6") and evaluation.protocol != "clip":
        return "halves of one recording stay together; its baby may be on both sides"
    return SPLITS.get(evaluation.protocol, "").format(group=records.group_name(evaluation.dataset))


def settings_of(training: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield nested settings as rows: ``{"preset": {"epochs": 30}}`` -> ("preset.epochs", 30)."""
    for key, value in training.items():
        if isinstance(value, Mapping):
            yield from settings_of(value, f"{prefix}{key}.")
        elif f"{prefix}{key}" not in ("dataset", "licence", "recordings"):  # in a sentence
            yield f"{prefix}{key}", value


def title(metric: str) -> str:
    """Return a metric as a table writes it."""
    return TITLES.get(metric, records.words(metric).capitalize())


def escape(value: Any) -> str:
    """Return text on one line that neither ends a table's cell nor opens a tag."""
    text = " ".join(str(value).split())
    return text.replace("&", "&amp;").replace("<", "&lt;").replace("|", "\\|")
