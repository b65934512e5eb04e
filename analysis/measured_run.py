"""One run of the results: what ``run.json`` says is there at once, the tables when asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.class_scores import ClassScores, class_scores
from analysis.coverage import Coverage, coverage
from analysis.judged import judged, over_seeds
from analysis.reliability import tempered
from analysis.run_tables import ResultsError, read_predictions, recording_means
from cry_model.calibration import Array, Calibration
from cry_model.records import Evaluation
from cry_model.run_files import PREDICTIONS, RUN


@dataclass(frozen=True)
class MeasuredRun:
    """One system under one protocol, scored on recordings that it had not learnt from.

    Attributes:
        folder: where the files are.
        dataset, protocol, system: which run it is.
        labels: in the order of the columns ``p_<label>``.
        seeds: those that have all of their folds.
        folds: how many.
        parameters: of the system.
        multiply_adds: for five seconds.
        wall_seconds: of fitting and testing all folds of all seeds.
        settings: of the system, where they are not the registry's.
        preset: how it was fitted, as ``run.json`` has it: ``name``, ``epochs``, ``batch`` ...
        environments: ``device``, ``precision``, versions; several where seeds that were fitted on
            several machines were joined.
        evaluation: the metrics per recording, with their intervals over groups.
        calibration: what was measured of temperature and sets of labels; None if nothing was.
    """

    folder: Path
    dataset: str
    protocol: str
    system: str
    labels: tuple[str, ...]
    seeds: tuple[int, ...]
    folds: int
    parameters: int
    multiply_adds: int
    wall_seconds: float
    settings: Mapping[str, Any] = field(repr=False)
    preset: Mapping[str, Any] = field(repr=False)
    environments: tuple[Mapping[str, Any], ...] = field(repr=False)
    evaluation: Evaluation = field(repr=False)
    calibration: Calibration | None = field(default=None, repr=False)

    def fitted_with(self, name: str) -> str:
        """What the environments call ``name``, each once; empty if nothing is known."""
        known = [str(one[name]) for one in self.environments if name in one]
        return ", ".join(dict.fromkeys(known))

    @cached_property
    def predictions(self) -> pd.DataFrame:
        """A row per piece: clip, recording, group, fold, seed, label and ``p_<label>``.

        Raises:
            ResultsError: if the file is missing, malformed, or lacks folds or recordings.
        """
        table = read_predictions(self.folder, self.labels, self.seeds, self.folds)
        if (table.groupby("seed")["recording"].nunique() != self.evaluation.recordings).any():
            raise ResultsError(
                f"{self.folder / PREDICTIONS} has not the {self.evaluation.recordings} recordings "
                f"of {RUN}; fit the run again, or copy its folder."
            )
        return table

    @cached_property
    def recordings(self) -> pd.DataFrame:
        """A row per seed and recording, sorted by them: the mean of its pieces.

        Raises:
            ResultsError: as :attr:`predictions`.
        """
        return recording_means(self.predictions, self.labels)

    @cached_property
    def fold_recordings(self) -> pd.DataFrame:
        """A row per seed, fold and recording, sorted by them: the mean of its pieces there.

        Under the ``clip`` protocol a recording may have pieces in several folds.

        Raises:
            ResultsError: as :attr:`predictions`.
        """
        return recording_means(self.predictions, self.labels, by=("seed", "fold"))

    @cached_property
    def judged(self) -> pd.DataFrame:
        """:attr:`recordings` held against their labels, see :func:`analysis.judged.judged`.

        Raises:
            ResultsError: as :attr:`predictions`.
        """
        return judged(self.recordings, self.labels)

    @cached_property
    def judged_over_seeds(self) -> pd.DataFrame:
        """The same with one row per recording: the mean of its probabilities over the seeds.

        Raises:
            ResultsError: as :attr:`predictions`.
        """
        return judged(over_seeds(self.recordings, self.labels), self.labels)

    @cached_property
    def class_scores(self) -> tuple[ClassScores, ...]:
        """What was measured of each class, in the order of the labels.

        Raises:
            ResultsError: as :attr:`predictions`.
        """
        return class_scores(self.recordings, self.labels)

    @cached_property
    def tempered(self) -> Array | None:
        """The probabilities of :attr:`recordings` after temperature scaling across folds.

        None under ``clip``, whose folds share all recordings.

        Raises:
            ResultsError: as :attr:`predictions`, or if a recording is in several folds.
        """
        if self.protocol == "clip":
            return None
        return tempered(self.predictions, self.recordings, self.labels)

    @cached_property
    def coverage(self) -> Coverage:
        """How right the surest answers are, for every share of them.

        Raises:
            ResultsError: as :attr:`tempered`.
        """
        return coverage(self.recordings, self.labels, self.tempered)

    @cached_property
    def tested(self) -> frozenset[tuple[object, ...]]:
        """Seed, recording, fold, group and label: which recording was tested in which fold.

        Systems may cut a recording into different pieces and still be tested on the same.

        Raises:
            ResultsError: as :attr:`predictions`.
        """
        keys = ["seed", "recording", "fold", "group", "label"]
        return frozenset(self.predictions[keys].itertuples(index=False, name=None))
