"""What panels that show any metric share: its choice, its numbers in words, what guessing gives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from analysis.findings_caveats import CORPUS
from analysis.panels.base import Option, Selector
from analysis.stats.paper import Paper
from analysis.stats.runs import MeasuredRun
from cry_model.metrics import METRICS
from cry_model.records import Estimate, Evaluation, dataset_title, group_name, tested, words

LOWER_IS_BETTER = frozenset({"expected_calibration_error"})


def metric_selector(first: str = "accuracy") -> Selector:
    """Any of the metrics; ``first`` is chosen at the beginning."""
    options = [Option(metric_words(name), name) for name in METRICS]
    return Selector("metric", "Metric", lambda *_: options, first=list(METRICS).index(first))


def metric_words(metric: str) -> str:
    """As a person writes it: ``macro_auc`` -> "macro AUC"."""
    return words(metric).replace("auc", "AUC").replace("f1", "F1")


def hundredths(share: float) -> str:
    """0.8225 -> "82.2"."""
    return f"{100 * share:.1f}"


def between(estimate: Estimate) -> str:
    """An interval in hundredths: "-1.0 to 5.4"."""
    return f"{hundredths(estimate.low)} to {hundredths(estimate.high)}"


def turned(difference: Estimate) -> Estimate:
    """The same difference, seen from the other side."""
    return Estimate(-difference.value, -difference.high, -difference.low)


class Guess(NamedTuple):
    """What an answer that does not listen scores, 0 to 1, and what it does."""

    value: float
    words: str


def guessing(evaluation: Evaluation, metric: str) -> Guess | None:
    """The score to be beaten; None for a metric that has none."""
    if metric == "accuracy":
        always = f"always answering {words(evaluation.majority_label)}"
        return Guess(evaluation.majority_accuracy, always)
    if metric == "balanced_accuracy":
        return Guess(evaluation.chance, "guessing")
    if metric == "macro_auc":
        return Guess(0.5, "guessing")
    return None


def scored_on(run: MeasuredRun) -> str:
    """What was scored and what its intervals resample; a sentence or two."""
    e, title = run.evaluation, dataset_title(run.dataset)
    return (
        f"{title[0].upper()}{title[1:]}, `{run.protocol}`: {e.recordings} recordings in {e.groups} "
        f"groups ({group_name(run.dataset)}), each of them {tested(run.dataset, run.protocol)}. "
        "The 95 % intervals resample whole groups."
    )


def seeds_of(runs: Sequence[MeasuredRun]) -> str:
    """How many fits the scores rest on; a sentence."""
    seeds = sorted({run.seeds for run in runs})
    if len(seeds) > 1:
        each = (", ".join(map(str, own)) for own in seeds)
        return f"Not all systems have the same seeds: {' or '.join(each)}."
    if len(seeds[0]) == 1:
        return f"One seed ({seeds[0][0]}): how far another fit would differ is not known."
    return f"Pooled over seeds {', '.join(map(str, seeds[0]))}."


def paper_conditions(paper: Paper, dataset: str) -> str:
    """Why the paper's numbers are no yardstick for these; a sentence."""
    corpus = "recordings of another corpus"
    if dataset.startswith(CORPUS):
        corpus = "the same corpus, cut and split otherwise"
    return f"The paper's numbers: {paper.protocol}, on {corpus}; not comparable in level."
