"""Finds and reads the measured runs of a results folder: ``<dataset>/<protocol>/<system>/``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.stats.calibration import Coverage, coverage, scaled
from analysis.stats.per_class import ClassScores, class_scores
from analysis.stats.recordings import ResultsError, over_seeds, read_predictions, with_errors
from cry_model.calibration import Array, Calibration
from cry_model.checkpoint import read_calibration, read_evaluation
from cry_model.metrics import METRICS
from cry_model.records import Evaluation, dataset_order
from cry_model.registry import list_models
from cry_model.results import PREDICTIONS, RUN, DamagedFileError, recording_means
from cry_model.results import read_record as read_json


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
        """Return what the environments call ``name``, each once; empty if nothing is known."""
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
    def with_errors(self) -> pd.DataFrame:
        """:attr:`recordings` held against their labels:
        :func:`analysis.stats.recordings.with_errors`.

        Raises:
            ResultsError: as :attr:`predictions`.
        """
        return with_errors(self.recordings, self.labels)

    @cached_property
    def judged_over_seeds(self) -> pd.DataFrame:
        """The same with one row per recording: the mean of its probabilities over the seeds.

        Raises:
            ResultsError: as :attr:`predictions`.
        """
        return with_errors(over_seeds(self.recordings, self.labels), self.labels)

    @cached_property
    def class_scores(self) -> tuple[ClassScores, ...]:
        """What was measured of each class, in the order of the labels.

        Raises:
            ResultsError: as :attr:`predictions`.
        """
        return class_scores(self.recordings, self.labels)

    @cached_property
    def scaled(self) -> Array | None:
        """The probabilities of :attr:`recordings` after temperature scaling across folds.

        None under ``clip``, whose folds share all recordings.

        Raises:
            ResultsError: as :attr:`predictions`, or if a recording is in several folds.
        """
        if self.protocol == "clip":
            return None
        return scaled(self.predictions, self.recordings, self.labels)

    @cached_property
    def coverage(self) -> Coverage:
        """How right the surest answers are, for every share of them.

        Raises:
            ResultsError: as :attr:`scaled`.
        """
        return coverage(self.recordings, self.labels, self.scaled)

    @cached_property
    def tested(self) -> frozenset[tuple[object, ...]]:
        """Seed, recording, fold, group and label: which recording was tested in which fold.

        Systems may cut a recording into different pieces and still be tested on the same.

        Raises:
            ResultsError: as :attr:`predictions`.
        """
        keys = ["seed", "recording", "fold", "group", "label"]
        return frozenset(self.predictions[keys].itertuples(index=False, name=None))


RESULTS = Path(__file__).parents[2] / "assets" / "results"
PROTOCOLS = ("clip", "recording", "baby")
"""From what is shared between training and test to what is not."""
SPLITS = {"clip": "random segments", "recording": "by recording", "baby": "unseen babies"}
"""Protocol -> its name for a reader."""


class UnfinishedRunError(ResultsError):
    """The run has predictions and no scores yet: it was cut off, or is going on."""


@dataclass(frozen=True, eq=False)
class FoundRuns:
    """What a results folder holds; equal only to itself, so that figures of it can be kept.

    Attributes:
        runs: those that were scored against labels, by dataset, protocol and system.
        unfinished: folders that have predictions and no scores yet.
        problems: a sentence for each run that cannot be read, where such are passed over.
    """

    runs: tuple[MeasuredRun, ...]
    unfinished: tuple[Path, ...]
    problems: tuple[str, ...] = ()

    @property
    def cells(self) -> tuple[tuple[str, str], ...]:
        """Each dataset with each protocol that was measured, in the order of the runs."""
        return tuple(dict.fromkeys((run.dataset, run.protocol) for run in self.runs))

    def of(self, dataset: str, protocol: str) -> dict[str, MeasuredRun]:
        """System -> its run on this dataset under this protocol, in the order of the registry."""
        own = {r.system: r for r in self.runs if (r.dataset, r.protocol) == (dataset, protocol)}
        known = [name for name in list_models() if name in own]
        return {name: own[name] for name in (*known, *(own.keys() - set(known)))}

    @cached_property
    def readable(self) -> FoundRuns:
        """Read all predictions; return the runs that have theirs, with a problem for each other.

        The same object every time, so that figures of it can be kept.
        """
        told = [(run, _problem(run)) for run in self.runs]
        runs = tuple(run for run, problem in told if not problem)
        if len(runs) == len(told):
            return self
        problems = sorted((*self.problems, *(problem for _, problem in told if problem)))
        return FoundRuns(runs, self.unfinished, tuple(problems))


NO_RUNS = FoundRuns((), ())


def find_runs(root: Path, strict: bool = True) -> FoundRuns:
    """Read ``run.json`` of every run below ``root``.

    Pupils of a teacher, whose answers nobody has checked against labels, are left out, and so is
    what was fitted to answer another question: within a fold, or to labels that were permuted.

    Args:
        root: the results folder.
        strict: False passes over what cannot be read and says so in ``problems``; the predictions
            are read by :attr:`FoundRuns.readable`.

    Raises:
        ResultsError: if there is no such folder, or one of the files is malformed; never if not
            ``strict``.
    """
    if not root.is_dir():
        missing = f"There is no results folder {root}; name another one with --results."
        if strict:
            raise ResultsError(missing)
        return FoundRuns((), (), (missing,))
    runs, unfinished, problems = [], [], []
    for protocol in PROTOCOLS:
        for path in root.glob(f"*/{protocol}/*/{PREDICTIONS}"):
            try:
                record = read_record(path.parent)
                if reported(record):
                    run = _measured(path.parent, record)
                    if not strict:
                        _require_own_folder(run)
                    runs.append(run)
            except UnfinishedRunError:
                unfinished.append(path.parent)
            except ResultsError as error:
                if strict:
                    raise
                problems.append(str(error))
    runs.sort(
        key=lambda run: (dataset_order(run.dataset), PROTOCOLS.index(run.protocol), run.system)
    )
    return FoundRuns(tuple(runs), tuple(sorted(unfinished)), tuple(sorted(problems)))


def reported(record: Mapping[str, Any]) -> bool:
    """Whether a ``run.json`` is of a system that was measured on true labels and whole folds."""
    ran = record.get("configuration") or {}
    return not ("agreement" in record or "within" in ran or "permuted_labels" in ran)


def _require_own_folder(run: MeasuredRun) -> None:
    """Refuse a run that its folder names otherwise."""
    named = (run.dataset, run.protocol, run.system)
    if run.folder.parts[-3:] != named:
        raise ResultsError(f"{run.folder / RUN} is of {'/'.join(named)}; move it there.")


def _problem(run: MeasuredRun) -> str:
    """Return why the predictions of a run cannot be read; empty if they can."""
    try:
        _ = run.predictions
    except ResultsError as error:
        return str(error)
    return ""


def read_run(folder: Path) -> MeasuredRun:
    """One run, by its folder.

    Raises:
        ResultsError: if ``run.json`` is missing or malformed.
        UnfinishedRunError: if the run was not scored yet.
    """
    return _measured(folder, read_record(folder))


def _measured(folder: Path, record: dict[str, Any]) -> MeasuredRun:
    if not record.get("metrics"):
        raise UnfinishedRunError(f"The run in {folder} is not finished; start its fit again.")
    try:
        evaluation = read_evaluation(record["metrics"]["recording"])
        configuration, labels = record["configuration"], tuple(record["labels"])
        if evaluation is None or not {*evaluation.recall, evaluation.majority_label} <= {*labels}:
            raise ValueError("metrics of other labels")
        if not METRICS.keys() <= evaluation.metrics.keys() or not evaluation.seeds:
            raise ValueError("not all metrics and seeds")
        _positive(evaluation.recordings)
        return MeasuredRun(
            folder=folder,
            dataset=configuration["dataset"],
            protocol=configuration["protocol"],
            system=configuration["system"],
            labels=labels,
            seeds=tuple(map(int, evaluation.seeds)),
            folds=configuration["folds"],
            parameters=_positive(record["parameters"]),
            multiply_adds=_positive(record["multiply_adds_5s"]),
            wall_seconds=float(sum(record["wall_seconds"].values())),
            settings=dict(configuration.get("settings") or {}),
            preset=dict(configuration["preset"]),
            environments=(
                dict(record["environment"]),
                *(dict(part["environment"]) for part in record.get("joined", [])),
            ),
            evaluation=evaluation,
            calibration=read_calibration(record.get("calibration")),
        )
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise ResultsError(
            f"{folder / RUN} is not as train fit writes it ({error!r}); fit the run again."
        ) from error


def settings_text(run: MeasuredRun) -> str:
    """Write how the model differs from the registry's: "deviations=True"; empty if it does not."""
    return ", ".join(f"{name}={value}" for name, value in run.settings.items())


def _positive(count: Any) -> int:
    if not 0 < int(count) < 2**63:
        raise ValueError(f"{count} is no count")
    return int(count)


def read_record(folder: Path) -> dict[str, Any]:
    """``run.json`` as it is.

    Raises:
        ResultsError: if it is missing or damaged.
    """
    path = folder / RUN
    if not path.exists():
        raise ResultsError(f"There is no readable {path}; name the folder of a run.")
    try:
        return read_json(path)
    except DamagedFileError as error:
        raise ResultsError(f"{path} {error}; fit the run again, or copy its folder.") from error
