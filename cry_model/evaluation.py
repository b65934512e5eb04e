"""How well a checkpoint did, as plain records: measured by ``train``, stored in each config.

Kept apart from :mod:`cry_model.metrics` so that reading a checkpoint needs no scikit-learn.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Estimate:
    """A measured value and its 95 % bootstrap interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Evaluation:
    """Metrics of a system under one protocol, scored per recording.

    Attributes:
        dataset, protocol: as in the results folder.
        recordings, groups: how many were scored, and how many babies (or sources) they come from.
        folds: number of folds that the scores are pooled over.
        seeds: the seeds of the fits.
        chance: balanced accuracy of guessing, one over the number of classes.
        majority_label, majority_accuracy: the most frequent label and its share.
        metrics: name -> estimate; names are those of :data:`cry_model.metrics.METRICS`.
        recall: label -> recall.
        support: label -> number of recordings.
    """

    dataset: str
    protocol: str
    recordings: int
    groups: int
    folds: int
    seeds: tuple[int, ...]
    chance: float
    majority_label: str
    majority_accuracy: float
    metrics: Mapping[str, Estimate] = field(default_factory=dict)
    recall: Mapping[str, float] = field(default_factory=dict)
    support: Mapping[str, int] = field(default_factory=dict)

    @property
    def better_than_chance(self) -> bool:
        """Whether the interval of the balanced accuracy lies above chance."""
        return self.metrics["balanced_accuracy"].low > self.chance
