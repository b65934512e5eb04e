"""The model card: README.md of a published checkpoint, derived from its config and nothing else."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from cry_model.checkpoint import CheckpointConfig
from cry_model.records import Evaluation, dataset_title
from train.card_text import sections, title
from train.gate_card import gate_sections

if TYPE_CHECKING:
    from huggingface_hub import EvalResult, ModelCardData

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
